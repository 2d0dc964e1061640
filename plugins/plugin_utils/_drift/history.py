# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs have found, kept on the controller: what is new, what is over, and what keeps coming back."""

from __future__ import annotations

import dataclasses
import json
import typing as t

if t.TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
# So often something is corrected in a row; when it comes back once more, something else is at work.
FLAPPING_AFTER = 3
RUNS_KEPT = 30

Entry = t.Dict[str, t.Any]  # noqa: UP006


@dataclasses.dataclass
class History:
    """Open findings by host and id, the last runs, and when the last of them could look at every host.

    An entry has ``first_seen``, ``what``, ``class``, and ``corrected``: how often in a row it was corrected in vain.
    """

    findings: dict[str, dict[str, Entry]] = dataclasses.field(default_factory=dict)
    runs: list[Entry] = dataclasses.field(default_factory=list)
    last_success: float | None = None

    def flapping(self, host: str) -> list[str]:
        """Return the ids of what came back on a host each time, so that it is corrected no more."""
        return [
            key for key, entry in self.findings.get(host, {}).items() if entry.get("corrected", 0) >= FLAPPING_AFTER
        ]

    def entry(self, host: str, key: str) -> Entry | None:
        """Return what is known of a finding."""
        return self.findings.get(host, {}).get(key)

    def note_host(self, host: str, findings: t.Iterable[t.Mapping[str, t.Any]], *, now: str) -> list[Entry]:
        """Take the findings of a host that was looked at, and return those of earlier that are over.

        A finding that was corrected stays known until a run does not meet it any more.
        """
        before = self.findings.get(host, {})
        after: dict[str, Entry] = {}
        for finding in findings:
            known = before.get(finding["id"], {})
            after[finding["id"]] = {
                "first_seen": known.get("first_seen", now),
                "what": finding["what"],
                "class": finding["class"],
                "corrected": known.get("corrected", 0) + (finding["outcome"] == "corrected"),
                "open": finding["outcome"] != "corrected",
            }
        self.findings[host] = after
        return [
            {"host": host, "id": key, **entry}
            for key, entry in before.items()
            if entry.get("open", True) and not after.get(key, {}).get("open")
        ]

    def note_run(self, run: Entry) -> None:
        """Remember a run."""
        self.runs = [*self.runs, run][-RUNS_KEPT:]

    def as_text(self) -> str:
        """Give it as the text of its file."""
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, indent=1) + "\n"


def load(path: Path) -> History:
    """Read the history; one that cannot be read is empty, and everything is told as new."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] == SCHEMA:
            return History(dict(data["findings"]), list(data["runs"]), data.get("last_success"))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return History()
