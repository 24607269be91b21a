# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds a release: mmdebstrap makes the root file system, which is packed as an archive for the kernel to unpack.

A build leaves in the cache
    vmlinux     the kernel
    root.cpio   the whole guest, without modules
    mini.cpio   the small guest, without modules
    modules/    the reduced module tree
    modules.cpio
    links       symbolic links of the root file system, as JSON: an overlay must not replace them by directories
    packages    names and versions
"""

import fnmatch
import glob
import io
import json
import os
import shutil
import subprocess
import tarfile
import urllib.parse

from . import cache, cpio, kernel, mmdebstrap, modules, processes, recipe

NEEDED_MIB = 1300
MODULE_TOOLS = ("depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod")


def ensure(release, progress):
    """Builds unless it is there; returns the directory."""
    directory = cache.directory(_thing(release), recipe.key(release))
    if not os.path.isdir(directory):
        progress.step("waiting for another build")
        with cache.locked(_thing(release)):
            if not os.path.isdir(directory):
                _build(release, progress)
    return directory


def kernel_package(release, progress):
    """(name, version) of the package that a release's kernel is from."""
    with open(os.path.join(ensure(release, progress), "packages"), encoding="utf-8") as f:
        name, version, _ = next(line for line in f if line.endswith(".deb\n")).split("_")
    return name, urllib.parse.unquote(version)


def _thing(release):
    return f"guest-{release}"


def _build(release, progress):
    for program, package in (("mmdebstrap", "mmdebstrap"), ("depmod", "kmod"), ("dpkg-deb", "dpkg")):
        processes.need(program, package)
    cache.need_space(NEEDED_MIB)
    progress.say("building (once; it is cached) …")
    with cache.new_version(_thing(release), recipe.key(release)) as (work, result):
        archive = os.path.join(work, "root.tar")
        _install_packages(release, work, archive, progress)
        _pack(archive, work, result, progress)
    progress.say(f"built in {progress.seconds():.0f} s")


def _install_packages(release, work, archive, progress):
    progress.step("installing packages")
    options = ["--variant=essential", "--format=tar", f"--include={','.join(recipe.packages(release))}",
               f"--customize-hook={recipe.HOOK}",
               *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.DPKG_EXCLUDES)]
    mmdebstrap.run(release, options, archive, work, progress)


def _pack(archive, work, result, progress):
    progress.step("packing")
    with tarfile.open(archive) as tar:
        members = {_name(member): member for member in tar}
        _write_root(tar, members, result, progress)
        _write_mini(tar, members, result)
        _write_package_list(tar, members, result)
        progress.step("reducing the module tree")
        _extract_kernel(tar, members, work, result)
    base = os.path.join(result, "modules")
    modules.reduce(base, recipe.MODULES)
    with open(os.path.join(result, "modules.cpio"), "wb") as f:
        writer = cpio.Writer(f)
        writer.tree(os.path.join(base, "lib/modules"), "usr/lib/modules")
        writer.close()


def _name(member):
    return os.path.normpath(member.name)


def _is_dropped(name):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in recipe.DROP)


def _write_root(tar, members, result, progress):
    links = {}
    with open(os.path.join(result, "root.cpio"), "wb") as f:
        writer = cpio.Writer(f)
        for name, member in members.items():
            if name != "." and not _is_dropped(name) and name not in recipe.FILES:
                _copy_member(tar, members, writer, name, member)
                if member.issym():
                    links[name] = member.linkname
            progress.tick()
        for name, text in recipe.FILES.items():
            writer.file(name, text.encode())
        for unit in recipe.MASKED_UNITS:
            writer.symlink(f"etc/systemd/system/{unit}", "/dev/null")
        writer.directory("usr/lib/modules")
        writer.character_device("dev/console", 5, 1, 0o600)
        writer.character_device("dev/null", 1, 3, 0o666)
        writer.close()
    with open(os.path.join(result, "links"), "w", encoding="utf-8") as f:
        json.dump(links, f, indent=0)


def _copy_member(tar, members, writer, name, member):
    """One entry of the tar archive; a hard link becomes a copy."""
    if member.isdir():
        writer.directory(name, member.mode)
    elif member.issym():
        writer.symlink(name, member.linkname)
    elif member.isreg() or member.islnk():
        source = member if member.isreg() else members[os.path.normpath(member.linkname)]
        writer.file_from(name, tar.extractfile(source), source.size, member.mode, member.uid, member.gid,
                         int(member.mtime))


def _build_file(tar, members, name):
    return tar.extractfile(members[f"modgate-build/{name}"]).read()


def _write_mini(tar, members, result):
    """Busybox, the real kmod, bash, strace and the libraries, with the links that lead to them."""
    with open(os.path.join(result, "mini.cpio"), "wb") as f:
        writer = cpio.Writer(f)
        for name in ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "usr/bin", "usr/sbin", "usr/lib",
                     "usr/lib64", "usr/lib/modules", "var"):
            writer.directory(name)
        for name in ("bin", "sbin", "lib", "lib64"):
            writer.symlink(name, f"usr/{name}")
        files = _build_file(tar, members, "mini-files").decode().split()
        _copy_with_folders(tar, members, writer, [_through_merged_usr(name) for name in files])
        _copy_with_folders(tar, members, writer, [_through_merged_usr("/bin/busybox")])
        for applet in _build_file(tar, members, "applets").decode().split():
            if applet not in MODULE_TOOLS + ("bash", "busybox", "sh", "strace"):
                writer.symlink(f"usr/bin/{applet}", "busybox")
        # not busybox: its shell would run its own applets instead of the real module tools
        writer.symlink("usr/bin/sh", "bash")
        for tool in MODULE_TOOLS:
            writer.symlink(f"usr/sbin/{tool}", "../bin/kmod")
        writer.symlink("var/run", "/run")
        writer.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        writer.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        writer.character_device("dev/console", 5, 1, 0o600)
        writer.close()


def _through_merged_usr(path):
    name = path.lstrip("/")
    return name if name.startswith("usr/") else "usr/" + name


def _copy_with_folders(tar, members, writer, names):
    made, todo = set(), list(names)
    while todo:
        name = todo.pop(0)
        if name in made:
            continue
        made.add(name)
        folder = os.path.dirname(name)
        if folder not in made:
            made.add(folder)
            writer.directory(folder)
        member = members[name]
        _copy_member(tar, members, writer, name, member)
        if member.issym():
            target = os.path.normpath(os.path.join("/", folder, member.linkname))
            todo.append(_through_merged_usr(target))


def _write_package_list(tar, members, result):
    status = tar.extractfile(members["var/lib/dpkg/status"]).read().decode()
    kernel = [os.path.basename(n) for n in members if n.startswith("modgate-build/linux-image-")]
    with open(os.path.join(result, "packages"), "w", encoding="utf-8") as f:
        for paragraph in status.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
            if fields:
                print(fields["Package"], fields.get("Version", ""), file=f)
        print(*kernel, file=f)


def _extract_kernel(tar, members, work, result):
    """The kernel image and its whole module tree, out of the kernel package."""
    name = next(n for n in members if n.startswith("modgate-build/linux-image-"))
    package = os.path.join(work, "kernel.deb")
    with open(package, "wb") as f:
        shutil.copyfileobj(tar.extractfile(members[name]), f)
    content = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
    os.unlink(package)
    unpacked = os.path.join(work, "kernel")
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        wanted = [m for m in files if m.isreg() and ("/lib/modules/" in m.name or "/boot/vmlinuz" in m.name)]
        for member in wanted:
            member.uid, member.gid, member.mode = os.getuid(), os.getgid(), 0o644
        files.extractall(unpacked, wanted)
    os.makedirs(os.path.join(result, "modules/lib"))
    below = "usr/lib/modules" if os.path.isdir(os.path.join(unpacked, "usr/lib/modules")) else "lib/modules"
    os.rename(os.path.join(unpacked, below), os.path.join(result, "modules/lib/modules"))
    kernel.unpack(glob.glob(os.path.join(unpacked, "boot/vmlinuz-*"))[0], os.path.join(result, "vmlinux"))
