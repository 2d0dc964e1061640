# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HAProxy that runs on this host: its command line, and whether it has read its files."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

# In /proc/PID/stat behind the command name, counted from "state" as 0.
_PARENT_FIELD = 1
_START_FIELD = 19


@dataclasses.dataclass(frozen=True)
class Process:
    """A running HAProxy.

    :arg pid: The worker's.
    :arg master: The master's, which outlives a reload; the worker's own where there is none.
    :arg arguments: The command line of the master where there is one, else the worker's own.
    :arg started: When the worker was started, in seconds since the epoch.
    """

    pid: int
    master: int
    arguments: tuple[str, ...]
    started: float

    def reads(self, path: str) -> bool:
        """Tell whether a file or directory was named to it with -f."""
        return ("-f", path.rstrip("/")) in zip(self.arguments, (word.rstrip("/") for word in self.arguments[1:]))

    def older_than(self, path: str) -> bool:
        """Tell whether a file was written after it started, which it then cannot have read."""
        try:
            return Path(path).stat().st_mtime > self.started
        except FileNotFoundError:
            return False


def find_process(pid: int, *, proc: Path = Path("/proc")) -> Process | None:
    """Look at the worker with this id and at its master; None when it is gone."""
    try:
        fields = _stat(proc, pid)
        parent = int(fields[_PARENT_FIELD])
        master = parent if _arguments(proc, parent) else pid
        return Process(
            pid=pid,
            master=master,
            arguments=_arguments(proc, master),
            started=time.time()
            - time.clock_gettime(time.CLOCK_BOOTTIME)
            + int(fields[_START_FIELD]) / os.sysconf("SC_CLK_TCK"),
        )
    except (FileNotFoundError, ProcessLookupError):
        return None


def _stat(proc: Path, pid: int) -> list[str]:
    # The command's name stands in parentheses and may hold anything.
    return (proc / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _arguments(proc: Path, pid: int) -> tuple[str, ...]:
    """Give a process's command line, empty when it is no HAProxy."""
    try:
        words = (proc / str(pid) / "cmdline").read_text(encoding="utf-8", errors="replace").rstrip("\0").split("\0")
    except FileNotFoundError:
        return ()
    return tuple(words) if Path(words[0]).name == "haproxy" else ()
