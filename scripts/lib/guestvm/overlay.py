# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one run adds to a built guest: the archive that the kernel unpacks last."""

import json
import os
import shlex

from . import cpio
from .errors import GuestError

HERE = os.path.dirname(os.path.abspath(__file__))
IN_GUEST = os.path.join(HERE, "in-guest")

MINI_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "/run"}


class Overlay:
    """Adds files below their real paths: /lib/… must become /usr/lib/…, or the kernel would replace the link."""

    def __init__(self, out, links):
        self._writer = cpio.Writer(out)
        self._links = links
        self._made = set()

    def tree(self, top):
        if not os.path.isdir(top):
            raise GuestError(f"no such directory: {top}")
        self._writer.tree(top, rename=self._real)

    def file(self, path, destination):
        if not os.path.isfile(path):
            raise GuestError(f"no such file: {path}")
        self._folders(destination)
        self._writer.host_file(self._real(destination, False), path)

    def script(self, command, environment):
        """The script, how it is called, and what runs it."""
        self._writer.directory("guest")
        self._writer.host_file("guest/script", command[0], mode=0o755)
        words = " ".join(shlex.quote(word) for word in command[1:])
        self._writer.file("guest/command", f'#!/bin/sh\nexec /guest/script {words}\n'.encode(), mode=0o755)
        lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
        self._writer.file("guest/environment", lines.encode())
        self._writer.host_file("guest/run-script", os.path.join(IN_GUEST, "run-script"), mode=0o755)

    def start_by_systemd(self):
        self._writer.host_file("etc/systemd/system/guest-script.service", os.path.join(IN_GUEST, "full.service"), 0o644)
        self._writer.directory("etc/systemd/system/multi-user.target.wants")
        self._writer.symlink("etc/systemd/system/multi-user.target.wants/guest-script.service",
                             "../guest-script.service")
        self._writer.symlink("init", "usr/lib/systemd/systemd")

    def start_at_once(self):
        self._writer.host_file("init", os.path.join(IN_GUEST, "mini-init"), mode=0o755)

    def close(self):
        self._writer.close()

    def _folders(self, destination):
        parts = self._real(os.path.dirname(destination), True).split("/")
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder and folder not in self._made:
                self._made.add(folder)
                self._writer.directory(folder)

    def _real(self, path, is_directory):
        """`path` with every link on the way resolved; what is no directory may take the place of a link."""
        done, todo = [], _parts(path)
        for _ in range(200):
            if not todo:
                return "/".join(done)
            part = todo.pop(0)
            target = self._links.get("/".join([*done, part]))
            if part == "..":
                done = done[:-1]
            elif target is None or (not todo and not is_directory):
                done.append(part)
            else:
                done = [] if target.startswith("/") else done
                todo = _parts(target) + todo
        raise GuestError(f"too many symbolic links: {path}")


def _parts(path):
    return [part for part in path.split("/") if part not in ("", ".")]


def load_links(directory):
    with open(os.path.join(directory, "links"), encoding="utf-8") as f:
        return json.load(f)
