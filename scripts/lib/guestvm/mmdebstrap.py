# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs mmdebstrap with this machine's mirror, and says in one line why it failed."""

import os
import subprocess
import time

from . import cache, mirror, processes, recipe
from .errors import BuildFailed, NoMirror, NoSpace

NETWORK_TROUBLE = ("Failed to fetch", "Could not resolve", "Could not connect", "Unable to connect",
                   "Temporary failure", "does not have a Release file", "apt-get update failed")


def run(release, options, target, work, progress, environment=None):
    """`work` is a directory for its temporary files and its log; what hooks find in `environment` is added to ours."""
    sources = mirror.sources(recipe.SUITES[release])
    temporary = os.path.join(work, "tmp")
    os.mkdir(temporary)
    command = ["mmdebstrap", *options, '--aptopt=APT::Install-Recommends "false"',
               *(f"--aptopt={line}" for line in mirror.options()), recipe.SUITES[release], target, *sources]
    variables = {**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})}
    if os.geteuid() == 0:
        variables["TMPDIR"] = temporary
    log_path = os.path.join(work, "log")
    with open(log_path, "w", encoding="utf-8") as log:
        process = processes.start(command, last_signal=15, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env=variables)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                progress.tick()
        finally:
            processes.stop(process, patience=30)
    if process.returncode != 0:
        _explain_failure(log_path)


def _explain_failure(log_path):
    with open(log_path, encoding="utf-8", errors="replace") as f:
        log = f.read()
    tail = [line for line in log.splitlines() if line.strip()][-8:]
    if "No space left on device" in log:
        raise NoSpace(f"no space left in {cache.root()}")
    if any(sign in log for sign in NETWORK_TROUBLE):
        raise NoMirror("the package mirror cannot be reached or lacks a package", tail)
    raise BuildFailed("mmdebstrap failed", tail)
