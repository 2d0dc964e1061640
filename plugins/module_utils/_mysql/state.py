# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this collection has restored into which database of this host: one small durable file for each."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import files

SCHEMA = "phoenix.webstack.restore/1"
LOADING = "loading"
RESTORED = "restored"
# In between: a dump was restored, and what came after it is being replayed.
REPLAYING = "replaying"

RestoreState = t.Dict[str, t.Any]  # noqa: UP006 -- evaluated at run time, Python 3.8 on hosts


class StateStore:
    """The state files of one directory."""

    def __init__(self, *, directory: Path) -> None:
        self.directory = directory

    def path(self, database: str) -> Path:
        """Where the state of a database is kept."""
        safe = re.sub(r"[^A-Za-z0-9_-]", lambda m: "".join(f"%{byte:02X}" for byte in m.group().encode()), database)
        return self.directory / f"{safe}.json"

    def read(self, database: str) -> RestoreState | None:
        """The state of a database, or nothing where this collection never touched it.

        :raises WebstackError: The file is there and cannot be understood, so nothing can be said for sure.
        """
        path = self.path(database)
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise WebstackError(f"The restore state {path} cannot be read: {error}.") from error
        if not isinstance(state, dict) or state.get("schema") != SCHEMA or state.get("database") != database:
            raise WebstackError(f"{path} is no restore state of database `{database}` that this version understands.")
        return state

    def write(self, state: RestoreState) -> None:
        """Keep a state, durable before this returns."""
        files.ensure_private_directory(self.directory)
        files.write_json(path=self.path(state["database"]), value={"schema": SCHEMA, **state})

    @property
    def journal_directory(self) -> Path:
        """Where a switch keeps what it needs to be finished or taken back after the loss of this process."""
        return self.directory / "switch"

    @property
    def kept_directory(self) -> Path:
        """Where it is written down which databases keep what was there before a restore."""
        return self.directory / "kept"

    def put_back(self, state: RestoreState) -> None:
        """Go from the state of an interrupted load to the one before it."""
        before = state.get("before")
        if before is None:
            self.clear(state["database"])
        else:
            self.write(before)

    def clear(self, database: str) -> None:
        """Forget a database."""
        path = self.path(database)
        if path.exists():
            path.unlink()
            files.sync_directory(self.directory)


def settled(state: RestoreState | None) -> RestoreState | None:
    """The state without a load that was cut off: what this collection last restored here for good, if anything."""
    if state is not None and state["state"] == LOADING:
        return state.get("before")
    return state
