#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
policy_test.py MODGATE MANUAL CC

modgate policy, as people use it, and the examples of its manual. `explain` runs in a file system of its own (chroot, so
as root) with modules that are nothing but what depmod and libkmod look at, and a /sys that says which are live.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

MODGATE, MANUAL = sys.argv.pop(1), sys.argv.pop(1)
CC = sys.argv.pop(1).split()

# name: what stands in its modinfo, and more of its source
MODULES = {
    "mg_base": ("alias=mg-bus:base", '__attribute__((section("__ksymtab_strings"), used)) static const char s[] = "mg_symbol";'),
    "mg-top": ("alias=net-pf-77", "extern int mg_symbol; int *p = &mg_symbol;"),
    "mg_soft": ("alias=net-pf-78", ""),
    "mg_twin": ("alias=net-pf-78", ""),
    "mg_blocked": ("license=GPL", ""),
    "mg_installed": ("license=GPL", ""),
    "mg_live": ("license=GPL", ""),
}

MODINFO = '__attribute__((section(".modinfo"), used)) static const char modinfo[] = "%s";'

MODPROBE = """
blacklist mg_blocked
install mg_installed /bin/false
softdep mg-top pre: mg_soft post: mg_live
alias mg-nickname mg_base
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def write_bytes(path, data):
    with open(path, "wb") as file:
        file.write(data)


# depmod and chroot are root's
ENVIRONMENT = os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
                          env=ENVIRONMENT)


class Check(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def check(self, *texts):
        paths = []
        for number, text in enumerate(texts):
            paths.append(f"{self.directory}/{number}.ini")
            write(paths[-1], text)
        return run(MODGATE, "policy", "check", *paths)

    def test_good(self):
        result = self.check("[a]\nallow=x\n", "[b]\n[a]\ndeny=y\n")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "no errors, profiles: 2\n", ""))

    def test_every_error(self):
        result = self.check("[a]\nallow=/\nbogus=1\n", "rate=1/2\n[b]\nlive=hide\nlive=tell\n")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 4, result.stderr)
        for line, start in zip(lines, ["0.ini:2: '/': ", "0.ini:3: unknown key 'bogus'", "1.ini:1: rate= is of a profile",
                                       "1.ini:4: live= has another value at "]):
            self.assertTrue(line.startswith(f"{self.directory}/{start}"), line)

    def test_unreadable(self):
        write(f"{self.directory}/good.ini", "[a]\n")
        os.mkfifo(f"{self.directory}/fifo")
        with open(f"{self.directory}/long", "wb") as file:
            file.truncate(2**20 + 1)
        for name, says in [("nowhere", "No such file or directory"), (".", "Is a directory"),
                           ("fifo", "not an ordinary file"), ("long", "more than 1048576 bytes")]:
            path = f"{self.directory}/{name}"
            result = run(MODGATE, "policy", "check", f"{self.directory}/good.ini", path)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertEqual(result.stderr, f"{path}: cannot be read: {says}\n")

    def test_no_profile(self):
        result = self.check("")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "no errors, profiles: 0\nwithout a profile, containers get nothing\n")

    def test_explain_without_a_policy(self):
        result = run(MODGATE, "policy", "explain", "-f", f"{self.directory}/nowhere", "p", "m")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("nowhere: cannot be read", result.stderr)


class Manual(unittest.TestCase):
    def setUp(self):
        with open(MANUAL, encoding="utf-8") as file:
            self.text = file.read()

    def test_examples(self):
        examples = re.findall(r"^```\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        self.assertGreater(len(examples), 4)
        with tempfile.TemporaryDirectory() as directory:
            for number, example in enumerate(examples):
                write(f"{directory}/{number}.ini", example)
                result = run(MODGATE, "policy", "check", f"{directory}/{number}.ini")
                self.assertEqual((result.returncode, result.stderr), (0, ""), example)
                self.assertNotIn("profiles: 0", result.stdout)
            # and they do not contradict each other
            result = run(MODGATE, "policy", "check", *[f"{directory}/{i}.ini" for i in range(len(examples))])
            self.assertEqual(result.stderr, "")

    def test_keys(self):
        with tempfile.TemporaryDirectory() as directory:
            write(f"{directory}/x.ini", "[p]\nx=1\n")
            said = run(MODGATE, "policy", "check", f"{directory}/x.ini").stderr
        keys = set(re.search("there are (.*)$", said, re.MULTILINE).group(1).split(", "))
        self.assertEqual(set(re.findall(r"^\*([a-z]+)=", self.text, re.MULTILINE)), keys)


@unittest.skipUnless(os.geteuid() == 0, "chroot needs root")
class Explain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.root)
        release = os.uname().release
        for name, (modinfo, source) in MODULES.items():
            path = f"{cls.root}/lib/modules/{release}/kernel/{name}.ko"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            subprocess.run([*CC, "-x", "c", "-c", "-", "-o", path], input=MODINFO % modinfo + source, text=True, check=True)
        write(f"{cls.root}/lib/modules/{release}/modules.builtin", "kernel/mg_builtin.ko\n")
        subprocess.run(["depmod", "-b", cls.root, release], check=True, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        write(f"{cls.root}/etc/modprobe.d/test.conf", MODPROBE)
        write(f"{cls.root}/sys/module/mg_live/initstate", "live\n")
        cls.copy_program()

    @classmethod
    def copy_program(cls):
        libraries = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", MODGATE], capture_output=True, text=True,
                                                               check=True).stdout)
        for path in libraries:
            os.makedirs(os.path.dirname(cls.root + path), exist_ok=True)
            shutil.copy(path, cls.root + path)
        shutil.copy(MODGATE, f"{cls.root}/modgate")
        os.makedirs(f"{cls.root}/dev", exist_ok=True)

    def policy(self, **files):
        directory = f"{self.root}/etc/modgate/policy.d"
        shutil.rmtree(directory, ignore_errors=True)
        for name, text in files.items():
            write(f"{directory}/{name.replace('_', '.')}", text)

    def modgate(self, *arguments):
        return run("chroot", self.root, "/modgate", "policy", *arguments)

    def explain(self, *arguments, status=0):
        result = self.modgate("explain", "p", *arguments)
        self.assertEqual(result.stderr, "")
        self.assertEqual(result.returncode, status, result.stdout)
        return result.stdout

    def check(self, profile, *arguments, says, status=0):
        self.policy(a_ini=f"[p]\n{profile}")
        self.assertEqual(self.explain(*arguments, status=status), says)

    def test_directory(self):
        self.assertEqual(self.modgate("check").returncode, 0)
        self.policy()
        self.assertIn("there is none in /etc/modgate/policy.d/*.ini", self.modgate("check").stdout)
        self.policy(b_ini="[b]\n", a_ini="[a]\n", a_ini_bak="nothing", a_conf="nothing")
        write(f"{self.root}/etc/modgate/policy.d/.hidden.ini", "nothing")
        result = self.modgate("check")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "no errors, profiles: 2\n", ""))
        self.policy(b_ini="x\n", a_ini="x\n")
        self.assertEqual([line.split(":")[0] for line in self.modgate("check").stderr.splitlines()],
                         ["/etc/modgate/policy.d/a.ini", "/etc/modgate/policy.d/b.ini"])
        os.symlink("nowhere", f"{self.root}/etc/modgate/policy.d/c.ini")
        self.assertIn("c.ini: cannot be read", self.modgate("check").stderr)

    def test_unknown_profile(self):
        self.policy(a_ini="[p]\nallow=*\n")
        result = self.modgate("explain", "q", "mg_base")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(result.stderr, "modgate: there is no profile 'q' in /etc/modgate/policy.d/*.ini: its containers get "
                                        "nothing\n")

    def test_loaded(self):
        place = "(/etc/modgate/policy.d/a.ini:2)"
        self.check("allow=mg_base\n", "mg-base", says=f"mg_base: would be loaded\n  because: allow=mg_base {place}\n")
        self.check("allow=mg-top\n", "mg_top",
                   says=f"mg_top: would be loaded\n  because: allow=mg-top {place}\n  with: mg_base\n"
                        "  soft dependency: mg_soft\n  soft dependency, afterwards: mg_live\n")
        self.check("allow=alias:net-pf-*\n", "net-pf-77",
                   says=f"mg_top: would be loaded\n  because: allow=alias:net-pf-* {place}\n  with: mg_base\n"
                        "  soft dependency: mg_soft\n  soft dependency, afterwards: mg_live\n")
        self.check("allow=mg_base\n", "mg-nickname", says=f"mg_base: would be loaded\n  because: allow=mg_base {place}\n")

    def test_several(self):
        said = "mg_soft: would be loaded\n  because: allow=mg_soft (/etc/modgate/policy.d/a.ini:2)\n"
        refused = "mg_twin: EPERM: refused\n  because: no allow= names it (/etc/modgate/policy.d/a.ini:1)\n"
        self.policy(a_ini="[p]\nallow=mg_soft\n")
        self.assertIn(self.explain("net-pf-78", status=1), (said + refused, refused + said))

    def test_dependencies(self):
        self.check("allow=mg_top\ndeny=alias:mg-bus:*\n", "mg_top", status=1,
                   says="mg_top: EPERM: refused\n  because: it needs the module mg_base, and deny=alias:mg-bus:* "
                        "(/etc/modgate/policy.d/a.ini:3)\n")
        self.check("allow=mg_top\ndeny=mg_soft\n", "mg_top",
                   says="mg_top: would be loaded\n  because: allow=mg_top (/etc/modgate/policy.d/a.ini:2)\n"
                        "  with: mg_base\n  soft dependency: mg_soft (denied: left out)\n"
                        "  soft dependency, afterwards: mg_live\n")

    def test_dependents(self):
        place = "(/etc/modgate/policy.d/a.ini:2)"
        for entry in "mg_top", "mg-t*", "alias:net-pf-77":
            self.check(f"allow={entry}\n", "mg_base",
                       says=f"mg_base: would be loaded\n  because: mg_top needs it, and allow={entry} {place}\n")
        self.check("allow=mg_soft\n", "mg_base", status=1,
                   says="mg_base: EPERM: refused\n  because: no allow= names it (/etc/modgate/policy.d/a.ini:1)\n")

    def test_blacklist(self):
        for name in "mg_blocked", "mg_installed":
            self.check("allow=*\n", name, status=1,
                       says=f"{name}: EPERM: refused\n  because: the host's modprobe.d has it on its blacklist "
                            "(blacklist=respect) (by default)\n")
            self.check("allow=*\nblacklist=ignore\n", name,
                       says=f"{name}: would be loaded\n  because: allow=* (/etc/modgate/policy.d/a.ini:2)\n")

    def test_live(self):
        self.check("allow=*\n", "mg_live",
                   says="mg_live: EEXIST: live now\n  because: it is live, and allow=* (/etc/modgate/policy.d/a.ini:2)\n")
        self.check("allow=*\n", "mg_builtin",
                   says="mg_builtin: EEXIST: built into the kernel\n  because: it is live, and allow=* "
                        "(/etc/modgate/policy.d/a.ini:2)\n")
        self.check("live=hide\n", "mg_live", status=1,
                   says="mg_live: EPERM: refused\n  because: no allow= names it (/etc/modgate/policy.d/a.ini:1)\n")
        self.check("live=tell\n", "mg_live",
                   says="mg_live: EEXIST: live now\n  because: it is live (live=tell) (/etc/modgate/policy.d/a.ini:2)\n")

    def test_unknown_module(self):
        self.check("allow=mg_*\n", "mg_nowhere", status=1,
                   says="mg_nowhere: ENOENT: allowed, but this host has no such module\n"
                        "  because: allow=mg_* (/etc/modgate/policy.d/a.ini:2)\n")
        self.check("allow=mg_*\n", "nowhere", status=1,
                   says="nowhere: EPERM: refused\n  because: no allow= names it (/etc/modgate/policy.d/a.ini:1)\n")

    def test_parameters(self):
        profile = 'allow=mg_base\nparameters=mg_base label="a *" debug\n'
        good = "mg_base: would be loaded\n  because: allow=mg_base (/etc/modgate/policy.d/a.ini:2)\n"
        self.check(profile, "mg_base", "debug", "label=a b", says=good)
        self.check(profile, "mg_base", 'label="a b" debug', says=good)
        self.check(profile, "mg_base", "label=b", status=1,
                   says="mg_base: EPERM: refused\n  because: the parameter label is not allowed to be 'b' "
                        "(/etc/modgate/policy.d/a.ini:3)\n")
        self.check(profile, "mg_base", "debug", "other=1", status=1,
                   says="mg_base: EPERM: refused\n  because: no parameters= of this module has the parameter other "
                        "(/etc/modgate/policy.d/a.ini:1)\n")

    def test_broken_module(self):
        """Nobody knows which aliases it has: that is no reason to take it for one that has none."""
        path = f"{self.root}/lib/modules/{os.uname().release}/kernel/mg_soft.ko"
        with open(path, "rb") as file:
            image = file.read()
        self.addCleanup(write_bytes, path, image)
        write_bytes(path, b"no module")
        self.policy(a_ini="[p]\nallow=*\ndeny=alias:net-pf-78\n")
        result = self.modgate("explain", "p", "mg_soft")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, "^modgate: cannot look at the module mg_soft: ")
        # who does not go by aliases does not look for them
        self.check("allow=*\n", "mg_soft",
                   says="mg_soft: would be loaded\n  because: allow=* (/etc/modgate/policy.d/a.ini:2)\n")


if __name__ == "__main__":
    unittest.main()
