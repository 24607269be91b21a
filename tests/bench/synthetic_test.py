#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""modgate-storm synthetic with its scripted loader: counts, which are exact, what it says, and what it leaves behind."""

import glob
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

STORM, README = sys.argv[1:3]
del sys.argv[1:3]

MEASURES = {"latency_median", "latency_p90", "latency_p99", "latency_max", "wall", "kernel_calls", "kernel_bytes",
            "vmalloc_peak", "memory_peak"}


def run(*arguments, **options):
    return subprocess.run([STORM, "synthetic", "--scripted", *arguments], capture_output=True, text=True, timeout=120,
                          **options)


def descendants_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return children + [below for child in children for below in descendants_of(child)]


class Case(unittest.TestCase):
    def report(self, *arguments):
        result = run("--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.check_report(report)
        return {setting["setting"]: setting for setting in report["settings"]}

    def check_report(self, report):
        """What holds for every one."""
        self.assertEqual(report["schema"], "modgate.storm.synthetic/1")
        self.assertTrue(report["scripted"])
        first = report["settings"][0]["rounds"]
        for setting in report["settings"]:
            self.assertEqual(len(setting["rounds"]), report["rounds"])
            for index, part in enumerate(setting["rounds"]):
                self.assertEqual(sum(part["results"].values()), report["callers"] * report["calls"])
                latency = part["latency_ns"]
                order = [latency[name] for name in ("min", "median", "p90", "p99", "max")]
                self.assertEqual(order, sorted(order))
                self.assertLess(0, order[0])
                self.assertLessEqual(latency["median"], part["wall_ns"])
                if setting["setting"] == "bare":
                    self.assertEqual(part["kernel_calls"], report["callers"] * report["calls"])
                if setting["setting"] == "floor":
                    self.assertEqual((part["kernel_calls"], part["kernel_bytes"]), (0, 0))
            if setting is report["settings"][0]:
                self.assertNotIn("ratios", setting)
                continue
            self.assertEqual(set(setting["ratios"]), MEASURES)
            ratios = sorted(part["wall_ns"] / other["wall_ns"] for part, other in zip(setting["rounds"], first))
            self.assertAlmostEqual(setting["ratios"]["wall"]["min"], ratios[0])
            self.assertAlmostEqual(setting["ratios"]["wall"]["max"], ratios[-1])


class CommandLine(Case):
    def test_usage_errors(self):
        for arguments in ([], ["--callers=0", "x"], ["--callers=many", "x"], ["--callers"], ["--call=open", "x"],
                          ["--between=wait", "x"], ["--result=EWHAT", "x"], ["--result=ENOSYS", "x"], ["--wake=up", "x"],
                          ["--compare=bare,none", "x"], ["--compare=bare,bare", "x"], ["--compare=", "x"],
                          ["--compare=bare,", "x"], ["--modules=2", "x"], ["--modules=0"], ["--hold", "x", "y"],
                          ["--hold", "--wave=2", "x"], ["--hold", "--warm", "x"], ["--hold", "--calls=2", "x"],
                          ["--live=y", "x"], ["--unknown", "x"]):
            result = run(*arguments)
            self.assertEqual(result.returncode, 2, (arguments, result.stderr))
            self.assertIn("modgate-storm: ", result.stderr)
            self.assertEqual(result.stdout, "")

    def test_errors(self):
        for arguments, said in ((["a/b"], "a/b"), ([""], "no name"), (["x" * 56], "no name"), (["x", "x"], "named twice")):
            result = run(*arguments)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertIn(said, result.stderr)
            self.assertEqual(result.stdout, "")

    def test_help_names_all_options(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        for option in ("callers", "calls", "wave", "call", "params", "between", "live", "warm", "compare", "failure-ttl",
                       "wake", "rounds", "json", "svg", "scripted", "modules", "result", "load-us", "image-kib", "hold"):
            self.assertIn(f"--{option}", result.stdout)

    @unittest.skipIf(os.path.exists("/proc/modules"), "this kernel has modules")
    def test_scripted_without_being_asked(self):
        result = subprocess.run([STORM, "synthetic", "--callers=2", "--rounds=1", "--compare=bare", "x"],
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("Scripted", result.stdout.splitlines()[0])

    def test_readme_has_the_schema(self):
        result = run("--json", "--callers=2", "--rounds=1", "--compare=bare", "x")
        with open(README) as file:
            documented = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", file.read()))))
        report = json.loads(result.stdout)
        names = set(report) | set(report["settings"][0]) | set(report["settings"][0]["rounds"][0])
        self.assertEqual(names - documented, set())

    def test_table(self):
        result = run("--callers=4", "--rounds=2", "--modules=2", "--compare=bare", "--call=init")
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.splitlines()
        self.assertIn("Scripted", lines[0])
        self.assertIn("4 callers, 2 calls of init_module each, 2 modules; 2 rounds", lines[1])
        self.assertIn("results, bare: 4 OK, 12 EEXIST", lines)

    def test_picture(self):
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/picture.svg"
            result = run("--callers=4", "--rounds=2", "--compare=bare", f"--svg={path}", "one")
            self.assertEqual(result.returncode, 0, result.stderr)
            text = "".join(xml.etree.ElementTree.parse(path).getroot().itertext())
            self.assertIn("Scripted", text)
            result = run("--callers=4", "--rounds=1", "--compare=bare", f"--svg={directory}/no/such.svg", "one")
            self.assertEqual(result.returncode, 1)
            self.assertIn("such.svg", result.stderr)
            self.assertIn("results", result.stdout)


class Bare(Case):
    def test_counts(self):
        for call in ("finit", "init"):
            bare = self.report("--modules=3", "--callers=16", "--rounds=2", "--compare=bare", f"--call={call}")["bare"]
            for part in bare["rounds"]:
                self.assertEqual(part["results"], {"OK": 3, "EEXIST": 45})
                self.assertEqual((part["kernel_calls"], part["scripted_inits"]), (48, 3))

    def test_calls(self):
        bare = self.report("--modules=3", "--callers=1", "--calls=7", "--rounds=1", "--compare=bare")["bare"]
        self.assertEqual(bare["rounds"][0]["results"], {"OK": 3, "EEXIST": 4})

    def test_bytes(self):
        bare = self.report("x", "y", "--callers=3", "--rounds=1", "--compare=bare", "--image-kib=100")["bare"]
        self.assertEqual(bare["rounds"][0]["kernel_bytes"], 6 * 100 * 1024)

    def test_failing(self):
        for name, shown in (("ENODEV", "ENODEV"), ("19", "ENODEV"), ("4000", "4000")):
            bare = self.report("x", "--callers=1", "--calls=5", "--rounds=1", "--compare=bare", f"--result={name}")["bare"]
            self.assertEqual(bare["rounds"][0]["results"], {shown: 5})
            self.assertEqual(bare["rounds"][0]["scripted_inits"], 5)

    def test_removed_between(self):
        bare = self.report("x", "y", "--callers=12", "--wave=4", "--rounds=2", "--compare=bare", "--between=remove")["bare"]
        for part in bare["rounds"]:
            self.assertEqual(part["results"], {"OK": 6, "EEXIST": 18})

    def test_warm(self):
        bare = self.report("x", "--callers=8", "--rounds=2", "--compare=bare", "--warm")["bare"]
        for part in bare["rounds"]:
            self.assertEqual((part["results"], part["scripted_inits"]), ({"EEXIST": 8}, 0))

    def test_load_us(self):
        bare = self.report("x", "--callers=1", "--rounds=1", "--compare=bare", "--load-us=30000")["bare"]
        self.assertLessEqual(30000000, bare["rounds"][0]["wall_ns"])

    def test_hold(self):
        bare = self.report("x", "--callers=20", "--rounds=1", "--compare=bare", "--hold", "--result=ENODEV")["bare"]
        self.assertEqual(bare["rounds"][0]["results"], {"ENODEV": 1, "EBUSY": 19})

    def test_many_modules(self):
        bare = self.report("--modules=2000", "--callers=1", "--rounds=1", "--compare=bare")["bare"]
        self.assertEqual(bare["rounds"][0]["results"], {"OK": 2000})


@unittest.skipIf(os.geteuid() != 0, "a filter with a listener needs root")
class Compared(Case):
    def test_counts(self):
        for call in ("finit", "init"):
            settings = self.report("--modules=3", "--callers=64", "--rounds=3", "--compare=bare,floor,modgate",
                                   f"--call={call}")
            self.assertEqual(list(settings), ["bare", "floor", "modgate"])
            for part in settings["floor"]["rounds"]:
                self.assertEqual(part["results"], {"ENODEV": 192})
            for part in settings["modgate"]["rounds"]:
                self.assertEqual((part["kernel_calls"], part["scripted_inits"]), (3, 3))
                self.assertEqual(part["results"]["OK"] + part["results"].get("EEXIST", 0), 192)
                self.assertLessEqual(3, part["results"]["OK"])
            for part, bare in zip(settings["modgate"]["rounds"], settings["bare"]["rounds"]):
                self.assertEqual(part["kernel_bytes"] * 64, bare["kernel_bytes"])

    def test_warm(self):
        modgate = self.report("x", "y", "--callers=8", "--rounds=2", "--compare=modgate", "--warm")["modgate"]
        for part in modgate["rounds"]:
            self.assertEqual((part["kernel_calls"], part["kernel_bytes"]), (0, 0))
            self.assertEqual(part["results"], {"EEXIST": 16})

    def test_waves_of_a_failing_module(self):
        settings = self.report("x", "--callers=96", "--wave=16", "--rounds=2", "--result=ENODEV", "--failure-ttl=60")
        for part in settings["modgate"]["rounds"]:
            self.assertEqual((part["kernel_calls"], part["results"]), (1, {"ENODEV": 96}))
        settings = self.report("x", "--callers=96", "--wave=16", "--rounds=2", "--result=ENODEV")
        for part in settings["modgate"]["rounds"]:
            self.assertLessEqual(6, part["kernel_calls"])

    def test_live_after_first_wave(self):
        settings = self.report("x", "--callers=96", "--wave=16", "--rounds=2", "--result=ENODEV", "--failure-ttl=60",
                               "--live=another")
        for part in settings["bare"]["rounds"]:
            self.assertEqual(part["kernel_calls"], 96)
        for part in settings["modgate"]["rounds"]:
            self.assertEqual((part["kernel_calls"], part["results"]), (2, {"ENODEV": 96}))

    def test_removed_between(self):
        modgate = self.report("x", "y", "--callers=32", "--wave=8", "--rounds=2", "--compare=modgate",
                              "--between=remove")["modgate"]
        for part in modgate["rounds"]:
            self.assertEqual((part["kernel_calls"], part["scripted_inits"]), (8, 8))

    def test_hold(self):
        settings = self.report("x", "--callers=200", "--rounds=2", "--compare=floor,modgate,bare", "--hold")
        for part in settings["modgate"]["rounds"]:
            # all of them joined
            self.assertEqual((part["kernel_calls"], part["results"]), (1, {"OK": 200}))

    def test_wake(self):
        for wake in ("plain", "auto"):
            floor = self.report("x", "--callers=1", "--calls=100", "--rounds=1", "--compare=floor",
                                f"--wake={wake}")["floor"]
            self.assertEqual(floor["rounds"][0]["results"], {"ENODEV": 100})

    def test_params(self):
        modgate = self.report("x", "--callers=8", "--rounds=1", "--compare=modgate", "--params=a=1 b=2")["modgate"]
        self.assertEqual(modgate["rounds"][0]["kernel_calls"], 1)


@unittest.skipIf(os.geteuid() != 0, "a filter with a listener needs root")
class Ends(unittest.TestCase):
    """However it ends, nothing is left."""

    CASES = (
        ["--compare=bare", "--rounds=10000"],
        ["--compare=floor", "--rounds=10000"],
        ["--compare=modgate", "--rounds=10000"],
        ["--modules=3000", "--callers=100", "--rounds=10000"],
        ["--compare=modgate,bare", "--load-us=600000000"],
        ["--compare=bare", "--callers=2", "--wave=1", "--load-us=600000000"],
    )

    def start(self, arguments, directory):
        if not any(argument.startswith("--modules") for argument in arguments):
            arguments = [*arguments, "x"]
        return subprocess.Popen([STORM, "synthetic", "--scripted", "--json", *arguments], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": directory})

    def let_run(self, arguments, directory, seconds):
        """The process, and all that it started."""
        storm = self.start(arguments, directory)
        seen, end = set(), time.monotonic() + seconds
        while time.monotonic() < end:
            seen.update(descendants_of(storm.pid))
            time.sleep(0.01)
        return storm, seen

    def gone(self, seen):
        end = time.monotonic() + 30
        while any(self.is_ours(pid) for pid in seen):
            self.assertLess(time.monotonic(), end, "processes are left")
            time.sleep(0.05)

    @staticmethod
    def is_ours(pid):
        """Zombies are their new parent's affair."""
        try:
            with open(f"/proc/{pid}/stat") as file:
                name, rest = file.read().rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return "modgate" in name and rest.split()[0] != "Z"

    def interrupt(self, arguments, directory, seconds):
        storm, seen = self.let_run(arguments, directory, seconds)
        storm.send_signal(signal.SIGINT)
        stdout, stderr = storm.communicate(timeout=60)
        if storm.returncode == -signal.SIGINT:
            return  # before it was ready to be interrupted
        self.assertEqual(storm.returncode, 130, stderr)
        self.assertFalse(any(self.is_ours(pid) for pid in seen))
        self.assertEqual(glob.glob(f"{directory}/*"), [])
        if stdout:
            self.assertIn("partial", stderr)
            self.assertTrue(json.loads(stdout)["partial"])

    def test_interrupted(self):
        for arguments in self.CASES:
            for seconds in (0.05, 0.2 + random.random() / 4, 1):
                with self.subTest(arguments=arguments, seconds=seconds), tempfile.TemporaryDirectory() as directory:
                    self.interrupt(arguments, directory, seconds)

    def test_killed(self):
        for arguments in self.CASES:
            with self.subTest(arguments=arguments), tempfile.TemporaryDirectory() as directory:
                storm, seen = self.let_run(arguments, directory, 0.5)
                storm.kill()
                storm.communicate(timeout=60)
                self.gone(seen)

    def test_nothing_left_after_success(self):
        with tempfile.TemporaryDirectory() as directory:
            storm = self.start(["--callers=8", "--rounds=2"], directory)
            storm.communicate(timeout=60)
            self.assertEqual(storm.returncode, 0)
            self.assertEqual(glob.glob(f"{directory}/*"), [])


class Unprivileged(unittest.TestCase):
    @unittest.skipIf(os.geteuid() != 0, "needs root to become somebody else")
    def test_without_root(self):
        result = run("--callers=2", "--rounds=1", "--compare=modgate", "x", user=65534, group=65534,
                     env={**os.environ, "TMPDIR": "/tmp"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("root", result.stderr)
        self.assertEqual(result.stdout, "")
        result = run("--callers=2", "--rounds=1", "--compare=bare", "x", user=65534, group=65534,
                     env={**os.environ, "TMPDIR": "/tmp"})
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
