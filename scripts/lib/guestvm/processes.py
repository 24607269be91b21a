# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starting programs that never outlive us."""

import ctypes
import os
import shutil
import signal
import subprocess

from .errors import Interrupted, NoProgram

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def need(program, package):
    """The program's path; /usr/sbin counts even where it is not in PATH."""
    path = shutil.which(program, path=os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin")
    if not path:
        raise NoProgram(f"{program} is missing: install the package {package} (scripts/lib/install guest)")
    return path


def start(command, last_signal=signal.SIGKILL, **options):
    """Popen in a session of its own; the kernel sends `last_signal` when we are gone, however that came."""
    return subprocess.Popen(command, start_new_session=True,
                            preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, last_signal), **options)


def stop(process, patience=10):
    """Ends a program: politely, then not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_on_signals():
    """A signal that asks us to end becomes an exception, so that everything is cleaned up on the way out."""
    def ended(number, _frame):
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(f"interrupted ({signal.Signals(number).name})")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
