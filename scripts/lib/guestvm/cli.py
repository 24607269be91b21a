# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line of scripts/guest."""

import argparse
import sys

from . import build, modules, own_modules, processes, recipe, run
from .errors import GuestError
from .progress import Progress

RELEASES = (*recipe.GUESTS, *("mini" + name for name in recipe.GUESTS if not name.startswith("containers")))
DESCRIPTION = """\
Builds Debian guests and runs scripts in them, in QEMU's software emulation.
"""
EPILOG = """\
exit status of run: the script's own, or, of every command,
  200  a build or QEMU failed        204  the guest's kernel panicked
  201  no space                      205  timed out
  202  no package mirror             206  the guest ended before its script did
  203  a program is missing          130  interrupted
"""


def main(arguments):
    processes.end_on_signals()
    options = _parse(arguments)
    title = "guest " + (options.release if "release" in options else options.releases[0])
    progress = Progress(title, quiet=options.quiet)
    try:
        return options.function(options, progress)
    except GuestError as error:
        progress.end()
        for line in error.tail:
            print(f"  | {line}", file=sys.stderr)
        print(f"{title}: {error}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        return 141


def _parse(arguments):
    parser = argparse.ArgumentParser(prog="scripts/guest", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_build(commands)
    _add_path(commands)
    _add_modules(commands)
    _add_run(commands)
    return parser.parse_args(arguments)


def _add_build(commands):
    parser = commands.add_parser("build", help="build guests that are not in the cache")
    parser.add_argument("releases", nargs="+", choices=RELEASES, metavar="RELEASE", help=", ".join(RELEASES))
    parser.add_argument("--quiet", action="store_true")
    parser.set_defaults(function=_build)


def _add_path(commands):
    parser = commands.add_parser("path", help="print where a guest is cached; build it if it is not")
    parser.add_argument("releases", nargs=1, choices=RELEASES, metavar="RELEASE")
    parser.add_argument("--quiet", action="store_true")
    parser.set_defaults(function=_path)


def _add_modules(commands):
    parser = commands.add_parser("modules", help="build kernel modules for a guest",
                                 description="Builds the kernel modules of a source directory for a guest's kernel, "
                                 "with the headers and the compiler of its release.")
    parser.add_argument("release", choices=RELEASES, metavar="RELEASE", help=", ".join(RELEASES))
    parser.add_argument("source", metavar="SOURCE", help="a directory with a Kbuild file")
    parser.add_argument("target", metavar="OUT", help="where the .ko files go")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(function=_modules)


def _add_run(commands):
    parser = commands.add_parser("run", help="boot a guest and run a script in it", epilog=EPILOG,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", choices=RELEASES, metavar="RELEASE", help=", ".join(RELEASES))
    parser.add_argument("--cpus", type=int, metavar="N", help="4; a small guest: 2")
    parser.add_argument("--memory", type=int, metavar="MIB", help="2048 and 256 for each CPU, 8192 at most")
    parser.add_argument("--timeout", type=float, metavar="S", help="600; a small guest: 120")
    parser.add_argument("--append", action="append", default=[], metavar="ARGS", help="for the kernel's command line")
    parser.add_argument("--overlay", action="append", default=[], metavar="DIR",
                        help="tree laid over the root file system; modes are kept, root owns it")
    parser.add_argument("--copy", action="append", default=[], type=_pair, metavar="SRC:DEST", help="one file")
    parser.add_argument("--out", metavar="DIR", help="where the files go that the script leaves in $GUEST_OUT")
    parser.add_argument("--console", metavar="FILE", help="write the console's output here")
    parser.add_argument("--monitor", action="store_true",
                        help="QEMU's monitor on /dev/ttyS3, and a PCI slot, slot0, to plug devices in")
    parser.add_argument("--modules", type=lambda text: [m for m in text.split(",") if m], metavar="A,B,C",
                        help="modules to bring: files (./mine.ko); in a small guest, also by name (dummy)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("script", metavar="SCRIPT", help="a file of this machine")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARG")
    parser.set_defaults(function=_run)


def _pair(text):
    source, colon, destination = text.rpartition(":")
    if not colon or not destination.startswith("/"):
        raise argparse.ArgumentTypeError(f"not SRC:DEST with an absolute DEST: {text}")
    return source, destination


def _base(release):
    """The small guest of a release is built together with it."""
    return release.removeprefix("mini")


def _builds(release):
    return dict.fromkeys(recipe.GUESTS[_base(release)])


def _kernel(release):
    return recipe.GUESTS[_base(release)][1]


def _build(options, progress):
    for release in dict.fromkeys(build for release in options.releases for build in _builds(release)):
        build.ensure(release, Progress(f"guest {release}", options.quiet))
    progress.clear()
    return 0


def _path(options, progress):
    for release in _builds(options.releases[0]):
        print(build.ensure(release, progress))
    return 0


def _modules(options, progress):
    own_modules.ensure(_kernel(options.release), options.source, options.target, progress)
    return 0


def _run(options, progress):
    base = _base(options.release)
    options.mini = base != options.release
    options.userland, options.kernel = recipe.GUESTS[base]
    if not options.mini and not all(map(modules.is_file, options.modules or [])):
        raise GuestError("--modules takes names only for a small guest; the whole one has its modules")
    options.modules = options.modules or (["dummy"] if options.mini else [])
    options.cpus = options.cpus or (2 if options.mini else 4)
    options.memory = options.memory or min(2048 + 256 * options.cpus, 8192)
    options.timeout = options.timeout or (120 if options.mini else 600)
    return run.run(options, progress)
