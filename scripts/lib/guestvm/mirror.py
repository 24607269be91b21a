# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where Debian's packages come from: the mirror that this machine's own apt uses."""

import os
import re
import subprocess

from .errors import NoMirror

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PASSED_ON = re.compile(r"Acquire::(http|https|ftp|Retries|ForceIPv4|ForceIPv6|Check-Valid-Until|Queue-Mode)\b")


def sources(suite):
    """Lines of a sources.list for `suite`; -updates and -security where this machine has them."""
    override = os.environ.get("MODGATE_MIRROR")
    found = [("", override)] if override else _known_to_apt()
    if not any(part == "" for part, _ in found):
        raise NoMirror("no Debian mirror in this machine's apt configuration (run apt-get update, or set MODGATE_MIRROR)")
    return [_line(uri, suite + part) for part, uri in found]


def options():
    """Proxies, retries and certificates of this machine's apt, as lines of an apt.conf."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [line for line in dump.splitlines() if PASSED_ON.match(line)]


def _line(uri, suite):
    signed = f"[signed-by={KEYRING}] " if os.path.exists(KEYRING) else ""
    return f"deb {signed}{uri} {suite} main"


def _known_to_apt():
    """(suffix, URI) for "", "-updates", "-security" of Debian itself, in apt's order."""
    form = "$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {}
    for line in listing.splitlines():
        origin, codename, component, uri = line.split("|")
        part = re.sub(r"^[a-z]+", "", codename)
        if origin == "Debian" and component == "main" and part in ("", "-updates", "-security"):
            found.setdefault(part, uri)
    return list(found.items())
