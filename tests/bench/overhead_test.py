#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""modgate-storm overhead: what it counts, that it can be interrupted, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

STORM = sys.argv.pop(1)
OTHERS = ["bare_ns", "allow_ns"]


def run(*arguments, before=()):
    return subprocess.run([*before, STORM, "overhead", *arguments], capture_output=True, text=True, timeout=120)


def children_of(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return file.read().split()


class CommandLine(unittest.TestCase):
    def test_usage_errors(self):
        for arguments in (["--calls=99"], ["--calls=x"], ["--rounds=0"], ["--rounds=1001"], ["--rounds"], ["more"],
                          ["--unknown"]):
            result = run(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertTrue(result.stderr.startswith("modgate-storm: "))
            self.assertEqual(result.stdout, "")

    def test_help(self):
        self.assertIn("--calls", run("--help").stdout)


@unittest.skipIf(os.geteuid() != 0, "a filter with a listener needs root")
class Overhead(unittest.TestCase):
    def check_spread(self, spread):
        self.assertLess(0, spread["min"])
        self.assertLessEqual(spread["min"], spread["median"])
        self.assertLessEqual(spread["median"], spread["max"])

    def test_json(self):
        result = run("--calls=20000", "--rounds=4", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual((report["schema"], report["partial"], report["rounds"], report["calls"]),
                         ("modgate.storm.overhead/1", False, 4, 20000))
        for spread in report["getppid"].values():
            self.check_spread(spread)
        self.check_spread(report["memory"]["total_kib"])

    def test_one_round(self):
        """All that is derived can be derived again."""
        result = run("--calls=20000", "--rounds=1", "--json")
        report = json.loads(result.stdout)
        modgate_ns = report["getppid"]["modgate_ns"]["median"]
        for other, ratio in zip(OTHERS, ("ratio", "ratio_to_allow")):
            self.assertAlmostEqual(report["getppid"][ratio]["median"], modgate_ns / report["getppid"][other]["median"])
        memory = report["memory"]
        self.assertEqual(memory["total_kib"]["median"],
                         memory["shared_with_storm_kib"] + sum(one["pss_kib"] for one in memory["processes"]))
        self.assertEqual({one["name"] for one in memory["processes"]},
                         {"modgate-keeper", "modgate-superv", "modgate-loader", "modgate-inspect"})
        self.assertTrue(all(one["pss_kib"] > 0 for one in memory["processes"]))

    def test_table(self):
        result = run("--calls=100", "--rounds=2")
        self.assertEqual(result.returncode, 0, result.stderr)
        for row in ("getppid, bare", "under modgate", "modgate to bare", "memory of modgate, idle", "modgate-keeper"):
            self.assertIn(row, result.stdout)
        self.assertEqual(result.stderr, "")

    def test_without_privilege(self):
        result = run("--calls=100", before=["setpriv", "--bounding-set=-sys_admin"])
        self.assertEqual(result.returncode, 1)
        self.assertIn("run it as root", result.stderr)
        self.assertEqual(result.stdout, "")

    def interrupt(self, *arguments, after_s=0.3):
        storm = subprocess.Popen([STORM, "overhead", *arguments, "--json"], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        while not children_of(storm):
            pass
        time.sleep(after_s)
        storm.send_signal(signal.SIGINT)
        stdout, stderr = storm.communicate(timeout=60)
        self.assertEqual(storm.returncode, 130, stderr)
        self.assertIn("partial", stderr)
        report = json.loads(stdout)
        self.assertTrue(report["partial"])
        return report

    def test_interrupted(self):
        """At any moment of starting and ending modgate."""
        for i in range(20):
            report = self.interrupt("--calls=1000", "--rounds=1000", after_s=0.2 + 0.005 * i)
            self.assertLess(report["rounds"], 1000)

    def test_interrupted_at_once(self):
        report = self.interrupt("--calls=1000000000")
        self.assertEqual(report["rounds"], 0)
        self.assertNotIn("getppid", report)


if __name__ == "__main__":
    unittest.main()
