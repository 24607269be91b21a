# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where what was built is kept: a directory for each version of a thing, complete or not there.

A thing is named KIND-RELEASE (guest-12), its version by a hash of all that it was made from.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile

from .errors import BuildFailed, NoSpace


def root():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "modgate")


def directory(thing, version):
    return os.path.join(root(), f"{thing}-{version}")


@contextlib.contextmanager
def locked(thing):
    """Only one build of a thing at a time; a second one waits and then finds it done."""
    os.makedirs(root(), exist_ok=True)
    with open(os.path.join(root(), f"{thing}.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in _matching(f"building-{thing}-"):  # left by a build that was killed
            _remove(path)
        yield


@contextlib.contextmanager
def new_version(thing, version, kept=1):
    """Two directories: to build in, and for the result, which is moved into place when the block ends well.

    This version stays, and the newest others until there are `kept`.
    """
    target = directory(thing, version)
    work = tempfile.mkdtemp(prefix=f"building-{thing}-", dir=root())
    try:
        os.chmod(work, 0o755)
        result = os.path.join(work, "result")
        os.mkdir(result)
        yield work, result
        os.rename(result, target)
        by_age = sorted(_matching(f"{thing}-"), key=lambda path: (path == target, os.path.getmtime(path)))
        for path in by_age[:-kept]:
            _remove(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoSpace(f"no space left in {root()}") from error
        raise
    finally:
        _remove(work)


def need_space(wanted_mib):
    os.makedirs(root(), exist_ok=True)
    info = os.statvfs(root())
    free = info.f_bavail * info.f_frsize >> 20
    if free < wanted_mib:
        raise NoSpace(f"no space: a build needs {wanted_mib} MiB in {root()}, {free} MiB are free")


def _matching(prefix):
    return [os.path.join(root(), name) for name in os.listdir(root())
            if name.startswith(prefix) and not name.endswith(".lock")]


def _remove(path):
    """Removes a tree; refuses when something is still mounted in it (a bind mount of /dev would be emptied)."""
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        if any(line.split()[4].startswith(path + "/") for line in mounts):
            raise BuildFailed(f"something is still mounted below {path}")
    shutil.rmtree(path, ignore_errors=True)
