# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where built guests are kept: one directory a release and recipe, complete or not there."""

import contextlib
import fcntl
import os
import shutil
import tempfile

from . import recipe
from .errors import BuildFailed, NoSpace


def root():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "modgate")


def directory(release):
    return os.path.join(root(), f"guest-{release}-{recipe.key(release)}")


def is_built(release):
    return os.path.isdir(directory(release))


@contextlib.contextmanager
def locked(release):
    """Only one build of a release at a time; a second one waits and then finds it done."""
    os.makedirs(root(), exist_ok=True)
    with open(os.path.join(root(), f"guest-{release}.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_matching(f"building-{release}-")  # left by a build that was killed
        yield


@contextlib.contextmanager
def new_version(release):
    """A directory to build in; moved into place, and older versions removed, when the block ends well."""
    work = tempfile.mkdtemp(prefix=f"building-{release}-", dir=root())
    try:
        os.chmod(work, 0o755)
        result = os.path.join(work, "result")
        os.mkdir(result)
        yield work, result
        os.rename(result, directory(release))
        _remove_matching(f"guest-{release}-", but=os.path.basename(directory(release)))
    finally:
        _remove(work)


def need_space(wanted_mib):
    os.makedirs(root(), exist_ok=True)
    info = os.statvfs(root())
    free = info.f_bavail * info.f_frsize >> 20
    if free < wanted_mib:
        raise NoSpace(f"no space: a build needs {wanted_mib} MiB in {root()}, {free} MiB are free")


def _remove_matching(prefix, but=None):
    for name in os.listdir(root()):
        if name.startswith(prefix) and name != but and not name.endswith(".lock"):
            _remove(os.path.join(root(), name))


def _remove(path):
    """Removes a tree; refuses when something is still mounted in it (a bind mount of /dev would be emptied)."""
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        if any(line.split()[4].startswith(path + "/") for line in mounts):
            raise BuildFailed(f"something is still mounted below {path}")
    shutil.rmtree(path, ignore_errors=True)
