# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of a script in a guest."""

import io
import itertools
import os
import sys
import tarfile
import tempfile

from . import build, cache, modules, overlay
from .errors import CrashedEarly, GuestError
from .machine import Machine, qemu_path

BOOTS_MAX = 3
KERNEL_ARGUMENTS = "console=ttyS0 panic=-1 rdinit=/init"


def run(options, progress):
    """Boots, runs, brings back; returns the script's exit status."""
    command = [options.script, *options.arguments]
    if not os.path.isfile(options.script):
        raise GuestError(f"no such script: {options.script}")
    qemu_path()  # missing: say so before a build
    userland = build.ensure(options.userland, progress)
    kernel = build.ensure(options.kernel, progress)
    progress.step("starting")
    with _initrd(options, userland, kernel, command) as initrd:
        result = _boot(options, kernel, initrd, progress)
    if options.out:
        _unpack(result.archive(), options.out)
    return result.status


def _boot(options, kernel, initrd, progress):
    """QEMU's emulation of several CPUs fails some kernels while these patch their own code: such a boot begins again."""
    for boot in itertools.count(1):
        machine = Machine(os.path.join(kernel, "vmlinux"), initrd.fileno(), _kernel_arguments(options),
                          options.cpus, options.memory, options.console, options.monitor)
        try:
            progress.step("booting")
            return machine.run(options.timeout, progress, _Output(progress))
        except CrashedEarly as error:
            if boot == BOOTS_MAX:
                raise
            progress.say(f"{error}; booting again")
        finally:
            machine.close()
            progress.clear()


class _Output:
    """The script's output, live; the status line makes way for it."""

    def __init__(self, progress):
        self._progress = progress

    def __call__(self, data):
        self._progress.end()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _kernel_arguments(options):
    return " ".join([KERNEL_ARGUMENTS, *options.append])


def _initrd(options, userland, kernel, command):
    """The archives behind each other in a file without a name: nothing is left behind, whatever happens."""
    initrd = tempfile.TemporaryFile(dir=cache.root())
    archives = [os.path.join(userland, "mini.cpio" if options.mini else "root.cpio")]
    if not options.mini:
        archives.append(os.path.join(kernel, "modules.cpio"))
    for archive in archives:
        with open(archive, "rb") as f:
            _append(f, initrd)
    addition = overlay.Overlay(initrd, overlay.MINI_LINKS if options.mini else overlay.load_links(userland))
    if options.mini:
        addition.start_at_once()
    else:
        addition.start_by_systemd()
    if options.modules:
        _add_modules(addition, modules.pick if options.mini else modules.add, kernel, options.modules)
    for top in options.overlay:
        addition.tree(top)
    for source, destination in options.copy:
        addition.file(source, destination)
    addition.script(command, {"GUEST_OUT": "/guest/out", "GUEST_RELEASE": options.release, "LC_ALL": "C" if options.mini else "C.UTF-8",
                              "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
    addition.close()
    initrd.flush()
    return initrd


def _append(source, target):
    size = os.fstat(source.fileno()).st_size
    sent = 0
    while sent < size:
        sent += os.sendfile(target.fileno(), source.fileno(), sent, size - sent)
    target.seek(0, os.SEEK_END)


def _add_modules(addition, collect, kernel, names):
    with tempfile.TemporaryDirectory(prefix="modgate-guest-") as work:
        collect(os.path.join(kernel, "modules"), work, names)
        addition.tree(work)


def _unpack(archive, target):
    os.makedirs(target, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            if member.isfile() or member.isdir():
                member.uid, member.gid = os.getuid(), os.getgid()
                tar.extract(member, target, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))

