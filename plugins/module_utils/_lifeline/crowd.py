# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where so many processes run that no further one can be started: who they are, and their end.

No command can help then, since it would be one more process.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

SMALLEST = 100  # fewer than that many alike are no crowd
ROUNDS = 20  # while some are ended, others of them start


class Member(t.NamedTuple):
    """One process, and what it has in common with others: its session, or its name and the place it runs in."""

    pid: int
    session: int
    name: str
    place: str


def parse_stat(text: str) -> tuple[str, int, int]:
    """Read /proc/PID/stat: the name, the session, and the flags."""
    name = text[text.index("(") + 1 : text.rindex(")")]
    fields = text[text.rindex(")") + 2 :].split()
    return name, int(fields[3]), int(fields[6])


KERNEL_THREAD = 0x00200000  # PF_KTHREAD


def members(proc: Path = Path("/proc")) -> list[Member]:
    """Return every process of this host but those of the kernel, and this one."""
    found = []
    for folder in proc.iterdir():
        if not folder.name.isdigit() or int(folder.name) in (1, os.getpid()):
            continue
        with contextlib.suppress(OSError, ValueError):
            name, session, flags = parse_stat((folder / "stat").read_text(encoding="utf-8", errors="replace"))
            if not flags & KERNEL_THREAD:
                place = (folder / "cgroup").read_text(encoding="utf-8", errors="replace")
                found.append(Member(int(folder.name), session, name, place))
    return found


def largest(found: t.Sequence[Member]) -> list[Member]:
    """Return the processes of the largest crowd: those of one session, else those of one name in one place."""
    kinds: tuple[t.Callable[[Member], t.Hashable], ...] = (
        lambda each: each.session,
        lambda each: (each.name, each.place),
    )
    for kind in kinds:
        groups: dict[t.Hashable, list[Member]] = collections.defaultdict(list)
        for each in found:
            groups[kind(each)].append(each)
        crowd = max(groups.values(), key=len, default=[])
        if len(crowd) >= SMALLEST and 2 * len(crowd) >= len(found):
            return crowd
    return []


def disperse() -> str:
    """End the largest crowd, and say who it was; an empty text where there is none.

    :raises WebstackError: when it grows faster than it can be ended.
    """
    ended: collections.Counter[str] = collections.Counter()
    for _round in range(ROUNDS):
        crowd = largest(members())
        if not crowd:
            break
        # Stopped first, so that none of them starts another meanwhile.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for each in crowd:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, number)
        ended.update(each.name for each in crowd)
        time.sleep(0.1)
    else:
        raise WebstackError("processes multiply faster than they can be ended")
    return ", ".join(f"{count} of {name}" for name, count in ended.most_common(3))
