# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program says to whoever called it; a module of Ansible has no `print`, since its output is its result."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Write a line of the answer."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """Write a line about what went wrong, at once: the caller may be watching, or systemd."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
