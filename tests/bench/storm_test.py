#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""modgate-storm itself: what it says, that it can be interrupted, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

STORM = sys.argv.pop(1)


def run(*arguments):
    return subprocess.run([STORM, *arguments], capture_output=True, text=True, timeout=120)


def descendants_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
    except FileNotFoundError:
        return []
    return children + [below for child in children for below in descendants_of(child)]


class CommandLine(unittest.TestCase):
    def test_help(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        self.assertIn("floor", result.stdout)
        result = run("floor", "--help")
        self.assertEqual(result.returncode, 0)
        self.assertIn("--parked", result.stdout)

    def test_usage_errors(self):
        for arguments in ([], ["nonsense"], ["floor", "--rounds=0"], ["floor", "--calls=x"], ["floor", "--parked=-1"],
                          ["floor", "--rounds"], ["floor", "more"], ["floor", "--unknown"]):
            result = run(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertIn("modgate-storm: ", result.stderr)
            self.assertEqual(result.stdout, "")


@unittest.skipIf(os.geteuid() != 0, "a filter with a listener needs root")
class Floor(unittest.TestCase):
    def test_json(self):
        result = run("floor", "--calls=50", "--parked=16", "--rounds=3", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report["schema"], "modgate.storm.floor/1")
        self.assertEqual((report["rounds"], report["partial"]), (3, False))
        self.assertEqual([(case["sync_wake_up"], case["callers"], case["calls"]) for case in report["cases"]],
                         [(False, 1, 50), (True, 1, 50), (False, 16, 1), (True, 16, 1)])
        for case in report["cases"]:
            if not case["supported"]:
                self.assertTrue(case["sync_wake_up"])
                continue
            for name in ("latency_median_ns", "latency_p99_ns", "wall_ns"):
                spread = case[name]
                self.assertLess(0, spread["min"])
                self.assertLessEqual(spread["min"], spread["median"])
                self.assertLessEqual(spread["median"], spread["max"])
            # the calls of one caller follow each other
            if case["callers"] == 1:
                self.assertGreaterEqual(case["wall_ns"]["max"], 25 * case["latency_median_ns"]["min"])

    def test_table(self):
        result = run("floor", "--calls=50", "--parked=16", "--rounds=1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(result.stdout.splitlines()), 5)

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            storm = subprocess.Popen([STORM, "floor", "--calls=100", "--parked=16", "--rounds=1000", "--json"],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            children = []
            while not children:
                children = descendants_of(storm.pid)
            time.sleep(0.5)
            storm.send_signal(number)
            stdout, stderr = storm.communicate(timeout=60)
            self.assertEqual(storm.returncode, 130, stderr)
            self.assertIn("partial", stderr)
            report = json.loads(stdout)
            self.assertTrue(report["partial"])
            self.assertLess(report["rounds"], 1000)

    def test_interrupted_at_once(self):
        storm = subprocess.Popen([STORM, "floor", "--calls=10000000", "--rounds=1", "--json"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(descendants_of(storm.pid)) < 3:
            pass
        time.sleep(0.2)
        storm.send_signal(signal.SIGINT)
        stdout, stderr = storm.communicate(timeout=60)
        self.assertEqual(storm.returncode, 130, stderr)
        report = json.loads(stdout)
        self.assertEqual((report["rounds"], report["partial"]), (0, True))
        # what was not measured has no figure
        self.assertFalse(any("wall_ns" in case for case in report["cases"]))

    def test_killed(self):
        storm = subprocess.Popen([STORM, "floor", "--calls=10000000", "--rounds=1"], stdout=subprocess.DEVNULL)
        children = []
        while len(children) < 4:  # run, server, tree, caller
            children = descendants_of(storm.pid)
        storm.kill()
        storm.wait()
        end = time.monotonic() + 60
        while any(os.path.exists(f"/proc/{child}") for child in children):
            self.assertLess(time.monotonic(), end, "processes are left")
            time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
