# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was last applied to a host, kept on the host: by it, what the host has changed is told from what we have."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import Item, digest
from ansible_collections.phoenix.webstack.plugins.module_utils._files import replace_file

PATH = Path("/var/lib/webstack/applied.json")
SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Record:
    """The digests of what was wanted at the last apply, and what the host had beside it; both by the items' keys.

    :arg exists: Whether anything was ever applied.
    """

    exists: bool = False
    wanted: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    seen: t.Mapping[str, t.Mapping[str, str]] = dataclasses.field(default_factory=dict)

    def as_text(self) -> str:
        """Give it as the text of its file."""
        return json.dumps({"schema": SCHEMA, "wanted": self.wanted, "seen": self.seen}, indent=1, sort_keys=True) + "\n"

    def with_items(self, items: t.Iterable[Item], *, keep_seen: bool) -> Record:
        """Return the record after an apply of some items.

        :arg keep_seen: What the host has beside what we want stays as it was recorded before, where it was: a
            correction of one thing does not make everything else right.
        """
        items = list(items)
        wanted = {item.key: digest(item.wanted) for item in items if item.wanted is not None}
        seen = {item.key: item.seen for item in items if item.seen is not None}
        return Record(
            exists=True,
            wanted={**self.wanted, **wanted},
            seen={**self.seen, **seen, **(self.seen if keep_seen else {})},
        )


def load(path: Path = PATH) -> Record:
    """Read the record. One that cannot be read is none: then everything is told as not applied yet."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            return Record()
        return Record(exists=True, wanted=dict(data["wanted"]), seen=dict(data["seen"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Record()


def store(record: Record, path: Path = PATH) -> None:
    """Write the record in one step; it holds digests of secrets, so that root alone may read it."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    replace_file(path, record.as_text().encode(), mode=0o600)
