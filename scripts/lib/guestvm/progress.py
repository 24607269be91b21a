# SPDX-License-Identifier: LGPL-2.1-or-later
"""One status line on a terminal; without a terminal, only what lasts."""

import sys
import time


class Progress:
    def __init__(self, title, quiet=False):
        self._title = title
        self._live = sys.stderr.isatty() and not quiet
        self._quiet = quiet
        self._start = time.monotonic()
        self._step = ""
        self._shown = None

    def step(self, text):
        self._step = text
        self.tick()

    def tick(self):
        """Call as often as you like: the seconds move."""
        if self._live and self._text() != self._shown:
            self._shown = self._text()
            sys.stderr.write(f"\r\033[K{self._shown}")
            sys.stderr.flush()

    def clear(self):
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._shown = None

    def end(self):
        """From now on the terminal belongs to somebody else."""
        self.clear()
        self._live = False

    def say(self, text):
        self.clear()
        if not self._quiet:
            print(f"{self._title}: {text}", file=sys.stderr, flush=True)

    def _text(self):
        return f"{self._title}: {self._step} … {self.seconds():.0f} s"

    def seconds(self):
        return time.monotonic() - self._start
