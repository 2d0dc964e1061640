# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ssh-lifeline."""

from __future__ import annotations

import argparse
import typing as t

VERSION = "0.2.0"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(prog="ssh-lifeline", description="Keeps SSH reachable on this host.")
    top.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    return top


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    parser().parse_args(arguments)
    return 0
