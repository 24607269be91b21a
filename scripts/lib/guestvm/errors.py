# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can go wrong, each with an exit code of its own.

A script in the guest has the exit codes 0 to 199 to itself, and those a shell gives (126, 127, 128+N) are its own too.
"""


class GuestError(Exception):
    """One clear line for the user; `tail` holds lines that explain it (the guest's last words, a log)."""

    code = 200

    def __init__(self, message, tail=()):
        super().__init__(message)
        self.tail = list(tail)


class BuildFailed(GuestError):
    code = 200


class NoSpace(GuestError):
    code = 201


class NoMirror(GuestError):
    code = 202


class NoProgram(GuestError):
    code = 203


class Panicked(GuestError):
    code = 204


class CrashedEarly(Panicked):
    """Before the kernel came to its init: nothing that was brought along had any part in it."""


class TimedOut(GuestError):
    code = 205


class NoResult(GuestError):
    """The guest ended by itself before the script's exit status was known."""

    code = 206


class Interrupted(GuestError):
    code = 130
