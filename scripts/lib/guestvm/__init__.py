# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds and boots the QEMU guests of modgate's tests; the command is scripts/guest."""
