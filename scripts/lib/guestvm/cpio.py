# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes "newc" cpio archives, the format the kernel unpacks as its initial root file system.

Archives may follow each other in one file; each ends on a multiple of 512 bytes.
"""

import os
import shutil
import stat


class Writer:
    def __init__(self, out):
        self._out = out
        self._ino = 0
        self._size = 0

    def directory(self, name, mode=0o755, mtime=0):
        self._entry(name, stat.S_IFDIR | mode, mtime=mtime, nlink=2)

    def symlink(self, name, target):
        data = os.fsencode(target)
        self._entry(name, stat.S_IFLNK | 0o777, size=len(data))
        self._write(data)
        self._pad(4)

    def file(self, name, data, mode=0o644, uid=0, gid=0, mtime=0):
        self._entry(name, stat.S_IFREG | mode, uid=uid, gid=gid, size=len(data), mtime=mtime)
        self._write(data)
        self._pad(4)

    def file_from(self, name, source, size, mode, uid=0, gid=0, mtime=0):
        self._entry(name, stat.S_IFREG | mode, uid=uid, gid=gid, size=size, mtime=mtime)
        shutil.copyfileobj(source, self._out)
        self._size += size
        self._pad(4)

    def character_device(self, name, major, minor, mode):
        self._entry(name, stat.S_IFCHR | mode, device=(major, minor))

    def tree(self, top, prefix="", rename=lambda name, is_directory: name):
        """Everything below the directory `top`, owned by root, with its modes."""
        for folder, names, files in os.walk(top):
            names.sort()
            here = os.path.relpath(folder, top)
            if here != ".":
                self.directory(rename(os.path.join(prefix, here), True), stat.S_IMODE(os.stat(folder).st_mode))
            for name in sorted(files) + [n for n in names if os.path.islink(os.path.join(folder, n))]:
                target = os.path.normpath(os.path.join(prefix, here, name))
                self._link_or_file(os.path.join(folder, name), rename(target, False))

    def host_file(self, name, path, mode=None):
        """One regular file of this machine, owned by root."""
        with open(path, "rb") as source:
            info = os.fstat(source.fileno())
            self.file_from(name, source, info.st_size, mode if mode is not None else stat.S_IMODE(info.st_mode),
                           mtime=int(info.st_mtime))

    def close(self):
        self._entry("TRAILER!!!", 0)
        self._pad(512)

    def _link_or_file(self, path, name):
        """A symbolic link stays one; anything that is neither link nor regular file is passed over."""
        if os.path.islink(path):
            self.symlink(name, os.readlink(path))
        elif os.path.isfile(path):
            self.host_file(name, path)

    def _entry(self, name, mode, uid=0, gid=0, nlink=1, mtime=0, size=0, device=(0, 0)):
        raw = os.fsencode(name.lstrip("/")) + b"\0"
        self._ino += 1
        fields = (self._ino, mode, uid, gid, nlink, mtime, size, 0, 0, device[0], device[1], len(raw), 0)
        self._write(b"070701" + b"".join(b"%08X" % field for field in fields) + raw)
        self._pad(4)

    def _write(self, data):
        self._out.write(data)
        self._size += len(data)

    def _pad(self, unit):
        self._write(b"\0" * (-self._size % unit))
