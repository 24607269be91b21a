#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The manual page has every command and every option of it, and no other."""

import re
import subprocess
import sys
import unittest

STORM, PAGE = sys.argv.pop(1), sys.argv.pop(1)

# Those of all commands stand in one place.
COMMON = {"--json", "--svg", "--help"}


def run(*arguments):
    return subprocess.run([STORM, *arguments], capture_output=True, text=True, check=True).stdout


def page():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def sections():
    """Of each command: the options that begin a paragraph of it."""
    commands = page().split("\n# COMMANDS\n")[1].split("\n# ")[0].split("\n## ")[1:]
    return {text.split("\n", 1)[0]: set(re.findall(r"^\*(--[a-z-]+)\*", text, re.MULTILINE)) for text in commands}


class Page(unittest.TestCase):
    def test_commands(self):
        commands = set(re.findall(r"^  ([a-z]+) ", run("--help"), re.MULTILINE))
        self.assertIn("floor", commands)
        self.assertEqual(set(sections()), commands)
        self.assertEqual(set(re.findall(r"^\*modgate-storm\* \*([a-z]+)\*", page(), re.MULTILINE)), commands)

    def test_options(self):
        for command, documented in sections().items():
            options = set(re.findall(r"^ +(--[a-z-]+)", run(command, "--help"), re.MULTILINE))
            self.assertEqual(documented, options - COMMON, command)


if __name__ == "__main__":
    unittest.main()
