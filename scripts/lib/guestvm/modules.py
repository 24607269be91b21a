# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kernel module trees: cut down to what a guest needs, and indexed again by depmod."""

import lzma
import os
import re
import shutil
import subprocess

from . import processes
from .errors import BuildFailed, GuestError

# depmod reads these and never writes them
KEPT_INDEXES = ("modules.order", "modules.builtin", "modules.builtin.modinfo")


def version_of(base):
    """The kernel's version: the one directory in lib/modules below `base`."""
    return os.listdir(os.path.join(base, "lib/modules"))[0]


def depmod(base):
    command = [processes.need("depmod", "kmod"), "-b", base, version_of(base)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildFailed("depmod failed", done.stderr.splitlines()[-5:])


def reduce(base, prefixes):
    """Removes every module that is neither below one of `prefixes` nor needed by one that is; runs depmod."""
    depmod(base)
    tree = Tree(base)
    wanted = [path for path in tree.needs if path.startswith(tuple("kernel/" + p for p in prefixes))]
    kept = set(tree.closure(wanted))
    for path in tree.needs:
        if path not in kept:
            os.unlink(os.path.join(tree.top, path))
    depmod(base)


def pick(source, target, names):
    """A new tree below `target` with the named modules, what they need, and depmod's index.

    A name may be a file of this machine; it goes to updates/.
    """
    tree = Tree(source)
    top = os.path.join(target, "lib/modules", version_of(source))
    paths = tree.closure(tree.path_of(name) for name in names if not is_file(name))
    for path in [*paths, *KEPT_INDEXES]:
        _copy(os.path.join(tree.top, path), os.path.join(top, path))
    _add_files(tree, top, filter(is_file, names))
    depmod(target)


def add(source, target, files):
    """What `files` of this machine change in the tree: below `target`, updates/ with them, and depmod's index."""
    tree = Tree(source)
    top = os.path.join(target, "lib/modules", version_of(source))
    os.makedirs(top)
    for name in KEPT_INDEXES:
        _copy(os.path.join(tree.top, name), os.path.join(top, name))
    os.symlink(os.path.join(tree.top, "kernel"), os.path.join(top, "kernel"))
    _add_files(tree, top, files)
    depmod(target)
    os.unlink(os.path.join(top, "kernel"))


def is_file(name):
    return "/" in name or name.endswith(".ko")


def _add_files(tree, top, files):
    for path in files:
        if not os.path.isfile(path):
            raise GuestError(f"no such file: {path}")
        target = os.path.join(top, "updates", os.path.basename(path))
        if tree.is_compressed and path.endswith(".ko"):
            _compress(path, target + ".xz")
        else:
            _copy(path, target)


def _compress(source, target):
    """As the distribution does it, and as the kernel can decompress it."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(source, "rb") as f:
        content = lzma.compress(f.read(), check=lzma.CHECK_CRC32,
                                filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])
    with open(target, "wb") as f:
        f.write(content)


class Tree:
    """modules.dep and modules.softdep of a tree."""

    def __init__(self, base):
        self.top = os.path.join(base, "lib/modules", version_of(base))
        self.needs = self._read_dependencies()
        self._by_name = {module_name(path): path for path in self.needs}
        self._soft = self._read_soft_dependencies()
        self.is_compressed = any(path.endswith(".xz") for path in self.needs)

    def path_of(self, name):
        path = self._by_name.get(module_name(name))
        if not path:
            raise GuestError(f"the guest's module tree has no module {name}")
        return path

    def closure(self, paths):
        seen, todo = [], list(paths)
        while todo:
            path = todo.pop()
            if path not in seen:
                seen.append(path)
                todo += self.needs[path] + self._soft.get(module_name(path), [])
        return seen

    def _read_dependencies(self):
        needs = {}
        with open(os.path.join(self.top, "modules.dep"), encoding="ascii") as f:
            for line in f:
                path, _, rest = line.partition(":")
                needs[path] = rest.split()
        return needs

    def _read_soft_dependencies(self):
        soft = {}
        with open(os.path.join(self.top, "modules.softdep"), encoding="ascii") as f:
            for line in f:
                words = line.split()
                if words and words[0] == "softdep":
                    names = [w for w in words[2:] if w not in ("pre:", "post:")]
                    soft.setdefault(module_name(words[1]), []).extend(
                        self._by_name[module_name(n)] for n in names if module_name(n) in self._by_name)
        return soft


def module_name(path):
    return re.sub(r"\.ko(\.[a-z0-9]+)?$", "", os.path.basename(path)).replace("-", "_")


def _copy(source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, target)
