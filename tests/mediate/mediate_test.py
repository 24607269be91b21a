#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
mediate_test.py MEDIATED CONTAINED CALLERS MONITORED HANG CC

modgate mediate with real filters, user namespaces and notifications, on modules that nobody loads: mediated.c says what
stands in the kernel's place, contained.c is the container runtime. Needs root, or skips all.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

MEDIATED, CONTAINED, CALLERS, MONITORED, HANG = [sys.argv.pop(1) for _ in range(5)]
CC = sys.argv.pop(1).split()

# name: its dependencies come from symbols
MODULES = {
    "mg_base": '__attribute__((section("__ksymtab_strings"), used)) static const char s[] = "mg_symbol";',
    "mg-top": "extern int mg_symbol; int *p = &mg_symbol;",
    "mg_other": "",
    "mg_soft": '__attribute__((section(".modinfo"), used)) static const char m[] = "softdep=pre: mg_other";',
    "mg_slow": "",
    "mg_secret": "",
}
# What an init_module call hands over: an image with this name, as src/module/elf.c looks for it.
IMAGE = """
__attribute__((section(".gnu.linkonce.this_module"), used)) char this_module[1024] = { [24] = %s };
__attribute__((section(".modinfo"), used)) static const char modinfo[] = "name=%s";
"""

POLICY = """
[vpn]
allow=mg_top mg_soft mg_slow absent
parameters=mg_top debug=[01]
rate=unlimited

[few]
allow=mg_top
rate=3/3600

[default]
allow=mg_other
"""

ENVIRONMENT = os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
FIRST_USER = "100000"


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def move(fds):
    """To 3 and what follows, in a child that is about to execute."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
    for number, fd in enumerate(high):
        os.dup2(fd, 3 + number)
        os.close(fd)


class Manager:
    """The part of systemd that keeps descriptors (FDSTORE)."""

    def __init__(self, path):
        self.path, self.kept = path, {}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            text, fds, _, _ = socket.recv_fds(self.socket, 4096, 16)
            if not text:
                return
            state = dict(line.split("=", 1) for line in text.decode().splitlines())
            if state.get("FDSTORE") == "1":
                self.kept[state["FDNAME"]] = fds
            if state.get("FDSTOREREMOVE") == "1":
                for fd in self.kept.pop(state["FDNAME"], []):
                    os.close(fd)

    def keeps(self, kind):
        return len([name for name in list(self.kept) if name.startswith(kind)])

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        for fds in self.kept.values():
            for fd in fds:
                os.close(fd)
        self.socket.close()


@unittest.skipUnless(os.geteuid() == 0, "filters without no_new_privs, and other users' namespaces, need root")
class Mediate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.built = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.built)
        release = os.uname().release
        base = f"{cls.built}/lib/modules/{release}"
        os.makedirs(f"{base}/kernel")
        for name, source in MODULES.items():
            subprocess.run([*CC, "-x", "c", "-c", "-", "-o", f"{base}/kernel/{name}.ko"], input=source, text=True, check=True)
        subprocess.run(["depmod", "-b", cls.built, release], check=True, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        cls.modules = base

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="mediate-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o755)
        shutil.copytree(self.modules, f"{self.directory}/modules")
        for name in ("sys", "results", "policy", "files"):
            os.mkdir(f"{self.directory}/{name}")
        self.policy(POLICY)
        self.log = open(f"{self.directory}/log", "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self.addCleanup(self.log.close)
        self.start()

    def policy(self, text):
        write(f"{self.directory}/policy/test.ini", text)

    def start(self, **arguments):
        # pylint: disable=consider-using-with
        self.mediator = subprocess.Popen([MEDIATED, self.directory], stderr=self.log, stdin=subprocess.DEVNULL, **arguments)
        self.addCleanup(self.stop)
        wait_for(lambda: "the policy in" in self.said())

    def stop(self):
        if self.mediator.poll() is None:
            self.mediator.terminate()
            self.mediator.wait(20)

    def said(self):
        with open(f"{self.directory}/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def audits(self):
        return [line for line in self.said().splitlines() if " audit " in line]

    def loads(self):
        try:
            with open(f"{self.directory}/loads", encoding="utf-8") as file:
                return file.read().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def file(self, name, text="whatever it is, nobody reads it"):
        path = f"{self.directory}/files/{name}"
        if not os.path.exists(path):
            write(path, text)
        return path

    def contain(self, command, metadata="profile=vpn", owner=FIRST_USER, name="one", wait=None):
        environment = os.environ | ({"CONTAINED_WAITS": wait} if wait else {})
        # pylint: disable=consider-using-with
        return subprocess.Popen([CONTAINED, f"{self.directory}/oci.sock", name, metadata, owner, *command],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                                start_new_session=True, env=environment)

    def results(self, process):
        out, err = process.communicate(timeout=60)
        self.assertEqual(err, "")
        return out

    def call(self, module, *words, count=1, **arguments):
        return self.results(self.contain([CALLERS, str(count), self.file(module), *words], **arguments))

    # --- what is allowed ---

    def test_allowed_with_dependencies(self):
        self.assertEqual(self.call("mg-top.ko", "0", "debug=1"), "1 OK\n")
        self.assertEqual(self.loads(), ["mg_base ", "mg_top debug=1"])
        self.assertRegex(self.audits()[0], 'container=one profile=vpn pid=[0-9]+ uid=100000 module=mg_top parameters="debug=1" '
                         r'verdict=allow rule=allow at=\S+/test.ini:3 because="allow=mg_top" result=OK')

    def test_without_user_namespace(self):
        self.assertEqual(self.call("mg-top.ko", owner="-"), "1 OK\n")

    def test_soft_dependency(self):
        self.assertEqual(self.call("mg_soft.ko.xz", "4"), "1 OK\n")
        self.assertEqual(self.loads(), ["mg_other ", "mg_soft "])

    def test_dependency_alone(self):
        self.assertEqual(self.call("mg_base.ko"), "1 OK\n")

    def test_default_profile(self):
        self.assertEqual(self.call("mg_other.ko", metadata=""), "1 OK\n")
        self.assertEqual(self.call("mg-top.ko", metadata=""), "1 EPERM\n")

    def test_kernel_says_no(self):
        write(f"{self.directory}/results/mg_top", "19")
        self.assertEqual(self.call("mg-top.ko"), "1 ENODEV\n")
        write(f"{self.directory}/results/mg_base", "12")
        self.assertEqual(self.call("mg-top.ko"), "1 ENOMEM\n")
        self.assertEqual(self.loads(), ["mg_base ", "mg_top ", "mg_base "])

    def test_performer_dies(self):
        write(f"{self.directory}/results/mg_slow", "die")
        self.assertEqual(self.call("mg_slow.ko"), "1 EAGAIN\n")
        write(f"{self.directory}/results/mg_slow", "late")
        self.assertEqual(self.call("mg_slow.ko"), "1 OK\n")

    # --- what is not ---

    def test_refused(self):
        for module, words, error in [("mg_secret.ko", [], "EPERM"), ("mg_other.ko", [], "EPERM"), ("absent.ko", [], "ENOENT"),
                                     ("mg-top.ko", ["0", "debug=2"], "EPERM"), ("mg-top.ko", ["0", "evil=1"], "EPERM"),
                                     ("mg-top.ko", ["8"], "EINVAL"), ("mg-top", [], "ENOEXEC"), ("mg top.ko", [], "ENOEXEC"),
                                     ("mg-top.ko.zip", [], "ENOEXEC"), (".ko", [], "ENOEXEC")]:
            with self.subTest(module=module, words=words):
                self.assertEqual(self.call(module, *words), f"1 {error}\n")
        self.assertEqual(self.loads(), [])

    def test_no_such_profile(self):
        for metadata in ("profile=nobody", "profile=vpn profile=vpn", "profile=/"):
            self.assertEqual(self.call("mg-top.ko", metadata=metadata), "1 EPERM\n")
        self.assertIn("profile=none", self.audits()[0])

    def test_not_root_of_its_container(self):
        plain = ["setpriv", "--reuid=7", "--regid=7", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
        for owner in (FIRST_USER, "-"):
            command = [*plain, CALLERS, "1", self.file("mg-top.ko")]
            self.assertEqual(self.results(self.contain(command, owner=owner)), "1 EPERM\n")
        self.assertIn("rule=caller", self.audits()[0])
        self.assertIn(" uid=100007 ", self.audits()[0])

    def test_root_of_a_namespace_of_its_own(self):
        command = ["unshare", "--user", "--map-root-user", CALLERS, "1", self.file("mg-top.ko")]
        self.assertEqual(self.results(self.contain(command, owner="-")), "1 EPERM\n")
        self.assertEqual(self.results(self.contain(command)), "1 EPERM\n")

    def test_executed_and_nothing_said_of_whom(self):
        first = self.contain(["bash", "-c", f"{CALLERS} 1 {self.file('mg-top.ko')}; read -r -t 60 < <(sleep 60)"])
        wait_for(self.audits)
        with open(f"/proc/{first.pid}/task/{first.pid}/children", encoding="utf-8") as file:
            inside = file.read().strip()
        self.assertEqual(self.call("mg_slow.ko", owner=f"@{inside}"), "1 OK\n")
        # of a container that is not known, nobody is the root
        self.assertEqual(self.call("mg_slow.ko", owner=f"@{inside}", name="two"), "1 EPERM\n")
        os.killpg(first.pid, signal.SIGKILL)

    def test_rate(self):
        self.assertEqual(self.call("mg-top.ko", count=40, metadata="profile=few"), "3 OK\n37 EAGAIN\n")
        self.assertEqual(len(self.loads()), 6)
        self.assertLess(len(self.audits()), 30)

    def image(self, name):
        path = f"{self.directory}/files/image-{name}"
        letters = ", ".join(f"'{letter}'" for letter in name)
        subprocess.run([*CC, "-x", "c", "-c", "-", "-o", path], input=IMAGE % (letters, name), text=True, check=True)

    def test_images(self):
        self.image("mg_top")
        self.image("mg_secret")
        self.assertEqual(self.call("image-mg_top", "image", "debug=0"), "1 OK\n")
        self.assertEqual(self.loads(), ["mg_base ", "mg_top debug=0"])
        self.assertEqual(self.call("image-mg_secret", "image"), "1 EPERM\n")
        self.assertEqual(self.call("no-image", "image"), "1 ENOEXEC\n")
        self.assertEqual(len(self.loads()), 2)

    def hang(self, count, seconds=0, **arguments):
        os.makedirs(f"{self.directory}/hang", exist_ok=True)
        return [self.contain([HANG, self.file("mg-top.ko"), f"{self.directory}/hang", str(seconds)], owner="-", **arguments)
                for _ in range(count)]

    def check_nobody_waits(self):
        """Another container has its answer before any of those that hang are given up."""
        self.assertEqual(self.call("mg-top.ko", name="other"), "1 OK\n")
        self.assertNotIn("the caller's memory does not answer", self.said())

    def check_hanging(self, processes):
        results = {self.results(process) for process in processes}
        if results == {"no /dev/fuse\n"}:
            self.skipTest("there is no /dev/fuse")
        self.assertEqual(results, {"EAGAIN\n"})

    def test_memory_that_does_not_answer(self):
        hanging = self.hang(10, name="hanging")
        self.check_nobody_waits()
        self.check_hanging(hanging)
        self.assertIn('because="the caller\'s memory does not answer"', self.said())

    def test_many_containers_whose_memory_does_not_answer(self):
        hanging = [process for i in range(10) for process in self.hang(8, name=f"hanging{i}")]
        time.sleep(1)
        self.check_nobody_waits()
        self.check_hanging(hanging)

    def test_inspectors_that_cannot_be_killed(self):
        first = self.hang(8, seconds=12, name="hanging")
        wait_for(lambda: self.said().count("the caller's memory does not answer") == 8)
        later = self.hang(4, name="hanging")
        wait_for(lambda: self.said().count("of this container's callers does not answer") == 4)
        # at once: the first ones' inspectors still cannot be killed, and no other one was tried
        self.assertTrue(all(process.poll() is None for process in first))
        self.assertEqual(self.said().count("because=\"the caller's memory does not answer"), 8)
        self.assertEqual(self.call("mg-top.ko", name="other"), "1 OK\n")
        self.check_hanging(first + later)
        # and when they are dead it is served again
        wait_for(lambda: self.call("mg-top.ko", name="hanging") in ("1 OK\n", "1 EEXIST\n"))

    def test_killed_while_it_is_worked_for(self):
        for _ in range(10):
            processes = [self.contain([CALLERS, "20", self.file("mg-top.ko")], name=f"c{i}") for i in range(4)]
            time.sleep(0.1)
            for process in processes:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        self.assertEqual(self.call("mg-top.ko"), "1 OK\n")
        wait_for(lambda: len(os.listdir(f"/proc/{self.mediator.pid}/fd")) < 20)


    # --- many at once ---

    def test_killed_when_its_listener_was_full(self):
        write(f"{self.directory}/results/mg_slow", "0 1500")
        first = self.contain([CALLERS, "64", self.file("mg_slow.ko")])
        wait_for(self.loads)
        # behind these wait as many as a listener may have, of another one of the same container: they are killed
        commands = 'set -m; "$0" 64 "$1" & sleep 0.5; kill -9 -$!; wait; exec "$0" 1 "$1"'
        second = self.contain(["bash", "-c", commands, CALLERS, self.file("mg-top.ko")])
        self.assertEqual(first.wait(60), 0)
        out, _ = second.communicate(timeout=60)
        self.assertIn(out, ("1 OK\n", "1 EEXIST\n"))

    def test_same_module_many_callers(self):
        self.assertEqual(self.call("mg-top.ko", count=60), "60 OK\n")

    def test_other_containers_do_not_wait(self):
        write(f"{self.directory}/results/mg_slow", "0 3000")
        slow = self.contain([CALLERS, "100", self.file("mg_slow.ko")], name="slow")
        wait_for(lambda: any("mg_slow" in line for line in self.loads()))
        self.assertEqual(self.call("mg-top.ko", name="quick"), "1 OK\n")
        self.assertFalse([line for line in self.audits() if "module=mg_slow" in line]) # it was before the first of them
        slow.kill()
        slow.communicate()

    def test_fifty_containers(self):
        processes = [self.contain([CALLERS, "2", self.file("mg-top.ko" if i % 2 else "mg_soft.ko")], name=f"c{i}")
                     for i in range(50)]
        for process in processes:
            self.assertEqual(self.results(process), "2 OK\n")

    # --- reload ---

    def reload(self, text, says):
        before = self.said().count(says)
        self.policy(text)
        self.mediator.send_signal(signal.SIGHUP)
        wait_for(lambda: self.said().count(says) > before)

    def test_reload(self):
        self.reload("[vpn]\nallow=mg_secret\n", "is in force: 1 profiles")
        self.assertEqual(self.call("mg_secret.ko"), "1 OK\n")
        self.assertEqual(self.call("mg-top.ko"), "1 EPERM\n")

    def test_bad_policy_changes_nothing(self):
        self.reload("[vpn]\nallow=*\nbogus=1\n", "the last good one stays in force")
        self.assertIn("test.ini:3: unknown key 'bogus'", self.said())
        self.assertEqual(self.call("mg-top.ko"), "1 OK\n")
        self.assertEqual(self.call("mg_secret.ko"), "1 EPERM\n")

    # --- runtimes ---

    def test_nonsense(self):
        for text in (b"", b"{", b"[]", b"{}", b"x" * 100000):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(f"{self.directory}/oci.sock")
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            try:
                self.assertEqual(connection.recv(1), b"")
            except ConnectionResetError: # with something unread
                pass
            connection.close()
        self.assertEqual(self.said().count("the state of a container is refused"), 4) # the first one has said nothing at all
        self.assertEqual(self.call("mg-top.ko"), "1 OK\n")

    def test_as_many_silent_connections_as_there_is_room_for(self):
        connections = [socket.socket(socket.AF_UNIX) for _ in range(64)]
        for connection in connections:
            connection.connect(f"{self.directory}/oci.sock")
        time.sleep(11)
        self.assertNotIn("refused", self.said())
        for connection in connections:
            connection.close()

    def test_silent_connections(self):
        connections = [socket.socket(socket.AF_UNIX) for _ in range(64)]
        for connection in connections:
            connection.connect(f"{self.directory}/oci.sock")
        connections[0].sendall(b"{") # has 10 s for the rest
        self.assertEqual(self.call("mg-top.ko"), "1 OK\n")
        # those that have not begun wait on, but for the one whose place was needed
        wait_for(lambda: "is not complete after 10 s" in self.said())
        time.sleep(0.5)
        self.assertLessEqual(self.said().count("the state of a container is refused"), 2)
        for connection in connections:
            connection.close()

    def test_stop_answers(self):
        write(f"{self.directory}/results/mg_slow", "0 20000")
        slow = self.contain([CALLERS, "1", self.file("mg_slow.ko")])
        wait_for(self.loads)
        self.stop()
        self.assertEqual(self.results(slow), "1 EAGAIN\n")

    # --- liblxc ---

    def monitor(self, module, *words, count=1, cookie="profile=vpn"):
        # pylint: disable=consider-using-with
        return subprocess.Popen([MONITORED, f"{self.directory}/lxc.sock", cookie, CALLERS, str(count), self.file(module), *words],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)

    def test_lxc(self):
        self.assertEqual(self.results(self.monitor("mg-top.ko", "0", "debug=1")), "1 OK\n")
        self.assertEqual(self.loads(), ["mg_base ", "mg_top debug=1"])
        self.assertEqual(self.results(self.monitor("mg_secret.ko")), "1 EPERM\n")
        self.assertEqual(self.results(self.monitor("mg_other.ko", cookie="")), "1 OK\n")
        self.assertEqual(self.results(self.monitor("mg-top.ko", cookie="profile=nobody")), "1 EPERM\n")
        self.assertRegex(self.audits()[0], "container=lxc-[0-9]+ profile=vpn pid=[0-9]+ uid=0 module=mg_top ")

    def test_lxc_one_after_the_other(self):
        self.assertEqual(self.results(self.monitor("mg-top.ko", count=20)), "20 OK\n")

    def test_lxc_is_answered_in_time(self):
        write(f"{self.directory}/results/mg_slow", "0 23000")
        self.assertEqual(self.results(self.monitor("mg_slow.ko")), "1 EAGAIN\n")

    def test_lxc_nonsense(self):
        for text in (b"x", b"x" * 5000, b"\0" * 136):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connection.connect(f"{self.directory}/lxc.sock")
            connection.send(text)
            self.assertEqual(connection.recv(1), b"")
            connection.close()
        self.assertEqual(self.said().count("a message of liblxc is refused"), 3)
        self.assertEqual(self.results(self.monitor("mg-top.ko")), "1 OK\n")

    # --- restarts, with this test for a service manager that keeps what it is handed ---

    def managed(self):
        self.stop()
        manager = Manager(f"{self.directory}/notify")
        self.addCleanup(manager.close)
        os.unlink(f"{self.directory}/oci.sock")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"{self.directory}/oci.sock")
        listening.listen(64)
        self.addCleanup(listening.close)
        return manager, listening

    def test_killed_and_restarted(self):
        manager, listening = self.managed()
        write(f"{self.directory}/results/mg_slow", "0 700")
        self.restart(manager, listening)
        waiting = [self.contain([CALLERS, "5", self.file("mg_slow.ko")], name=f"c{i}") for i in range(4)]
        wait_for(self.loads)
        for _ in range(3):
            self.mediator.kill()
            self.mediator.wait()
            time.sleep(0.05) # for what it has still said
            self.restart(manager, listening)
        wait_for(lambda: manager.keeps("container-") == 4)
        for process in waiting:
            self.assertEqual(self.results(process), "5 OK\n")
        # they have ended, and nobody keeps anything of them
        wait_for(lambda: not manager.kept)

    def test_restarted_before_the_state_comes(self):
        manager, listening = self.managed()
        self.restart(manager, listening)
        os.mkfifo(f"{self.directory}/go")
        process = self.contain([CALLERS, "5", self.file("mg_top.ko")], wait=f"{self.directory}/go")
        wait_for(lambda: manager.keeps("connection-"))
        for number in (signal.SIGKILL, signal.SIGTERM):
            self.mediator.send_signal(number)
            self.mediator.wait(20)
            time.sleep(0.05) # for what it has still said
            self.restart(manager, listening)
        self.mediator.kill()
        self.mediator.wait()
        # nobody is there when it sends its state, and ends its connection
        write(f"{self.directory}/go", "go")
        time.sleep(0.3)
        self.restart(manager, listening)
        self.assertEqual(self.results(process), "5 OK\n")
        wait_for(lambda: not manager.kept)

    def test_leaves_its_namespace_before_it_is_looked_at(self):
        self.mediator.send_signal(signal.SIGSTOP)
        plain = ["setpriv", "--reuid=7", "--regid=7", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
        command = [*plain, "unshare", "--user", "--map-root-user", CALLERS, "1", self.file("mg-top.ko")]
        processes = [self.contain(command, owner=owner, name=f"c{owner}") for owner in (FIRST_USER, "-")]
        time.sleep(1)
        self.mediator.send_signal(signal.SIGCONT)
        for process in processes:
            self.assertEqual(self.results(process), "1 EPERM\n")

    def restart(self, manager, listening):
        said = self.said().count("the policy in")
        fds, names = [listening.fileno()], ["oci"]
        for name, kept in manager.kept.items():
            fds += kept
            names += [name] * len(kept)
        self.mediator = subprocess.Popen( # pylint: disable=consider-using-with
            ["bash", "-c", "export LISTEN_PID=$$; exec \"$@\"", "-", MEDIATED, self.directory],
            stderr=self.log, stdin=subprocess.DEVNULL, pass_fds=range(3, 3 + len(fds)), preexec_fn=lambda: move(fds),
            env=os.environ | {"LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(names), "NOTIFY_SOCKET": manager.path})
        self.addCleanup(self.stop)
        wait_for(lambda: self.said().count("the policy in") > said)

    def test_nothing_is_left(self):
        self.call("mg-top.ko", count=20)
        pid = self.mediator.pid
        wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 20)
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            self.assertEqual(len(file.read().split()), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
