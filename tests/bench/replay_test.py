#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""replay_test.py MODGATE-STORM DATA: `modgate-storm replay` with a scripted loader: which calls it makes, and when."""

import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

DATA = sys.argv.pop(2)
STORM = sys.argv.pop(1)
RECORDED = os.path.join(DATA, "storm.trace.json")

# What the parameters of a call are known by.
FAST, SLOW = "1" * 32, "2" * 32


def event(name, ts, tid, error, category="request", dur=100.0, **more):
    return {"name": name, "cat": category, "ph": "X", "ts": ts, "dur": dur, "pid": 1, "tid": tid,
            "args": {"call": "finit_module", "is_module": True, "errno": error, **more}}


def trace(*events):
    return json.dumps({"otherData": {"schema": "modgate.trace/1"}, "traceEvents": list(events)})


class Test(unittest.TestCase):
    def setUp(self):
        # of its own: whatever is left behind in it shows
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name
        files = tempfile.TemporaryDirectory()
        self.addCleanup(files.cleanup)
        self.path = os.path.join(files.name, "trace.json")

    def write(self, text):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)
        return self.path

    def run_replay(self, *arguments):
        return subprocess.run([STORM, "replay", *arguments], capture_output=True, text=True, timeout=120, check=False,
                              env={**os.environ, "TMPDIR": self.scratch})

    def replay(self, *arguments):
        result = self.run_replay("--scripted", "--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(os.listdir(self.scratch), [])
        report = json.loads(result.stdout)
        self.assertEqual(report["schema"], "modgate.storm.replay/1")
        self.assertIs(report["scripted"], True)
        return report, {setting["name"]: setting for setting in report["settings"]}


class CommandLine(Test):
    def test_usage(self):
        for arguments in ([], ["a", "b"], ["--speed=x", "a"], ["--speed=-1", "a"], ["--speed=nan", "a"],
                          ["--compare=", "a"], ["--compare=bare,bare", "a"], ["--compare=best", "a"],
                          ["--rounds=0", "a"], ["--nonsense", "a"]):
            result = self.run_replay(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertIn("Usage: modgate-storm replay", result.stderr)

    def test_help(self):
        result = self.run_replay("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("--speed", result.stdout)

    def test_bad_traces(self):
        def refuses(path, says):
            result = self.run_replay("--scripted", path)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertRegex(result.stderr, f"^modgate-storm: .*{says}")
            self.assertEqual(len(result.stderr.splitlines()), 1)

        refuses("/nonexistent/trace", "cannot read the trace /nonexistent/trace: No such file")
        refuses("/", "cannot read the trace /: Is a directory")
        refuses(self.write(""), "neither JSON nor ftrace")
        refuses(self.write("{"), "no JSON")
        refuses(self.write("{}"), "schema modgate.trace/1")
        refuses(self.write(trace()), "no call")
        refuses("/dev/zero", "more than 64 MiB")


@unittest.skipIf(os.geteuid() != 0, "a filter with a listener needs root")
class Replay(Test):
    def test_recorded(self):
        """Under modgate, what modgate recorded comes again: every call with its result."""
        report, settings = self.replay("--rounds=3", RECORDED)
        self.assertEqual((report["rounds"], report["partial"], report["left_out"]), (3, False, 0))
        recorded = report["recorded"]
        self.assertEqual((recorded["by"], recorded["calls"], recorded["callers"], recorded["modules"]),
                         ("modgate", 20, 20, 3))
        self.assertEqual(recorded["results"], {"OK": 12, "EEXIST": 3, "ENODEV": 5})
        self.assertEqual(list(settings), ["bare", "modgate"])
        for setting in settings.values():
            self.assertEqual(sum(setting["results"].values()), 60)
            # the first call and the last one are that far from each other
            self.assertGreaterEqual(setting["wall_ns"]["min"], 0.99 * recorded["duration_ns"])
            for spread in (setting["latency_median_ns"], setting["wall_ns"], setting["lag_max_ns"]):
                self.assertLessEqual(spread["min"], spread["median"])
                self.assertLessEqual(spread["median"], spread["max"])
            self.assertEqual(setting["as_recorded"]["max"] + setting["otherwise"]["min"], 20)
        self.assertEqual(settings["bare"]["kernel_calls"]["min"], 20)
        # a load of each module; beta fails, so more where its calls do not meet, which is a matter of time
        self.assertGreaterEqual(settings["modgate"]["kernel_calls"]["min"], 3)
        self.assertLess(settings["modgate"]["kernel_calls"]["max"], 20)
        self.assertNotIn("EBUSY", settings["modgate"]["results"])
        self.assertIn("kernel_calls", settings["modgate"]["ratios"])
        self.assertEqual(settings["bare"]["ratios"], {})

    def test_real_boot(self):
        report, settings = self.replay("--rounds=1", "--speed=0", os.path.join(DATA, "boot.ftrace"))
        self.assertEqual((report["recorded"]["by"], report["recorded"]["calls"]), ("ftrace", 30))
        for setting in settings.values():
            self.assertEqual(sum(setting["results"].values()), 30)

    def test_speed(self):
        """Calls of two callers, two seconds apart in all."""
        path = self.write(trace(event("a", 0, 1, 0), event("a", 1e6, 2, 17), event("a", 2e6, 1, 17)))
        walls = {}
        for speed in ("0", "10", "2"):
            _, settings = self.replay("--rounds=1", "--compare=bare", f"--speed={speed}", path)
            walls[speed] = settings["bare"]["wall_ns"]["min"] / 1e9
            self.assertEqual(settings["bare"]["as_recorded"]["min"] if speed != "0" else 3, 3)
            if speed == "0":
                self.assertEqual(settings["bare"]["lag_max_ns"]["max"], 0)
        self.assertGreaterEqual(walls["10"], 0.2)
        self.assertGreaterEqual(walls["2"], 1.0)
        self.assertLess(walls["0"], walls["2"])

    def test_order_of_a_caller(self):
        """Each caller's calls are made in their order, also as fast as it can: a load, and then its duplicates."""
        path = self.write(trace(*(event(name, 10.0 * i, tid, 0 if i == 0 else 17)
                                  for tid, name in ((1, "a"), (2, "b")) for i in range(20))))
        for speed in ("0", "1"):
            _, settings = self.replay("--rounds=1", f"--speed={speed}", path)
            for setting in settings.values():
                self.assertEqual(setting["results"], {"OK": 2, "EEXIST": 38})
                self.assertEqual(setting["as_recorded"]["min"], 40)
            self.assertEqual(settings["modgate"]["kernel_calls"]["min"], 2)

    def test_results_of_loads(self):
        """A load has the recorded result, and takes as long as it did."""
        path = self.write(trace(event("a", 0, 0, 19, "load", 300000.0), event("a", 0, 1, 19), event("b", 0, 2, 6)))
        _, settings = self.replay("--rounds=1", path)
        for setting in settings.values():
            self.assertEqual(setting["results"], {"ENODEV": 1, "ENXIO": 1})
            self.assertGreaterEqual(setting["wall_ns"]["min"], 3e8)

    def test_failure_ttl(self):
        """Failures are remembered: what calls one after the other is one load."""
        path = self.write(trace(*(event("a", 1000.0 * i, 1, 19, params_length=0) for i in range(10))))
        for ttl, loads in (("0", 10), ("60", 1)):
            _, settings = self.replay("--rounds=1", "--compare=modgate", f"--failure-ttl={ttl}", path)
            self.assertEqual(settings["modgate"]["results"], {"ENODEV": 10})
            self.assertEqual(settings["modgate"]["kernel_calls"]["min"], loads)

    def test_live_before(self):
        """With nothing but EEXIST the module was live: it is, before the first call."""
        path = self.write(trace(event("a", 0, 1, 17), event("a", 1, 2, 17), event("b", 0, 3, 0)))
        _, settings = self.replay("--rounds=2", path)
        for setting in settings.values():
            self.assertEqual(setting["results"], {"OK": 2, "EEXIST": 4})
        self.assertEqual(settings["bare"]["kernel_calls"]["min"], 3)
        self.assertEqual(settings["modgate"]["kernel_calls"]["min"], 1)

    def test_parameters(self):
        """Callers with equal parameters share a failing load, those with others have one of their own."""
        path = self.write(trace(event("a", 0, 0, 19, "load", 200000.0),
                                *(event("a", 0, tid, 19, params_length=7, params_hash=FAST if tid < 4 else SLOW)
                                  for tid in range(8))))
        _, settings = self.replay("--rounds=1", "--compare=modgate", path)
        self.assertEqual(settings["modgate"]["results"], {"ENODEV": 8})
        self.assertEqual(settings["modgate"]["kernel_calls"]["min"], 2)

    def test_gaps(self):
        path = self.write(trace(event("a", 0, 1, 0), event("(unknown)", 0, 2, 0),
                                {"name": "dropped", "cat": "trace", "ts": 0, "args": {"count": 7}}))
        result = self.run_replay("--scripted", "--rounds=1", "--json", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("7 events: they are missing", result.stderr)
        self.assertIn("1 calls are left out", result.stderr)
        recorded = json.loads(result.stdout)["recorded"]
        self.assertEqual((recorded["dropped"], recorded["unnamed"], recorded["calls"]), (7, 1, 1))

    def test_floor(self):
        _, settings = self.replay("--rounds=1", "--compare=bare,floor", RECORDED)
        self.assertEqual(settings["floor"]["kernel_calls"]["max"], 0)

    def test_table(self):
        result = self.run_replay("--scripted", "--rounds=1", RECORDED)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(result.stdout.startswith("Scripted loader: no kernel loaded anything"))
        self.assertIn("\nrecorded   12 OK, 3 EEXIST, 5 ENODEV\n", result.stdout)

    @unittest.skipIf(os.path.exists("/proc/modules"), "this kernel has modules")
    def test_scripted_by_itself(self):
        result = self.run_replay("--rounds=1", RECORDED)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("this kernel has no modules", result.stderr)
        self.assertIn("Scripted loader", result.stdout)

    def descendants_of(self, pid):
        found = []
        for children in glob.glob(f"/proc/{pid}/task/*/children"):
            try:
                with open(children, encoding="ascii") as file:
                    for child in file.read().split():
                        found += [child] + self.descendants_of(child)
            except OSError:
                pass
        return found

    def interrupt(self, number, path, seconds):
        storm = subprocess.Popen([STORM, "replay", "--scripted", "--json", "--rounds=1000", path], text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env={**os.environ, "TMPDIR": self.scratch})
        children = []
        while len(children) < 3:
            children = self.descendants_of(storm.pid)
        time.sleep(seconds)
        children += self.descendants_of(storm.pid)
        storm.send_signal(number)
        stdout, stderr = storm.communicate(timeout=60)
        deadline = time.monotonic() + 10
        while any(os.path.exists(f"/proc/{child}") for child in children) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual([child for child in children if os.path.exists(f"/proc/{child}")], [])
        return storm.returncode, stdout, stderr

    def test_interrupted(self):
        slow = self.write(trace(event("a", 0, 0, 0, "load", 5e6), event("a", 0, 1, 0), event("b", 30e6, 2, 0)))
        for path, seconds in ((RECORDED, 0.02), (RECORDED, 0.7), (slow, 0.3)):
            status, stdout, stderr = self.interrupt(signal.SIGINT, path, seconds)
            self.assertEqual(status, 130, stderr)
            self.assertIn("interrupted: a partial result", stderr)
            report = json.loads(stdout)
            self.assertIs(report["partial"], True)
            self.assertLess(report["rounds"], 1000)
            self.assertEqual(os.listdir(self.scratch), [])

    def test_killed(self):
        """Not even then a process is left."""
        status, _, _ = self.interrupt(signal.SIGKILL, RECORDED, 0.3)
        self.assertEqual(status, -signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
