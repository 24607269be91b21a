# SPDX-License-Identifier: LGPL-2.1-or-later
"""Boots a guest twice, bare and with the drop-in, and compares what module loading cost."""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))

sys.path.insert(0, os.path.dirname(HERE))
from guestvm import errors, processes  # noqa: E402

# Traced from the kernel's first moment on. A supervised call fires only the sys_exit_* events in its caller. udevd would kill
# a worker after 180 s: with many emulated CPUs it would give up events that any real machine gets through, bare or not.
KERNEL_ARGUMENTS = ("trace_buf_size=8M trace_event=syscalls:sys_exit_finit_module,syscalls:sys_exit_init_module,"
                    "module:module_load kprobe_event=p:load_module,load_module udev.event_timeout=1800")
DROP_IN = "etc/systemd/system/systemd-udevd.service.d/modgate.conf"
SETTLE_DROP_IN = "etc/systemd/system/systemd-udev-settle.service.d/quickstart.conf"
WANTS = "etc/systemd/system/sysinit.target.wants"

# `  (udev-worker)-123   [001] .....     7.123456: module_load: kvm …`, `…: sys_finit_module -> 0x0`
TRACE_LINE = re.compile(r"^\s*(?P<task>\S.*)-\d+\s+\[\d+\]\s+\S+\s+[\d.]+: (?P<event>\w+)(?P<text>.*)$")
CALLER = "(udev-worker)"
PERFORMERS = (CALLER, "modgate-loader")

# A storm that takes a second on a real machine takes a minute on an emulated one, more on a busy one.
FAILURE_TTL_S = 300

# A failing module is loaded once, and once more to make up for modules that went live meanwhile.
LOADS_OF_FAILING_MAX = 2

ROWS = (("calls made by udevd's workers", "calls", ""), ("loads that reached the kernel", "loads", ""),
        ("distinct modules asked for", "distinct", ""), ("of these never loaded", "failing", ""),
        ("vmalloc peak", "vmalloc_peak_kib", "KiB"), ("time to settle", "settle_s", "s"),
        ("CPU time of udevd's unit", "unit_cpu_s", "s"),
        ("duplicates answered by modgate", "duplicates", ""))
ROWS_AGAIN = (("triggered again: calls", "calls", ""), ("loads that reached the kernel", "loads", ""),
              ("time to settle", "settle_s", "s"))


class QuickstartError(Exception):
    """Told in one line."""


def main():
    options = parse()
    processes.end_on_signals()
    try:
        if not options.no_build:
            run([os.path.join(TOP, "scripts", "lib", "install"), "build", "guest"])
            build(options.build)
        with tempfile.TemporaryDirectory(prefix="modgate-quickstart-") as work:
            result = compare(options, work)
    except errors.Interrupted as interrupted:
        print(f"quickstart: {interrupted}", file=sys.stderr)
        return interrupted.code
    except QuickstartError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    print_table(result)
    for problem in result["problems"]:
        print(f"quickstart: {problem}", file=sys.stderr)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=1)
            f.write("\n")
    return 1 if result["problems"] else 0


def parse():
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the comparison as JSON (docs/quickstart.md)")
    parser.add_argument("--cpus", type=int, default=8, metavar="N", help="of the guest (8)")
    parser.add_argument("--release", choices=("12", "13", "12on13"), default="12",
                        help="of Debian in the guest (12); 12on13: with the kernel of 13")
    parser.add_argument("--build", default=os.path.join(TOP, "build-quickstart"), metavar="DIR",
                        help="where to build (build-quickstart)")
    parser.add_argument("--no-build", action="store_true", help="as it was built last")
    parser.add_argument("--modgate-first", action="store_true", help="the boot under modgate comes first")
    return parser.parse_args()


def build(directory):
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        run(["meson", "setup", "--prefix=/usr", directory, TOP], stdout=subprocess.DEVNULL)
    print("quickstart: building", file=sys.stderr, flush=True)
    run(["ninja", "-C", directory, "--quiet"], stdout=subprocess.DEVNULL)


def compare(options, work):
    overlays = make_overlays(options, work)
    order = ("modgate", "bare") if options.modgate_first else ("bare", "modgate")
    boots = {name: boot(options, name, overlays[name], os.path.join(work, name + ".out")) for name in order}
    bare, modgate = boots["bare"], boots["modgate"]
    result = {
        "schema": "modgate.quickstart/1",
        "release": int(options.release.partition("on")[0]),
        "kernel": bare.facts["kernel"],
        "cpus": int(bare.facts["cpus"]),
        "bare": bare.figures,
        "modgate": modgate.figures,
        "modules_equal": bare.figures["modules"] == modgate.figures["modules"],
    }
    return {**result, "problems": list(judge(result, boots))}


def judge(result, boots):
    """What must hold, and does not."""
    for name, one in boots.items():
        if one.facts["system_state"] != "running":
            yield f"the {name} boot is {one.facts['system_state']}; failed units: {one.facts['failed_units'] or 'none'}"
    if not result["modules_equal"]:
        difference = set(result["bare"]["modules"]) ^ set(result["modgate"]["modules"])
        yield f"the two boots ended with different modules: {' '.join(sorted(difference))}"
    yield from judge_loads("under modgate", result["modgate"], 1, LOADS_OF_FAILING_MAX)
    yield from judge_loads("under modgate, triggered again,", result["modgate"]["again"], 0, 1)


def judge_loads(when, figures, of_others, of_failing):
    """How many loads may reach the kernel, in all: on a slow machine one module's failure may be made up for twice."""
    others = figures["distinct"] - figures["failing"]
    if figures["loads"] > others * of_others + figures["failing"] * of_failing:
        yield (f"{when} {figures['loads']} loads reached the kernel, for {figures['distinct']} distinct modules "
               f"of which {figures['failing']} never loaded")


def make_overlays(options, work):
    """The two boots differ in the drop-in alone."""
    overlays = {}
    for name in ("bare", "modgate"):
        top = overlays[name] = os.path.join(work, name)
        run(["meson", "install", "-C", options.build, "--quiet", "--no-rebuild", "--destdir", top])
        copy(os.path.join(options.build, "bench", "vmalloc_peak"), top, "usr/local/bin/vmalloc_peak")
        copy(os.path.join(HERE, "vmalloc-peak.service"), top, "etc/systemd/system/vmalloc-peak.service")
        copy(os.path.join(HERE, "settle.conf"), top, SETTLE_DROP_IN)
        os.makedirs(os.path.join(top, WANTS))
        os.symlink("/etc/systemd/system/vmalloc-peak.service", os.path.join(top, WANTS, "vmalloc-peak.service"))
        os.symlink("/lib/systemd/system/systemd-udev-settle.service",
                   os.path.join(top, WANTS, "systemd-udev-settle.service"))
    drop_in = os.path.join(overlays["modgate"], DROP_IN)
    copy(os.path.join(TOP, "examples", "udevd-dropin.conf"), overlays["modgate"], DROP_IN)
    run(["sed", "-i", f"s/--failure-ttl=[0-9][0-9]*/--failure-ttl={FAILURE_TTL_S}/", drop_in])
    return overlays


def copy(source, top, destination):
    target = os.path.join(top, destination)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(source, target)


def run(command, **arguments):
    if subprocess.run(command, check=False, **arguments).returncode != 0:
        raise QuickstartError(f"{os.path.basename(command[0])} failed")


def boot(options, name, overlay, out):
    print(f"quickstart: booting Debian {options.release} with {options.cpus} CPUs, "
          f"{'bare' if name == 'bare' else 'udevd under modgate'} (about a minute)", file=sys.stderr, flush=True)
    command = [os.path.join(TOP, "scripts", "guest"), "run", options.release, "--cpus", str(options.cpus),
               "--timeout", str(timeout_s(options.cpus)), "--append", KERNEL_ARGUMENTS, "--overlay", overlay,
               "--out", out, os.path.join(HERE, "measure")]
    status = subprocess.run(command, check=False, stdout=sys.stderr).returncode
    if status != 0:
        raise QuickstartError(f"the {name} boot did not get through (exit status {status})")
    return Boot(out)


def timeout_s(cpus):
    """Emulated CPUs share those of this machine."""
    return max(600, 60 * cpus)


class Boot:
    """What a boot left behind, and the figures made of it."""

    def __init__(self, out):
        self._out = out
        self.facts = dict(line.split("=", 1) for line in self._lines("facts"))
        self.figures = self._figures()

    def _lines(self, name):
        with open(os.path.join(self._out, name), encoding="utf-8", errors="replace") as f:
            return f.read().splitlines()

    def _figures(self):
        live = self._lines("modules")
        figures = {
            **self._counts("trace", live),
            "again": {**self._counts("trace-again", live), "settle_s": float(self.facts["again_s"])},
            "vmalloc_peak_kib": int(self.facts["vmalloc_peak_kib"]),
            "settle_s": round((int(self.facts["settled_us"]) - int(self.facts["trigger_us"])) / 1e6, 2),
            "unit_cpu_s": round(int(self.facts["unit_cpu_us"]) / 1e6, 2),
            "modules": live,
        }
        report = os.path.join(self._out, "report.json")
        if os.path.exists(report):
            with open(report, encoding="utf-8") as f:
                figures["duplicates"] = json.load(f)["totals"]["duplicates"]
        return figures

    def _counts(self, trace, live):
        calls, loads, asked = self._trace(trace)
        failing = {name: asked[name] for name in sorted(asked) if name not in live}
        return {"calls": calls, "loads": loads, "distinct": len(asked), "failing": len(failing),
                "loads_of_failing": failing, "loads_by_module": dict(sorted(asked.items()))}

    def _trace(self, name):
        calls, loads, asked = 0, 0, collections.Counter()
        for line in self._lines(name):
            match = TRACE_LINE.match(line)
            if not match:
                continue
            task, event = match["task"], match["event"]
            if event in ("sys_finit_module", "sys_init_module") and task == CALLER:
                calls += 1
            elif event == "load_module" and task in PERFORMERS:
                loads += 1
            elif event == "module_load" and task in PERFORMERS:
                asked[match["text"].split()[1]] += 1
        return calls, loads, asked


def print_table(result):
    print(f"\nDebian {result['release']}, kernel {result['kernel']}, {result['cpus']} CPUs, software emulation: "
          "udevd's cold-plug")
    columns = [result[name] for name in ("bare", "modgate")]
    print(f"{'':34}{'bare':>12}{'modgate':>12}")
    print_rows(ROWS, columns)
    equal = "equal" if result["modules_equal"] else "NOT equal"
    print(f"{'sets of loaded modules':34}{len(result['bare']['modules']):>12}{len(result['modgate']['modules']):>12}"
          f" {equal}")
    print_rows(ROWS_AGAIN, [column["again"] for column in columns])


def print_rows(rows, columns):
    for title, key, unit in rows:
        cells = "".join(f"{column.get(key, '-'):>12}" for column in columns)
        print(f"{title:34}{cells} {unit}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
