# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boots a guest in QEMU and listens to its three serial ports until the script's result is there.

    ttyS0  the console
    ttyS1  the script's output, as it comes
    ttyS2  "status N SIZE\\n", then SIZE bytes of a compressed tar archive

and, if the script is to plug in devices, wires a fourth one to QEMU's own monitor:
    ttyS3  commands such as "device_add edu,bus=slot0", and what QEMU says to them
"""

import collections
import os
import re
import selectors
import socket
import subprocess
import time

from . import processes
from .errors import CrashedEarly, GuestError, Interrupted, NoResult, Panicked, TimedOut

SERIAL_PORTS = ((0x3f8, 4), (0x2f8, 3), (0x3e8, 5))
MONITOR_PORT = (0x2e8, 7)
CONSOLE_TAIL = 25
PANIC = b"Kernel panic - not syncing"
PANIC_GRACE = 3
# The kernel's last line of its own.
INIT_STARTED = b"Run /init as init process"


def qemu_path():
    return processes.need("qemu-system-x86_64", "qemu-system-x86")


class Console:
    """The last lines, and a file when one is wanted."""

    def __init__(self, path):
        self._file = open(path, "wb") if path else None
        self._tail = collections.deque(maxlen=CONSOLE_TAIL)
        self._line = b""
        self.panicked_at = None
        self.init_started = False

    def feed(self, data):
        if self._file:
            self._file.write(data)
            self._file.flush()
        *lines, self._line = (self._line + data).split(b"\n")
        self._tail.extend(lines)
        self.init_started = self.init_started or any(INIT_STARTED in line for line in lines)
        if not self.panicked_at and any(PANIC in line for line in lines):
            self.panicked_at = time.monotonic()

    def tail(self):
        lines = [*self._tail, self._line]
        text = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line.decode(errors="replace")).rstrip() for line in lines]
        return [line for line in text if line]

    def close(self):
        if self._file:
            self._file.close()


class Result:
    """What comes through ttyS2."""

    def __init__(self):
        self._data = bytearray()
        self.status = None
        self._size = None

    def feed(self, data):
        self._data += data
        if self.status is None and b"\n" in self._data:
            head, _, rest = bytes(self._data).partition(b"\n")
            word, status, size = head.decode(errors="replace").split()
            if word != "status":
                raise NoResult(f"the guest's result is garbled: {head[:60]!r}")
            self.status, self._size = int(status), int(size)
            self._data = bytearray(rest)

    def is_complete(self):
        return self.status is not None and len(self._data) >= self._size

    def archive(self):
        return bytes(self._data[:self._size])


class Machine:
    """One QEMU process and our ends of its serial ports."""

    def __init__(self, kernel, initrd_fd, arguments, cpus, memory, console_path, monitor=False):
        qemu = qemu_path()
        self._console = Console(console_path)
        self._result = Result()
        self._parent = os.getppid()
        pairs = [socket.socketpair() for _ in SERIAL_PORTS]
        theirs = [pair[1] for pair in pairs]
        self._ports = [pair[0] for pair in pairs]
        command = self._command(qemu, kernel, initrd_fd, arguments, cpus, memory, [s.fileno() for s in theirs])
        if monitor:
            # both ends are QEMU's: what the guest writes to its port, the monitor reads
            wire = socket.socketpair()
            theirs += wire
            command += self._monitor(*(s.fileno() for s in wire))
        self._stderr_read, stderr_write = os.pipe()
        self._process = processes.start(
            command, stdin=subprocess.DEVNULL, stdout=stderr_write, stderr=stderr_write,
            pass_fds=[initrd_fd, *(s.fileno() for s in theirs)])
        os.close(stderr_write)
        for s in theirs:
            s.close()

    @staticmethod
    def _command(qemu, kernel, initrd_fd, arguments, cpus, memory, port_fds):
        command = [qemu, "-name", "modgate-guest", "-machine", "q35", "-cpu", "max", "-accel", "tcg,thread=multi",
                   "-smp", str(cpus), "-m", f"{memory}M", "-nodefaults", "-no-user-config", "-display", "none",
                   "-no-reboot", "-kernel", kernel, "-initrd", f"/proc/self/fd/{initrd_fd}", "-append", arguments]
        for index, ((base, irq), fd) in enumerate(zip(SERIAL_PORTS, port_fds)):
            command += ["-chardev", f"socket,id=port{index},fd={fd}",
                        "-device", f"isa-serial,chardev=port{index},index={index},iobase={base},irq={irq}"]
        return command

    @staticmethod
    def _monitor(port_fd, monitor_fd):
        base, irq = MONITOR_PORT
        return ["-chardev", f"socket,id=port3,fd={port_fd}",
                "-device", f"isa-serial,chardev=port3,index=3,iobase={base},irq={irq}",
                "-chardev", f"socket,id=monitor,fd={monitor_fd}", "-mon", "chardev=monitor,mode=readline",
                "-device", "pcie-root-port,id=slot0,chassis=1,slot=1"]

    def run(self, timeout, progress, output):
        """Returns the result; raises what came in between. `output` gets the script's bytes."""
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for port, handler in zip(self._ports, (self._console.feed, output, self._result.feed)):
                selector.register(port, selectors.EVENT_READ, handler)
            while not self._result.is_complete():
                for key, _ in selector.select(0.2):
                    self._read_port(selector, key)
                progress.tick()
                if not selector.get_map():
                    self._fail_without_result()
                if self._console.panicked_at and time.monotonic() > self._console.panicked_at + PANIC_GRACE:
                    self._fail_without_result()
                if time.monotonic() > deadline:
                    raise TimedOut(f"timed out after {timeout:.0f} s", self._console.tail())
                if os.getppid() != self._parent:
                    raise Interrupted("the process that started this run is gone")
        return self._result

    def close(self):
        processes.stop(self._process)
        for port in self._ports:
            port.close()
        os.close(self._stderr_read)
        self._console.close()

    def _read_port(self, selector, key):
        try:
            data = key.fileobj.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if data:
            key.data(data)
        else:
            selector.unregister(key.fileobj)

    def _fail_without_result(self):
        if self._console.panicked_at and not self._console.init_started:
            raise CrashedEarly("the guest's kernel panicked before its init was started", self._console.tail())
        if self._console.panicked_at:
            raise Panicked("the guest's kernel panicked", self._console.tail())
        processes.stop(self._process)
        complaint = os.read(self._stderr_read, 4096).decode(errors="replace").splitlines()
        if self._process.returncode > 0:
            raise GuestError("QEMU failed", complaint)
        raise NoResult("the guest ended before its script did", self._console.tail() + complaint)
