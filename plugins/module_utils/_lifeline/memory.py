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

# So many repairs within this time are a contest; fewer will do where what was mended was seen to work in between.
CONTEST_REPAIRS, CONTEST_SECONDS = 3, 30.0
UNDONE_REPAIRS, UNDONE_SECONDS = 2, 12.0
CONTESTED_SECONDS = 1800.0  # how long a contest counts as won: a server of our own, pinned files, reflexes
FOR_A_WHILE = f"for {CONTESTED_SECONDS / 60:.0f} minutes; to end it earlier: ssh-lifeline off && ssh-lifeline on"
SAME_SECONDS = 0.8  # what is mended in several steps, as of a firewall that is loaded in several, is mended once


@dataclasses.dataclass(frozen=True)
class Seen:
    """The host at one moment: its files and its network."""

    files: Entries
    network: State
    mounts: list[str]


class Contest:
    """How often somebody has undone what the guard has mended."""

    def __init__(self) -> None:
        # When each repair was made, and how many proofs there had been by then.
        self._repairs: dict[str, collections.deque[tuple[float, int]]] = {}
        self._until: dict[str, float] = {}
        self._states: dict[str, tuple[object, float]] = {}
        self._proofs = 0

    def prove(self) -> None:
        """Note that SSH works: what is mended from now on is not the same fault as before."""
        self._proofs += 1

    def has_seen(self, subject: str, state: object) -> bool:
        """Tell whether this is the very state that was mended of late."""
        known, until = self._states.get(subject, (None, 0.0))
        return time.monotonic() < until and state == known

    def note(self, subject: str, state: object = None) -> bool:
        """Note a repair, and tell whether somebody undoes such repairs.

        :arg state: What was mended.
        """
        self._states[subject] = (state, time.monotonic() + CONTEST_SECONDS)
        repairs = self._repairs.setdefault(subject, collections.deque(maxlen=CONTEST_REPAIRS))
        now = time.monotonic()
        if repairs and now - repairs[-1][0] < SAME_SECONDS:
            return self.is_on(subject)
        repairs.append((now, self._proofs))
        (last, proofs), (earlier, proofs_then) = repairs[-1], repairs[max(-UNDONE_REPAIRS, -len(repairs))]
        undone = proofs > proofs_then and last - earlier < UNDONE_SECONDS
        if undone or (len(repairs) == CONTEST_REPAIRS and last - repairs[0][0] < CONTEST_SECONDS):
            self._until[subject] = last + CONTEST_SECONDS
        return self.is_on(subject)

    def is_on(self, subject: str) -> bool:
        """Tell whether somebody has undone repairs of late."""
        return time.monotonic() < self._until.get(subject, 0.0)


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
