# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard knows: the host as it was when a login last worked, and how often somebody has undone its repairs."""

from __future__ import annotations

import collections
import dataclasses
import json
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import write_atomically

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.files import Entries
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network import State

CONTEST_SECONDS = 30.0  # so many repairs within this time are a contest
CONTEST_REPAIRS = 3


@dataclasses.dataclass(frozen=True)
class Seen:
    """The host at one moment: its files and its network."""

    files: Entries
    network: State
    mounts: list[str]


class Contest:
    """How often somebody has undone what the guard has mended."""

    def __init__(self) -> None:
        self._repairs: dict[str, collections.deque[float]] = {}

    def note(self, subject: str) -> bool:
        """Note a repair, and tell whether there were many of late."""
        repairs = self._repairs.setdefault(subject, collections.deque(maxlen=CONTEST_REPAIRS))
        repairs.append(time.monotonic())
        return self.is_on(subject)

    def is_on(self, subject: str) -> bool:
        """Tell whether there were many repairs of late."""
        repairs = self._repairs.get(subject, collections.deque())
        return len(repairs) == CONTEST_REPAIRS and time.monotonic() - repairs[0] < CONTEST_SECONDS


class Memory:
    """What is known of the host beside its files, on disk: network, mounts, and the unit that brings SSH."""

    def __init__(self, *, file: Path = paths.STATE / "good" / "host.json") -> None:
        self._file = file
        self._known: dict[str, t.Any] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read it anew: another process may have kept one."""
        try:
            self._known = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    @property
    def network(self) -> State:
        """The network as it was when a login last worked; empty before the first."""
        found: State = self._known.get("network", {})
        return found

    @property
    def unit(self) -> str:
        """The unit that brings SSH; empty before the first good login."""
        return str(self._known.get("unit", ""))

    @property
    def mounts(self) -> list[str]:
        """What was mounted where a login looks."""
        found: list[str] = self._known.get("mounts", [])
        return found

    def keep(self, *, network: State, mounts: list[str], unit: str) -> None:
        """Take this for good."""
        wanted = {"network": network, "mounts": mounts, "unit": unit}
        if wanted != self._known:
            self._known = wanted
            write_atomically(self._file, json.dumps(wanted, indent=1).encode())
