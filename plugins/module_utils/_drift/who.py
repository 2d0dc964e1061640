# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who or what has changed a file, as far as the host can tell: when, and what was run by sudo just before."""

from __future__ import annotations

import datetime
import json
import os
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.judge import Finding

WINDOW = 600  # seconds between a command and the change that is laid to it
LONGEST = 200  # characters of a command


def changed_at(path: str) -> float | None:
    """Return when a file was last changed, in content or in mode; for one that is gone, when its folder was."""
    there = next((each for each in (Path(path), Path(path).parent) if os.path.lexists(each)), None)
    try:
        return there.lstat().st_ctime if there else None
    except OSError:
        return None


def sudo_commands(*, runner: CommandRunner, since: float) -> list[tuple[float, str]]:
    """Return what was run by sudo, with its time, oldest first."""
    start = f"@{since:.0f}"
    argv = ["journalctl", "--quiet", "--no-pager", "--output=json", f"--since={start}", "_COMM=sudo"]
    found = []
    for line in runner.run(argv, check=False).stdout.splitlines():
        try:
            entry = json.loads(line)
            message, stamp = str(entry["MESSAGE"]), int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError):
            continue
        # Our own way in runs a shell with a program on its standard input: it says nothing.
        user, colon, command = message.partition(" : ")
        if colon and "COMMAND=" in command and "BECOME-SUCCESS" not in command:
            found.append((stamp, f"{user.strip()}: {command.partition('COMMAND=')[2]}"[:LONGEST]))
    return found


def attribute(findings: t.Sequence[Finding], *, runner: CommandRunner) -> None:
    """Add to each finding about a file when that was changed, and by which command if one was run just before."""
    times = {finding["path"]: changed_at(finding["path"]) for finding in findings if finding["path"]}
    known = {path: when for path, when in times.items() if when is not None}
    if not known:
        return
    commands = sudo_commands(runner=runner, since=min(known.values()) - WINDOW)
    for finding in findings:
        when = known.get(finding["path"])
        if when is None:
            continue
        stamp_of = datetime.datetime.fromtimestamp(when, datetime.timezone.utc)
        finding["changed_at"] = stamp_of.isoformat(timespec="seconds")
        before = [text for stamp, text in commands if when - WINDOW <= stamp <= when + 1]
        if before:
            finding["changed_by"] = before[-1]
