#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""modgate-storm boot, with a script in the place of scripts/quickstart that boots nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.dom.minidom

STORM = os.path.abspath(sys.argv.pop(1))

# Writes down how it was called. What it does is in the file `do-CPUS`, if there is one.
SCRIPT = """#!/usr/bin/env python3
import argparse, json, os, signal, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--release")
parser.add_argument("--cpus", type=int)
parser.add_argument("--json")
parser.add_argument("--build")
for flag in ("--no-build", "--modgate-first"):
    parser.add_argument(flag, action="store_true")
options = parser.parse_args()
here = os.path.dirname(os.path.abspath(__file__))
with open(f"{here}/calls", "a") as calls:
    calls.write(json.dumps(vars(options)) + "\\n")
run = len(open(f"{here}/calls").readlines())
print("this is not for the user")
exec(open(f"{here}/do-{options.cpus}").read() if os.path.exists(f"{here}/do-{options.cpus}") else "")
def boot(loads, settle_s):
    return {"calls": 10 * options.cpus, "loads": loads, "distinct": 4, "failing": 2, "vmalloc_peak_kib": 2048 + loads,
            "settle_s": settle_s, "unit_cpu_s": settle_s / 4, "again": {"loads": 1}, "loads_by_module": {"mg_one": loads}}
with open(options.json, "w") as f:
    json.dump({"schema": globals().get("schema", "modgate.quickstart/1"), "release": 12, "kernel": "6.1.0-test",
               "cpus": options.cpus, "bare": boot(10 * options.cpus, 4.0 + run), "modgate": boot(6, 2.0),
               "problems": globals().get("problems", [])}, f)
sys.exit(1 if globals().get("problems") else 0)
"""


def is_running(pid):
    return os.path.exists(f"/proc/{pid}")


class Boot(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix="modgate-boot-test-")
        self.addCleanup(shutil.rmtree, self.top)
        self.scripts = os.path.join(self.top, "scripts")
        os.mkdir(self.scripts)
        self.write("quickstart", SCRIPT)

    def path(self, name):
        return os.path.join(self.scripts, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        os.chmod(self.path(name), 0o755)

    def start(self, *arguments):
        return subprocess.Popen([STORM, "boot", f"--source={self.top}", *arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def run_storm(self, *arguments, status=0):
        storm = self.start(*arguments)
        stdout, stderr = storm.communicate(timeout=120)
        self.assertEqual(storm.returncode, status, stderr)
        return stdout, stderr

    def calls(self):
        with open(self.path("calls")) as file:
            return [json.loads(line) for line in file]

    def test_json(self):
        stdout, _ = self.run_storm("--cpus=2,16", "--release=12,12on13", "--rounds=3", "--json")
        report = json.loads(stdout)
        self.assertEqual((report["schema"], report["partial"], report["rounds"], report["problems"]),
                         ("modgate.storm.boot/1", False, 3, []))
        self.assertEqual([(case["release"], case["cpus"], case["rounds"], case["failed_rounds"])
                          for case in report["cases"]],
                         [("12", 2, 3, 0), ("12", 16, 3, 0), ("12on13", 2, 3, 0), ("12on13", 16, 3, 0)])
        case = report["cases"][1]
        # the second of four in each round: bare settles in 4 + 2, + 6, + 10 seconds
        self.assertEqual(case["bare"]["settle_s"], {"min": 6, "median": 10, "max": 14})
        self.assertEqual(case["modgate"]["settle_s"], {"min": 2, "median": 2, "max": 2})
        self.assertEqual([round(case["ratio"]["settle_s"][which], 4) for which in ("min", "median", "max")],
                         [0.1429, 0.2, 0.3333])
        self.assertEqual(case["bare"]["loads"]["median"], 160)
        self.assertEqual(case["modgate"]["unit_cpu_s"]["median"], 0.5)
        self.assertEqual(case["bare"]["again_loads"]["median"], 1)
        self.assertEqual(case["ratio"]["calls"], {"min": 1, "median": 1, "max": 1})
        self.assertEqual([boot["bare"]["loads_by_module"] for boot in case["boots"]], 3 * [{"mg_one": 160}])

    def test_order(self):
        self.run_storm("--cpus=1,2", "--release=13", "--rounds=2", "--build=/elsewhere")
        self.assertEqual([(call["cpus"], call["modgate_first"], call["no_build"]) for call in self.calls()],
                         [(1, False, False), (2, False, True), (1, True, True), (2, True, True)])
        self.assertTrue(all((call["release"], call["build"]) == ("13", "/elsewhere") for call in self.calls()))

    def test_defaults(self):
        self.run_storm()
        self.assertEqual([(call["release"], call["cpus"]) for call in self.calls()],
                         3 * [(release, cpus) for release in ("12", "13") for cpus in (1, 16, 64)])
        self.assertTrue(all(call["build"] is None for call in self.calls()))

    def test_table(self):
        stdout, stderr = self.run_storm("--cpus=1,2", "--release=12", "--rounds=2")
        rows = {line[:30].strip(): line[30:].split() for line in stdout.splitlines()}
        self.assertIn("Debian 12, 1 CPU, kernel 6.1.0-test, 2 rounds\n", stdout)
        self.assertIn("Debian 12, 2 CPUs, kernel 6.1.0-test, 2 rounds\n", stdout)
        self.assertEqual(rows["loads that reached the kernel"], ["20", "6", "0.30"])
        # 4 + 2 and 4 + 4 seconds
        self.assertEqual(rows["time to settle, s"],
                         "7.00 (6.00 - 8.00) 2.00 0.29 (0.25 - 0.33)".split())
        self.assertEqual(rows["vmalloc peak, MiB"], ["2.0", "2.0", "0.99"])
        self.assertNotIn("not for the user", stdout + stderr)

    def test_picture(self):
        path = os.path.join(self.top, "picture.svg")
        self.run_storm("--cpus=1,2", "--release=13", "--rounds=1", f"--svg={path}")
        with open(path) as file:
            text = file.read()
        xml.dom.minidom.parseString(text)
        for expected in ("Debian 13, 2 CPUs", "time to settle", "loads that reached the kernel", "vmalloc peak"):
            self.assertIn(f">{expected}</text>", text)
        self.assertNotIn("Partial", text)
        # the second run: 6 seconds bare
        self.assertIn("<title>bare: 6 s (6 - 6)</title>", text)

    def test_one_fails(self):
        self.write("do-2", "print('a guest broke', file=sys.stderr); sys.exit(1)")
        path = os.path.join(self.top, "picture.svg")
        stdout, stderr = self.run_storm("--cpus=1,2,3", "--release=12", "--rounds=2", "--json", f"--svg={path}", status=1)
        report = json.loads(stdout)
        self.assertTrue(report["partial"])
        self.assertEqual([(case["rounds"], case["failed_rounds"]) for case in report["cases"]], [(2, 0), (0, 2), (2, 0)])
        self.assertEqual(report["cases"][1]["bare"], {})
        self.assertEqual(report["problems"], ["Debian 12, 2 CPUs: 2 of the rounds did not get through"])
        self.assertIn("a guest broke", stderr)
        self.assertIn("partial", stderr)
        with open(path) as file:
            text = file.read()
        self.assertIn("Partial", text)
        self.assertIn("not measured", text)
        stdout, _ = self.run_storm("--cpus=2", "--release=12", "--rounds=1", status=1)
        self.assertIn("Debian 12, 2 CPUs: not measured\n", stdout)
        self.assertIn("did not get through", stdout)

    def test_first_fails(self):
        """What was not built cannot be taken as built."""
        self.write("do-1", "if run == 1: sys.exit(1)")
        self.run_storm("--cpus=1,2", "--release=12", "--rounds=2", status=1)
        self.assertEqual([call["no_build"] for call in self.calls()], [False, False, True, True])

    def test_odd_results(self):
        for text in ("open(options.json, 'w').write('{'); sys.exit(0)", "open(options.json, 'w').write('[]'); sys.exit(0)",
                     "open(options.json, 'w').write('{\"schema\": null}'); sys.exit(0)", "schema = 'another/1'",
                     "sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"):
            self.write("do-1", text)
            stdout, _ = self.run_storm("--cpus=1", "--release=12", "--rounds=1", "--json", status=1)
            self.assertEqual(json.loads(stdout)["cases"][0]["failed_rounds"], 1, text)

    def test_problems(self):
        """The figures count all the same."""
        self.write("do-2", "problems = ['under modgate mg_bad, which fails, was loaded 9 times']")
        stdout, _ = self.run_storm("--cpus=1,2", "--release=12", "--rounds=1", status=1)
        self.assertIn("Debian 12, 2 CPUs: under modgate mg_bad, which fails, was loaded 9 times\n", stdout)
        stdout, stderr = self.run_storm("--cpus=2", "--release=12", "--rounds=1", "--json", status=1)
        report = json.loads(stdout)
        self.assertFalse(report["partial"])
        self.assertEqual((report["cases"][0]["rounds"], len(report["problems"])), (1, 1))
        self.assertNotIn("partial", stderr)

    def await_file(self, name):
        end = time.monotonic() + 60
        while not os.path.exists(self.path(name)):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def hang(self):
        """In the second case of the first round, with a child."""
        self.write("do-2", """
import subprocess
child = subprocess.Popen(["sleep", "1000"])
with open(f"{here}/pids.new", "w") as pids:
    pids.write(f"{os.getpid()} {child.pid}")
os.rename(f"{here}/pids.new", f"{here}/pids")
child.wait()
""")

    def pids(self):
        self.await_file("pids")
        with open(self.path("pids")) as file:
            return file.read().split()

    def await_end(self, pids):
        end = time.monotonic() + 60
        while any(is_running(pid) for pid in pids):
            self.assertLess(time.monotonic(), end, "processes are left")
            time.sleep(0.01)

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.hang()
            storm = self.start("--cpus=1,2", "--release=12", "--rounds=2", "--json")
            pids = self.pids()
            storm.send_signal(number)
            stdout, stderr = storm.communicate(timeout=60)
            self.assertEqual(storm.returncode, 130, stderr)
            self.assertIn("partial", stderr)
            report = json.loads(stdout)
            self.assertTrue(report["partial"])
            self.assertEqual([(case["rounds"], case["failed_rounds"]) for case in report["cases"]], [(1, 0), (0, 0)])
            self.assertFalse(is_running(pids[0]))
            self.await_end(pids)
            os.unlink(self.path("pids"))

    def test_killed(self):
        self.hang()
        storm = subprocess.Popen([STORM, "boot", f"--source={self.top}", "--cpus=2", "--release=12", "--rounds=1"])
        pids = self.pids()
        storm.kill()
        storm.wait(60)
        # its own children are the script's business
        self.await_end(pids[:1])
        os.kill(int(pids[1]), signal.SIGKILL)

    def test_progress(self):
        """Only on a terminal, and from a group that is not the terminal's own."""
        terminal, theirs = os.openpty()
        storm = subprocess.Popen([STORM, "boot", f"--source={self.top}", "--cpus=2", "--release=12", "--rounds=1"],
                                 stdout=subprocess.DEVNULL, stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.assertEqual(storm.wait(60), 0)
        self.assertIn(b"round 1 of 1, machine 1 of 1: Debian 12, 2 CPUs", os.read(terminal, 4096))
        os.close(terminal)
        self.assertEqual(self.run_storm("--cpus=2", "--release=12", "--rounds=1")[1], "")

    def test_usage_errors(self):
        for arguments in (["--cpus=0"], ["--cpus="], ["--cpus=1,,2"], ["--cpus=x"], ["--cpus=2000"], ["--cpus"],
                          ["--cpus=" + ",".join(17 * ["1"])], ["--release=11"], ["--release="], ["--release=12,12"],
                          ["--rounds=0"], ["--rounds=101"], ["more"], ["--unknown"], ["--source=/nonexistent"]):
            stdout, stderr = self.run_storm(*arguments, status=2)
            self.assertTrue(stderr.startswith("modgate-storm: "), stderr)
            self.assertEqual(stdout, "")
        self.assertFalse(os.path.exists(self.path("calls")))

    def test_picture_cannot_be_written(self):
        """Said before anything is booted; or, if the space is not there, after all is told."""
        _, stderr = self.run_storm("--svg=/nonexistent/picture.svg", status=1)
        self.assertIn("/nonexistent/picture.svg", stderr)
        self.assertFalse(os.path.exists(self.path("calls")))
        stdout, stderr = self.run_storm("--cpus=1", "--release=12", "--rounds=1", "--svg=/dev/full", status=1)
        self.assertIn("picture", stderr)
        self.assertIn("time to settle", stdout)

    def test_tree_is_found(self):
        """That of the program; else the current directory."""
        copy = os.path.join(self.top, "build", "bench", "modgate-storm")
        os.makedirs(os.path.dirname(copy))
        shutil.copy(STORM, copy)
        subprocess.run([copy, "boot", "--cpus=1", "--release=12", "--rounds=1"], cwd="/", check=True,
                       stdout=subprocess.DEVNULL)
        self.assertEqual(len(self.calls()), 1)
        with tempfile.TemporaryDirectory() as elsewhere:
            copy = shutil.copy(STORM, elsewhere)
            subprocess.run([copy, "boot", "--cpus=1", "--release=12", "--rounds=1"], cwd=self.scripts, check=True,
                           stdout=subprocess.DEVNULL)
            self.assertEqual(len(self.calls()), 2)
            nowhere = subprocess.run([copy, "boot"], cwd=elsewhere, capture_output=True, text=True)
            self.assertEqual(nowhere.returncode, 2)
            self.assertIn("--source", nowhere.stderr)

    def test_help(self):
        stdout, _ = self.run_storm("--help")
        for option in ("--cpus", "--release", "--rounds", "--json", "--svg", "--source", "--build"):
            self.assertIn(option, stdout)


if __name__ == "__main__":
    unittest.main()
