#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
bad_input_test.py MODGATE DENY LAUNCH_CONFIG

What the launcher does when something is wrong, and what it must leave alone when nothing is. Real processes on the
running kernel, as root; no module is loaded.
"""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

MODGATE = DENY = LAUNCH_CONFIG = ''

PROBE = ['grep', '-E', '^(Seccomp_filters|NoNewPrivs):', '/proc/self/status']
TIMEOUT_S = 30

# Every process of a test carries this word in its environment: none may be left at its end.
MARK = f'MODGATE_TEST={uuid.uuid4()}'


def environment(**more):
    result = {key: value for key, value in os.environ.items() if key not in ('MODGATE_LOG', 'JOURNAL_STREAM')}
    name, value = MARK.split('=')
    return result | {name: value} | more


def run(*argv, env=None, **options):
    return subprocess.run(argv, env=env or environment(), capture_output=True, text=True, timeout=TIMEOUT_S,
                          stdin=subprocess.DEVNULL, check=False, **options)


def marked_processes():
    """Those that live; zombies are gone, and have no environment any more."""
    result = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/environ', 'rb') as file:
                if MARK.encode() in file.read().split(b'\0'):
                    with open(f'/proc/{pid}/comm', encoding='utf-8') as comm:
                        result[int(pid)] = comm.read().strip()
        except OSError:
            pass
    return result


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def kill_marked_processes():
    """A process that is just being started is not seen at once."""
    def none_left():
        for pid in marked_processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not marked_processes()

    wait_until(none_left)


class Test(unittest.TestCase):
    def tearDown(self):
        if not wait_until(lambda: not marked_processes(), 5):
            left = marked_processes()
            kill_marked_processes()
            self.fail(f'left behind: {left}')

    def assertLine(self, stderr, pattern, exactly=1):
        lines = stderr.splitlines()
        self.assertRegex(lines[-1] if lines else '', '^modgate: .*' + pattern)
        if exactly:
            self.assertEqual(len(lines), exactly, stderr)


class Usage(Test):
    def check(self, *arguments, says):
        result = run(MODGATE, *arguments)
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stdout, '')
        self.assertRegex(result.stderr, f'^modgate: {says}\nUsage: modgate ')

    def test_modgate(self):
        self.check(says='no command')
        self.check('bogus', says="unknown command 'bogus'")
        self.check('--bogus', 'run', says="unknown or incomplete option '--bogus'")
        self.check('-b', 'run', says="unknown option '-b'")
        self.check('--help=x', says="unknown or incomplete option '--help=x'")
        self.check('help', 'bogus', says="unknown command 'bogus'")
        self.check('help', 'run', 'run', says='too many arguments')

    def test_run(self):
        self.check('run', says='COMMAND is missing')
        self.check('run', '--', says='COMMAND is missing')
        self.check('run', '--wait', says='COMMAND is missing')
        self.check('run', '--bogus', 'true', says="unknown or incomplete option '--bogus'")
        self.check('run', '-x', 'true', says="unknown option '-x'")
        self.check('run', '--wait', '-xy', 'true', says="unknown option '-x'")
        self.check('run', '--wait=1', 'true', says="unknown or incomplete option '--wait=1'")
        self.check('run', '--on-error', says="unknown or incomplete option '--on-error'")
        self.check('run', '--on-error=maybe', 'true', says="--on-error is exec or fail, not 'maybe'")
        self.check('run', '--report=', 'true', says='--report= needs a file name')
        self.check('run', '--trace=', 'true', says='--trace=FILE needs the name of a file')
        self.check('run', '--trace=-', 'true', says='--trace=FILE needs the name of a file')
        self.check('run', '--trace', says="unknown or incomplete option '--trace'")

    def test_attach(self):
        for path in ('', 'relative', '/' + 'x' * 107):
            self.check('run', f'--attach={path}', 'true',
                       says=f"--attach needs the absolute path of a socket, of less than 108 bytes, not '{path}'")
        self.check('run', '--attach', '--trace=/tmp/x', 'true', says='--attach and --trace exclude each other: give --trace to modgate serve')

    def test_serve(self):
        self.check('serve', 'x', says='too many arguments')
        self.check('serve', '--bogus', says="unknown or incomplete option '--bogus'")
        self.check('serve', '--socket', says="unknown or incomplete option '--socket'")
        self.check('serve', '--socket=relative',
                   says="--socket needs the absolute path of a socket, of less than 108 bytes, not 'relative'")
        self.check('serve', '--failure-ttl=x', says="--failure-ttl is a number of seconds, 0 to 3600, not 'x'")

    def test_policy(self):
        self.check('policy', says='check or explain is missing')
        self.check('policy', 'bogus', says="check or explain is needed, not 'bogus'")
        self.check('policy', 'check', '--bogus', says="unknown or incomplete option '--bogus'")
        self.check('policy', 'check', '--file=x', says='check takes its files without --file')
        self.check('policy', 'explain', says='PROFILE is missing')
        self.check('policy', 'explain', 'p', says='MODULE is missing')
        self.check('policy', 'explain', 'p', 'm', '--file', says="unknown or incomplete option '--file'")

    def test_failure_ttl(self):
        for value in ('', 'x', '-1', '1.5', '3601', '99999999999999999999'):
            self.check('run', f'--failure-ttl={value}', 'true', says=f"--failure-ttl is a number of seconds, 0 to 3600, not '{value}'")
        self.assertEqual(run(MODGATE, 'run', '--failure-ttl=10', '--wait', 'true').returncode, 0)

    def test_help(self):
        for arguments in (['--help'], ['-h'], ['help'], ['help', 'run'], ['run', '--help'], ['run', '-h', 'x'],
                          ['help', 'serve'], ['serve', '--help'], ['serve', '-h'],
                          ['help', 'policy'], ['policy', '--help'], ['policy', 'check', '-h'], ['policy', 'explain', '--help']):
            result = run(MODGATE, *arguments)
            self.assertEqual((result.returncode, result.stderr), (0, ''))
            self.assertIn('Usage: modgate ', result.stdout)
            self.assertLess(result.stdout.count('\n'), 24)
            self.assertLess(max(map(len, result.stdout.splitlines())), 96)
        self.assertRegex(run(MODGATE, '--version').stdout, r'^modgate \d+\.\d+\.\d+\n$')

    def test_stdout_full(self):
        with open('/dev/full', 'w', encoding='utf-8') as full:
            result = subprocess.run([MODGATE, '--help'], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertLine(result.stderr, 'cannot write to stdout: No space left')


class Command(Test):
    """COMMAND not found or not executable: 127 and 126, whatever --on-error says, and before anything is started."""

    def check(self, command, status, says, path=None):
        for options in ([], ['--on-error=exec'], ['--wait']):
            env = environment(PATH=path) if path is not None else None
            result = run(MODGATE, 'run', *options, '--', command, env=env)
            self.assertEqual(result.returncode, status)
            self.assertLine(result.stderr, says)

    def test_not_found(self):
        self.check('no-such-command', 127, 'no-such-command: command not found along PATH')
        self.check('./no-such-command', 127, './no-such-command: command not found')
        self.check('', 127, 'command not found')
        self.check('true', 127, 'true: command not found', path='/nonexistent:/proc')

    def test_not_executable(self):
        self.check('/', 126, '/: cannot be executed')
        self.check('/etc/passwd', 126, r'/etc/passwd: cannot be executed \(Permission denied\)')
        self.check('/etc/passwd/x', 126, r'cannot be executed \(Not a directory\)')
        self.check('passwd', 126, r'passwd: cannot be executed \(Permission denied\)', path='/etc')

    def test_found_only_at_exec(self):
        with tempfile.TemporaryDirectory() as directory:
            script = f'{directory}/script'
            with open(script, 'w', encoding='utf-8') as file:
                file.write('#!/nonexistent/interpreter\n')
            os.chmod(script, 0o755)
            self.check(script, 127, 'interpreter')
            with open(script, 'w', encoding='utf-8') as file:
                file.write('exit 7\n')
            self.assertEqual(run(MODGATE, 'run', script).returncode, 7)


class Environment(Test):
    """Each thing that may be wrong, before the filter is on: 125 and one line, or the line and COMMAND bare."""

    def check(self, wrapper, says, options=(), filters=0, lines=1, probe=None, first=''):
        for on_error in ('fail', 'exec'):
            with self.subTest(on_error=on_error):
                result = run(*wrapper, MODGATE, 'run', f'--on-error={on_error}', *options, '--', *(probe or PROBE))
                self.assertRegex(result.stderr, '^modgate: ' + first)
                if on_error == 'fail':
                    self.assertEqual((result.returncode, result.stdout), (125, ''), result.stderr)
                    self.assertLine(result.stderr, says + '.*$', lines)
                else:
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertLine(result.stderr, says + r'.* \(/.* runs without modgate\)$', lines)
                    if not probe:
                        self.assertEqual(result.stdout, f'NoNewPrivs:\t0\nSeccomp_filters:\t{filters}\n')

    def deny(self, *rules):
        return [DENY, *rules, '--']

    def test_not_root(self):
        with tempfile.TemporaryDirectory() as directory:
            # a build directory is often somewhere that only root can read
            os.chmod(directory, 0o755)
            subprocess.run(['cp', MODGATE, f'{directory}/modgate'], check=True)
            modgate = ['setpriv', '--reuid=65534', '--clear-groups', f'{directory}/modgate', 'run']
            says = 'missing CAP_SYS_MODULE.* and CAP_SYS_ADMIN.*: run modgate as root'

            result = run(*modgate, 'true')
            self.assertEqual((result.returncode, result.stdout), (125, ''))
            self.assertLine(result.stderr, says)

            result = run(*modgate, '--on-error=exec', *PROBE)
            self.assertEqual((result.returncode, result.stdout), (0, 'NoNewPrivs:\t0\nSeccomp_filters:\t0\n'))
            self.assertLine(result.stderr, says + '.*runs without modgate')

    def test_capabilities(self):
        self.check(['setpriv', '--bounding-set=-sys_module'], 'missing CAP_SYS_MODULE .*: run modgate as root')
        self.check(['setpriv', '--bounding-set=-sys_ptrace'], 'missing CAP_SYS_PTRACE .*: run modgate as root')
        self.check(['setpriv', '--bounding-set=-sys_admin'], 'missing CAP_SYS_ADMIN .*: run modgate as root')

    def test_seccomp(self):
        self.check(self.deny('seccomp=ENOSYS'), r'seccomp\(2\) is missing .*CONFIG_SECCOMP_FILTER', filters=1)
        self.check(self.deny('seccomp=EPERM'), r'seccomp\(2\) is forbidden .*SystemCallFilter=seccomp', filters=1)
        self.check(self.deny('seccomp=EINVAL'), 'no user notifications .*boot Linux', filters=1)
        self.check(self.deny('seccomp=EOPNOTSUPP'), 'no user notifications .*boot Linux', filters=1)

    def test_another_listener(self):
        # two filters are on already: the one with the listener, and an (empty) one that the helper loads in any case
        self.check(self.deny('listener'), 'another seccomp listener serves this process tree .*start modgate outside',
                   filters=2)

    def test_nested(self):
        result = run(MODGATE, 'run', '--', MODGATE, 'run', 'true')
        self.assertEqual(result.returncode, 125)
        self.assertLine(result.stderr, 'another seccomp listener')
        result = run(MODGATE, 'run', '--', MODGATE, 'run', '--on-error=exec', *PROBE)
        self.assertEqual(result.stdout, 'NoNewPrivs:\t0\nSeccomp_filters:\t1\n')
        # its loaders would wait for it
        for under in [], ['env', '--ignore-signal=CHLD']:
            result = run(MODGATE, 'run', '--', *under, MODGATE, 'serve', '--socket=/run/modgate-nested/attach.sock')
            self.assertEqual(result.returncode, 1)
            self.assertLine(result.stderr, 'another seccomp listener .*the daemon would wait for itself')

    def test_socket_is_a_file(self):
        with tempfile.NamedTemporaryFile() as file:
            result = run(MODGATE, 'serve', f'--socket={file.name}')
            self.assertEqual(result.returncode, 1)
            self.assertLine(result.stderr, 'cannot listen at .*: File exists')
            self.assertTrue(os.path.isfile(file.name))

    def test_filter_cannot_be_built(self):
        self.check(self.deny('memfd_create=ENOMEM'), 'cannot build the system-call filter: Cannot allocate memory',
                   filters=1)

    def test_keeper_cannot_be_started(self):
        forks = ['clone=EAGAIN', 'clone3=EAGAIN', 'fork=EAGAIN', 'vfork=EAGAIN']
        says = 'cannot start the keeper: Resource temporarily unavailable'
        self.check(self.deny(*forks), says, filters=1)
        self.check(self.deny('socketpair=EMFILE'), 'cannot start the keeper: Too many open files', filters=1)
        self.check(self.deny(*forks), 'cannot start a process to wait for: Resource temporarily', ['--wait'], filters=1)

    def test_keeper_dies_at_its_start(self):
        # no signalfd: the keeper says so, and the launcher what follows from it
        self.check(self.deny('signalfd4=ENOSYS'), 'cannot start the keeper', filters=1, lines=2)

    def test_report(self):
        with tempfile.TemporaryDirectory() as directory:
            says = 'cannot write the report .*: '
            self.check([], says + 'No such file or directory', [f'--report={directory}/nowhere/report'])
            self.check([], says + 'Is a directory', [f'--report={directory}'])
            self.check([], says + 'it is not an ordinary file', ['--report=/dev/null'])
            self.check([], says + 'Not a directory', ['--report=/etc/passwd/report'])
            self.check(['unshare', '-m', 'sh', '-c', f'mount -t tmpfs -o ro x {directory}; exec "$@"', 'sh'],
                       says + 'Read-only file system', [f'--report={directory}/report'])

    def test_trace(self):
        with tempfile.TemporaryDirectory() as directory:
            says = 'cannot write the trace .*: '
            self.check([], says + 'No such file or directory', [f'--trace={directory}/nowhere/trace'])
            self.check([], says + 'Is a directory', [f'--trace={directory}'])
            self.check([], says + 'it is not an ordinary file', ['--trace=/dev/null'])
            self.check(['unshare', '-m', 'sh', '-c', f'mount -t tmpfs -o ro x {directory}; exec "$@"', 'sh'],
                       says + 'Read-only file system', [f'--trace={directory}/trace'])
            self.check([], 'report and trace cannot both be', [f'--trace={directory}/x', f'--report={directory}/x'])
            # found by the keeper, which says it before the launcher does
            full = f'mount -t tmpfs -o size=4k x {directory}; head -c 4096 /dev/zero > {directory}/x; exec "$@"'
            self.check(['unshare', '-m', 'sh', '-c', full, 'sh'], 'cannot start the keeper', [f'--trace={directory}/t'],
                       first=says + 'No space left on device; ', lines=2)
            self.check(self.deny('renameat2=EINVAL'), 'cannot start the keeper', [f'--trace={directory}/t'],
                       first=says + 'Invalid argument; name a file on a local file system', filters=1, lines=2)

    def test_trace_of_nothing(self):
        with tempfile.TemporaryDirectory() as directory:
            result = run(MODGATE, 'run', '--wait', '--trace=trace', 'true', cwd=directory)
            self.assertEqual((result.returncode, result.stderr), (0, ''))
            self.assertEqual(os.listdir(directory), ['trace'])
            with open(f'{directory}/trace', encoding='ascii') as file:
                self.assertEqual(json.load(file)['otherData']['schema'], 'modgate.trace/1')

    def test_no_proc(self):
        self.check(['unshare', '-m', 'sh', '-c', 'umount -l /proc && exec "$@"', 'sh'],
                   '/proc is not mounted.*mount -t proc', probe=['true'])

    def test_proc_of_another_pid_namespace(self):
        # the ids of callers would mean other processes there
        self.check(['unshare', '--pid', '--fork'], '/proc is that of another pid namespace.*mount -t proc',
                   probe=['true'])
        result = run('unshare', '--pid', '--fork', '--mount-proc', MODGATE, 'run', *PROBE)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_fewer_capabilities_are_enough(self):
        with tempfile.TemporaryDirectory() as directory:
            result = run('setpriv', '--bounding-set=-setpcap,-dac_override,-sys_resource', '--inh-caps=-all', MODGATE,
                         'run', '--wait', f'--report={directory}/report', *PROBE)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue(os.path.exists(f'{directory}/report'))

    def test_report_does_not_follow_links(self):
        with tempfile.TemporaryDirectory() as directory:
            with open(f'{directory}/precious', 'w', encoding='utf-8') as file:
                file.write('precious')
            os.symlink('precious', f'{directory}/report.new')
            result = run(MODGATE, 'run', '--wait', f'--report={directory}/report', 'true')
            self.assertEqual(result.returncode, 0, result.stderr)
            with open(f'{directory}/precious', encoding='utf-8') as file:
                self.assertEqual(file.read(), 'precious')
            self.assertFalse(os.path.islink(f'{directory}/report'))

    def test_signals_do_not_end_the_keeper(self):
        # a service manager may send anything to all of a unit
        script = ("keeper=$(pgrep -n -x modgate-keeper); for s in HUP INT QUIT USR1 USR2 ALRM TERM XCPU VTALRM PROF "
                  "RTMIN PIPE; do kill -$s $keeper || exit 1; done; sleep 0.2; ! grep -q '^State:.[ZX]' /proc/$keeper/status")
        result = run(MODGATE, 'run', '--wait', 'sh', '-c', script)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, '')

    def test_old_kernel_without_wait_killable(self):
        result = run(*self.deny('seccomp:1&32=EINVAL'), MODGATE, 'run', *PROBE)
        self.assertEqual((result.returncode, result.stderr), (0, ''))
        self.assertEqual(result.stdout, 'NoNewPrivs:\t0\nSeccomp_filters:\t2\n')


class SwitchedOff(Test):
    def check(self, text, filters):
        with tempfile.NamedTemporaryFile('w') as file:
            file.write(text)
            file.flush()
            result = run(LAUNCH_CONFIG, file.name, *PROBE)
            self.assertEqual((result.returncode, result.stderr), (0, ''))
            self.assertEqual(result.stdout, f'NoNewPrivs:\t0\nSeccomp_filters:\t{filters}\n')

    def test_command_line(self):
        self.check('BOOT_IMAGE=/vmlinuz root=/dev/sda1 modgate=0 quiet\n', 0)
        self.check('BOOT_IMAGE=/vmlinuz root=/dev/sda1 quiet\n', 1)
        self.check('modgate=00 "x modgate=0" xmodgate=0', 1)

    def test_logged_at_info(self):
        with tempfile.NamedTemporaryFile('w') as file:
            file.write('modgate=0\n')
            file.flush()
            result = run(LAUNCH_CONFIG, file.name, 'true', env=environment(MODGATE_LOG='info'))
            self.assertLine(result.stderr, 'modgate=0 on the kernel command line')


class LostKeeper(Test):
    def test_the_stand_in_takes_the_listener(self):
        env = environment(LOST_KEEPER='1')
        with subprocess.Popen([LAUNCH_CONFIG, '/proc/cmdline', 'sleep', '60'], env=env, stderr=subprocess.PIPE,
                              text=True) as process:
            line = process.stderr.readline()
            self.assertLine(line, 'the keeper did not take over .*restart')
            # COMMAND and the stand-in; the keeper and its children go
            self.assertTrue(wait_until(lambda: len(marked_processes()) == 2), marked_processes())
            process.kill()

    def test_wait_for_the_stand_in(self):
        result = run(LAUNCH_CONFIG, '/proc/cmdline', 'sh', '-c', 'sleep 0.3 & exit 3',
                     env=environment(LOST_KEEPER='1', WAIT='1'))
        self.assertEqual(result.returncode, 3)
        self.assertEqual(marked_processes(), {})


# What differs between any two runs, or is meant to differ.
VOLATILE = re.compile(r'^(FDSize|Pid|Tgid|Ngid|NSpid|NStgid|NSpgid|NSsid|Vm\w+|Hugetlb\w+|Rss\w+|Seccomp\w*|Speculation\w+|'
                      r'\w+_ctxt_switches|Cpus_allowed\w*|Mems_allowed\w*|SigQ|x86_Thread_features\w*):')


def status_lines(text):
    return [line for line in text.splitlines() if not VOLATILE.match(line)]


class Unchanged(Test):
    """What COMMAND finds must be what it would have found without modgate."""

    def both(self, *command, **options):
        bare = run(*command, **options)
        supervised = run(MODGATE, 'run', '--', *command, **options)
        self.assertEqual((supervised.returncode, supervised.stderr), (bare.returncode, bare.stderr))
        return bare.stdout, supervised.stdout

    def same(self, *command, **options):
        bare, supervised = self.both(*command, **options)
        self.assertEqual(supervised, bare)

    def test_supervised(self):
        _, supervised = self.both(*PROBE)
        self.assertEqual(supervised, 'NoNewPrivs:\t0\nSeccomp_filters:\t1\n')

    def test_pid(self):
        with subprocess.Popen([MODGATE, 'run', 'sh', '-c', 'echo $$'], env=environment(), stdout=subprocess.PIPE,
                              text=True) as process:
            self.assertEqual(process.stdout.read(), f'{process.pid}\n')

    def test_status(self):
        def signals(ignore_children):
            def prepare():
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGUSR1, signal.SIGPIPE])
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                signal.signal(signal.SIGPIPE, signal.SIG_IGN)
                if ignore_children:
                    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
                os.umask(0o027)
            return prepare

        for prepare in (None, signals(False), signals(True)):
            for options in ([], ['--wait']):
                bare = run('cat', '/proc/self/status', preexec_fn=prepare)
                supervised = run(MODGATE, 'run', *options, 'cat', '/proc/self/status', preexec_fn=prepare)
                bare, supervised = status_lines(bare.stdout), status_lines(supervised.stdout)
                if options:
                    bare, supervised = ([line for line in lines if not line.startswith('PPid:')]
                                        for lines in (bare, supervised))
                self.assertEqual(supervised, bare)
                self.assertIn('ShdPnd:\t0000000000000000', supervised)

    def test_a_pending_signal_stays(self):
        def prepare():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGTERM])
            os.kill(os.getpid(), signal.SIGCHLD)
            os.kill(os.getpid(), signal.SIGTERM)
        self.same('grep', '^ShdPnd:', '/proc/self/status', preexec_fn=prepare)

    def test_limits_and_places(self):
        for name in ('limits', 'cgroup', 'oom_score_adj', 'sessionid', 'loginuid', 'autogroup', 'timerslack_ns'):
            if os.path.exists(f'/proc/self/{name}'):
                self.same('cat', f'/proc/self/{name}')
        self.same('pwd', cwd='/usr/share')
        self.same('env')
        bare, supervised = self.both('cut', '-d ', '-f5-8', '/proc/self/stat')  # group, session, terminal
        self.assertEqual(supervised.split()[1:], bare.split()[1:])

    def test_arguments(self):
        self.same('cat', '/proc/self/cmdline')  # argv[0] is "cat", not the path it was found at
        self.same('sh', '-c', 'printf "<%s>" "$0" "$@"', 'zero', '', 'a b', '--wait', '--', '-x')

    def test_options_of_command_are_its_own(self):
        result = run(MODGATE, 'run', 'echo', '--report', '--bogus', '-x', '--', '--wait')
        self.assertEqual(result.stdout, '--report --bogus -x -- --wait\n')

    def test_descriptors(self):
        fds = [os.open('/dev/null', os.O_RDONLY), os.open('/etc/passwd', os.O_RDONLY)]

        def prepare():
            os.dup2(fds[0], 30)
            os.dup2(fds[1], 31)
            os.dup2(30, 3)
            os.dup2(31, 4)

        def listing(text):
            # `5 -> pipe:[1234]`, and the directory that ls reads
            return re.sub(r'pipe:.*|/proc/\d+/fd', 'its own', '\n'.join(re.findall(r'\d+ -> .*', text)))

        bare, supervised = self.both('ls', '-l', '/proc/self/fd', env=environment(LISTEN_FDS='2'),
                                     preexec_fn=prepare, pass_fds=(3, 4))
        self.assertIn('4 -> /etc/passwd', bare)
        self.assertEqual(listing(supervised), listing(bare))
        for fd in fds:
            os.close(fd)

    def test_closed_standard_descriptors(self):
        for closed in ([0], [0, 1], [2], [0, 2]):
            def prepare(fds=tuple(closed)):
                for fd in fds:
                    os.close(fd)

            self.same('sh', '-c', 'exec 9>&1; for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n >&9; done; exit 0'
                      if 1 not in closed else 'for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n >&2; done; exit 0',
                      preexec_fn=prepare)

    def test_dead_stderr(self):
        """What modgate logs where nobody reads must neither kill nor stop it."""
        read, write = os.pipe()
        os.close(read)
        result = subprocess.run([DENY, 'seccomp=EPERM', '--', MODGATE, 'run', '--on-error=exec', 'echo', 'here'],
                                stdout=subprocess.PIPE, stderr=write, env=environment(), text=True, check=False,
                                timeout=TIMEOUT_S)
        os.close(write)
        self.assertEqual((result.returncode, result.stdout), (0, 'here\n'))

    def test_no_process_holds_a_pipe_of_commands(self):
        # COMMAND closes its stdout and stays: the end of file must be seen at once
        with subprocess.Popen([MODGATE, 'run', 'sh', '-c', 'exec >&-; sleep 60'], env=environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            begin = time.monotonic()
            self.assertEqual(process.stdout.read(), b'')
            self.assertLess(time.monotonic() - begin, 10)
            self.assertIsNone(process.poll())
            # not before its sleep is there, or that could be missed
            self.assertTrue(wait_until(lambda: 'sleep' in marked_processes().values()))
            kill_marked_processes()


def unified_cgroup_mount():
    with open('/proc/self/mountinfo', encoding='utf-8') as file:
        for line in file:
            if ' - cgroup2 ' in line:
                return line.split()[4]
    return None


class ControlGroup(Test):
    """Idle udevd kills what is in its `udev` group: modgate's own processes leave it, COMMAND stays."""

    def setUp(self):
        mount = unified_cgroup_mount()
        self.unit = f'{mount}/modgate-test-{os.getpid()}.service'
        try:
            os.makedirs(f'{self.unit}/udev')
        except OSError as error:
            self.skipTest(f'no control group can be made: {error}')

    def tearDown(self):
        super().tearDown()
        for directory in (f'{self.unit}/modgate', f'{self.unit}/udev', self.unit):
            if os.path.isdir(directory):
                # a zombie that nobody has collected yet still counts
                self.assertTrue(wait_until(lambda path=directory: self.remove(path)), directory)

    def remove(self, directory):
        try:
            os.rmdir(directory)
        except OSError:
            return False
        return True

    def groups(self):
        result = {}
        for pid, name in marked_processes().items():
            try:
                with open(f'/proc/{pid}/cgroup', encoding='utf-8') as file:
                    path = re.search('^0::(.*)$', file.read(), re.MULTILINE).group(1)
            except OSError:
                continue
            result.setdefault(os.path.basename(path), set()).add(name)
        return result

    def enter(self):
        with open(f'{self.unit}/udev/cgroup.procs', 'w', encoding='utf-8') as file:
            file.write('0')

    def test_modgate_leaves_command_stays(self):
        with subprocess.Popen([MODGATE, 'run', 'sh', '-c', 'echo ready; read line'], env=environment(), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=self.enter) as process:
            process.stdout.readline()
            self.assertTrue(wait_until(lambda: self.groups().get('udev') == {'sh'}), self.groups())
            groups = self.groups()
            self.assertEqual(set(groups), {'udev', 'modgate'})
            self.assertIn('modgate-keeper', groups['modgate'])
            process.communicate('\n')

    def test_stand_in_leaves(self):
        with subprocess.Popen([LAUNCH_CONFIG, '/proc/cmdline', 'sh', '-c', 'echo ready; read line'], text=True,
                              env=environment(LOST_KEEPER='1'), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, preexec_fn=self.enter) as process:
            process.stdout.readline()
            self.assertTrue(wait_until(lambda: len(marked_processes()) == 2), self.groups())
            self.assertEqual(set(self.groups()), {'udev', 'modgate'})
            process.communicate('\n')


class Wait(Test):
    def test_exit_status(self):
        for script, status in (('exit 0', 0), ('exit 3', 3), ('exit 255', 255), ('kill -TERM $$', 128 + 15),
                               ('kill -KILL $$', 128 + 9)):
            self.assertEqual(run(MODGATE, 'run', '--wait', 'sh', '-c', script).returncode, status)

    def test_ignored_sigchld(self):
        result = run(MODGATE, 'run', '--wait', 'sh', '-c', 'exit 3',
                     preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual(result.returncode, 3)

    def test_waits_for_the_tree(self):
        with tempfile.TemporaryDirectory() as directory:
            begin = time.monotonic()
            result = run(MODGATE, 'run', '--wait', '--report=report.json', '--', 'sh', '-c',
                         'setsid sleep 1 >/dev/null 2>&1 & exit 4', cwd=directory)
            self.assertEqual(result.returncode, 4)
            self.assertGreater(time.monotonic() - begin, 0.9)
            self.assertEqual(os.listdir(directory), ['report.json'])
            self.assertNotIn('sleep', marked_processes().values())

    def test_report_on_stderr(self):
        self.assertNotEqual(run(MODGATE, 'run', '--wait', '--report', 'true').stderr, '')
        self.assertEqual(run(MODGATE, 'run', '--wait', 'true').stderr, '')

    def test_bare(self):
        result = run(DENY, 'seccomp=EPERM', '--', MODGATE, 'run', '--wait', '--on-error=exec', 'sh', '-c', 'exit 3')
        self.assertEqual(result.returncode, 3)

    def test_signals_are_handed_on(self):
        for name in ('TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2'):
            script = f'trap "exit 9" {name}; echo ready; while :; do sleep 0.02; done'
            with subprocess.Popen([MODGATE, 'run', '--wait', 'bash', '-c', script], env=environment(),
                                  stdout=subprocess.PIPE, start_new_session=True) as process:
                process.stdout.readline()
                process.send_signal(getattr(signal, f'SIG{name}'))
                self.assertEqual(process.wait(TIMEOUT_S), 9, name)

    def test_a_signal_ends_the_wait_for_the_tree(self):
        with subprocess.Popen([MODGATE, 'run', '--wait', 'sh', '-c', 'sleep 60 & echo $!'], env=environment(),
                              stdout=subprocess.PIPE, text=True) as process:
            sleeper = int(process.stdout.readline())
            self.assertTrue(wait_until(lambda: 'sh' not in marked_processes().values()))
            time.sleep(0.2)
            self.assertIsNone(process.poll())
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGTERM)
            self.assertIn(sleeper, marked_processes())
            os.kill(sleeper, signal.SIGKILL)

    def on_terminal(self, script):
        """Runs it in the foreground of a terminal; gives (pid, master)."""
        pid, master = pty.fork()
        if pid == 0:
            os.execve(MODGATE, [MODGATE, 'run', '--wait', 'bash', '-c', script], environment())
        text = b''
        while b'ready' not in text:
            text += os.read(master, 100)
        return pid, master

    def test_interrupt_from_a_terminal(self):
        pid, master = self.on_terminal('echo ready; sleep 60')
        os.write(master, b'\x03')
        self.assertEqual(os.waitpid(pid, 0)[1], (128 + signal.SIGINT) << 8)
        os.close(master)

    def test_interrupt_arrives_once(self):
        pid, master = self.on_terminal('n=0; trap "n=\\$((n + 1))" INT; echo ready; '
                                       'for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done; exit $((40 + n))')
        os.write(master, b'\x03')
        self.assertEqual(os.waitpid(pid, 0)[1], 41 << 8)
        os.close(master)


def main():
    global MODGATE, DENY, LAUNCH_CONFIG
    if len(sys.argv) < 4:
        sys.exit(__doc__.strip())
    MODGATE, DENY, LAUNCH_CONFIG = map(os.path.abspath, sys.argv[1:4])
    if os.geteuid() != 0:
        print('skipped: needs root')
        sys.exit(77)
    # who starts the tests may ignore some of them (nohup, a job in the background), and a shell cannot trap those
    for name in ('PIPE', 'HUP', 'INT', 'QUIT', 'TERM', 'USR1', 'USR2'):
        signal.signal(getattr(signal, f'SIG{name}'), signal.SIG_DFL)
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])


if __name__ == '__main__':
    main()
