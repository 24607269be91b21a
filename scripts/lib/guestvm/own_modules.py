# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds modules for a guest's kernel, with the headers, the compiler and the C library of its release.

They are built in a root file system that mmdebstrap makes and removes again; what stays in the cache are the modules.
"""

import os
import shutil

from . import build, cache, mmdebstrap, modules, processes, recipe
from .errors import BuildFailed, GuestError

NEEDED_MIB = 900
VERSIONS_KEPT = 8


def ensure(release, source, target, progress):
    """Copies the modules of the directory `source` to `target`; builds them unless they are in the cache."""
    files = _files(source)
    kernel_package = build.kernel_package(release, progress)
    thing, key = f"modules-{release}", recipe.modules_key(kernel_package, files)
    directory = cache.directory(thing, key)
    progress.step("waiting for another build")
    with cache.locked(thing):
        if not os.path.isdir(directory):
            _build(release, kernel_package, source, (thing, key), progress)
        _copy(directory, target)
    progress.clear()


def _files(source):
    """(name, content) of all files, in order."""
    if not os.path.isfile(os.path.join(source, "Kbuild")) and not os.path.isfile(os.path.join(source, "Makefile")):
        raise GuestError(f"no Kbuild and no Makefile in {source}")
    found = []
    for top, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(top, name)
            with open(path, "rb") as f:
                found.append((os.path.relpath(path, source), f.read()))
    return found


def _build(release, kernel_package, source, entry, progress):
    processes.need("mmdebstrap", "mmdebstrap")
    cache.need_space(NEEDED_MIB)
    progress.say("building modules (once; they are cached) …")
    progress.step("installing a compiler")
    start = progress.seconds()
    with cache.new_version(*entry, kept=VERSIONS_KEPT) as (work, result):
        log = os.path.join(work, "make.log")
        _run_build(release, kernel_package, work, progress, {
            "MODGATE_SOURCE": os.path.realpath(source), "MODGATE_RESULT": result, "MODGATE_LOG": log,
            "MODGATE_KERNEL": modules.version_of(os.path.join(build.ensure(release, progress), "modules"))})
    progress.say(f"built modules in {progress.seconds() - start:.0f} s")


def _run_build(release, kernel_package, work, progress, environment):
    name, version = kernel_package
    headers = f"{name.replace('linux-image', 'linux-headers', 1)}={version}"
    options = ["--variant=extract", "--format=null",
               f"--include={','.join([*recipe.MODULE_BUILD_PACKAGES, headers])}",
               f'--setup-hook="{recipe.MODULES_HOOK}" setup "$1"',
               f'--extract-hook="{recipe.MODULES_HOOK}" build "$1"',
               *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.DPKG_EXCLUDES)]
    try:
        mmdebstrap.run(release, options, "-", work, progress, environment)
    except BuildFailed as error:
        _explain_failure(environment["MODGATE_LOG"], headers, error)


def _explain_failure(log, headers, error):
    if os.path.exists(log):
        with open(log, encoding="utf-8", errors="replace") as f:
            raise BuildFailed("the modules cannot be built", f.read().splitlines()[-20:]) from error
    if any("was not found" in line or "Unable to locate" in line for line in error.tail):
        raise BuildFailed(f"the mirror has no {headers}: remove the guest (scripts/guest path) to build it anew, with "
                          "the kernel that the mirror has now", error.tail) from error
    raise error


def _copy(directory, target):
    os.makedirs(target, exist_ok=True)
    for name in os.listdir(directory):
        shutil.copyfile(os.path.join(directory, name), os.path.join(target, name))
