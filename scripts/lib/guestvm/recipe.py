# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is in a guest. Everything here, and the hook, goes into the cache key: a change means a new build."""

import hashlib
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
HOOK = os.path.join(HERE, "customize-hook")
MODULES_HOOK = os.path.join(HERE, "modules-hook")

# Raise when the code that packs a root file system changes its result.
FORMAT = 4

SUITES = {"12": "bookworm", "13": "trixie", "containers12": "bookworm", "containers13": "trixie"}

# Whose root file system a guest has, and whose kernel and modules.
GUESTS = {"12": ("12", "12"), "13": ("13", "13"), "12on13": ("12", "13"),
          "containers12": ("containers12", "12"), "containers13": ("containers13", "13")}

PACKAGES = [
    "systemd", "systemd-sysv", "udev", "kmod", "procps", "strace", "busybox-static",
    # what modgate links to
    "libseccomp2", "libkmod2", "libcap2", "libjson-c5", "libxxhash0", "libinih1",
    # what tests use
    "libcap2-bin", "util-linux", "iproute2",
]

# What runs containers: much, so only for the tests that ask for it.
CONTAINER_PACKAGES = ["crun", "runc", "podman", "lxc", "iptables", "jq", "xz-utils"]

# What builds modules, besides the kernel's headers, which bring the compiler.
MODULE_BUILD_PACKAGES = ["coreutils", "dash", "findutils", "grep", "make", "mawk", "sed"]

# Never written to the root file system by dpkg.
DPKG_EXCLUDES = [
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*",
    "/usr/share/lintian/*", "/usr/share/bash-completion/*", "/usr/share/zsh/*", "/usr/share/bug/*",
    "/usr/share/zoneinfo/*", "/usr/lib/*/gconv/*",
]

# Left out when the root file system is packed.
DROP = [
    "dev/*", "boot/*", "etc/apt/*", "var/lib/apt/*", "var/cache/*", "var/log/*", "var/lib/dpkg/info/*",
    "usr/share/doc/*", "usr/share/perl5/*", "tmp/*", "run/*", "modgate-build", "modgate-build/*",
]

# Units that only make a boot longer, or that need what a guest does not have.
MASKED_UNITS = [
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "man-db.timer", "fstrim.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "motd-news.timer", "logrotate.timer",
    "getty@.service", "serial-getty@.service", "console-getty.service", "getty.target",
    "systemd-logind.service", "systemd-networkd.service", "systemd-networkd-wait-online.service",
    "systemd-resolved.service", "systemd-timesyncd.service", "systemd-hwdb-update.service",
    "systemd-pcrphase.service", "systemd-pcrphase-sysinit.service",
    "ldconfig.service", "systemd-journal-catalog-update.service", "systemd-update-done.service",
    "systemd-firstboot.service",
]

FILES = {
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "etc/fstab": "",
    "etc/resolv.conf": "",
    # fixed: a boot is never a first boot
    "etc/machine-id": "6d6f6467617465206775657374203031\n",
}

# Paths below kernel/ in the module tree; what these depend on comes along.
# A cold-plug must find everything that CPUs and the virtual board ask for.
MODULES = [
    "arch", "block", "crypto", "lib", "mm", "virt",
    "drivers/acpi", "drivers/base", "drivers/bus", "drivers/char/agp", "drivers/char/hw_random",
    "drivers/char/nvram", "drivers/char/tpm", "drivers/char/virtio_console", "drivers/cpufreq", "drivers/crypto/ccp",
    "drivers/dax", "drivers/devfreq", "drivers/edac", "drivers/firmware",
    "drivers/hwmon/acpi_power_meter", "drivers/hwmon/coretemp", "drivers/hwmon/fam15h_power",
    "drivers/hwmon/hwmon-vid", "drivers/hwmon/k10temp", "drivers/hwmon/k8temp", "drivers/hwmon/via-cputemp",
    "drivers/i2c/busses/i2c-i801", "drivers/i2c/busses/i2c-piix4", "drivers/i2c/i2c-smbus", "drivers/idle",
    "drivers/input/evdev", "drivers/input/joydev", "drivers/input/misc/pcspkr", "drivers/input/mouse/psmouse",
    "drivers/input/mousedev", "drivers/input/serio", "drivers/mfd/lpc_ich", "drivers/mfd/intel",
    "drivers/nvdimm", "drivers/parport", "drivers/platform/x86/intel", "drivers/platform/x86/amd",
    "drivers/platform/x86/wmi", "drivers/powercap", "drivers/ptp", "drivers/rtc", "drivers/thermal",
    "drivers/virt", "drivers/virtio", "drivers/watchdog/iTCO", "drivers/watchdog/softdog",
    "drivers/watchdog/watchdog",
    "drivers/ata/ahci", "drivers/ata/ata_generic", "drivers/ata/ata_piix", "drivers/ata/libahci",
    "drivers/ata/libata", "drivers/cdrom", "drivers/scsi/scsi_common", "drivers/scsi/scsi_mod",
    "drivers/scsi/sd_mod", "drivers/scsi/sg", "drivers/scsi/sr_mod",
    "drivers/block/brd", "drivers/block/floppy", "drivers/block/loop", "drivers/block/nbd",
    "drivers/block/null_blk", "drivers/block/virtio_blk", "drivers/block/zram",
    "drivers/md/dm-", "drivers/md/md-mod", "drivers/md/raid1.", "drivers/md/linear",
    "drivers/net/bonding", "drivers/net/dummy", "drivers/net/ifb", "drivers/net/ipvlan", "drivers/net/macvlan",
    "drivers/net/net_failover", "drivers/net/nlmon", "drivers/net/tap", "drivers/net/tun", "drivers/net/veth",
    "drivers/net/virtio_net", "drivers/net/vrf", "drivers/net/vxlan", "drivers/net/wireguard",
    "fs/9p", "fs/autofs", "fs/binfmt_misc", "fs/btrfs", "fs/configfs", "fs/efivarfs", "fs/erofs", "fs/exfat",
    "fs/ext4", "fs/fat", "fs/fuse", "fs/isofs", "fs/nls/nls_ascii", "fs/nls/nls_cp437", "fs/nls/nls_utf8",
    "fs/overlayfs", "fs/pstore", "fs/quota", "fs/squashfs", "fs/xfs",
    "net/802", "net/8021q", "net/9p", "net/bridge", "net/core", "net/ipv4", "net/ipv6", "net/key", "net/llc",
    "net/netfilter", "net/netlink", "net/packet", "net/psample", "net/tls", "net/unix", "net/vmw_vsock", "net/xfrm",
]


def _file_text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def _hash(parts):
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def modules_key(kernel_package, files):
    """The hash under which the modules are cached that `files` ((name, content)…) give for that kernel."""
    sources = [(name, hashlib.sha256(content).hexdigest()) for name, content in files]
    return _hash([kernel_package, sources, MODULE_BUILD_PACKAGES, _file_text(MODULES_HOOK)])


def packages(release):
    """What is installed in a guest."""
    return PACKAGES + (CONTAINER_PACKAGES if release.startswith("containers") else [])


def key(release):
    """The hash under which a build of this release is cached."""
    parts = [FORMAT, release, SUITES[release], packages(release), DPKG_EXCLUDES, DROP, MASKED_UNITS, FILES, MODULES,
             _file_text(HOOK)]
    return _hash(parts)
