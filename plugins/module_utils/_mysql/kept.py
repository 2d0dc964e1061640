# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restores have put aside: looking at it, putting it back in its place, and dropping it."""

from __future__ import annotations

import json
import shutil
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import catalog, preflight, restore, switch
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import identifier

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.load import Loader
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.state import StateStore

Kept = t.Dict[str, t.Any]  # noqa: UP006 -- evaluated at run time, Python 3.8 on hosts


def list_kept(*, store: StateStore) -> list[Kept]:
    """All that is kept, oldest first: the live ``database``, the ``kept`` one, its ``tables``, and what replaced it."""
    found = [_read(path) for path in store.kept_directory.glob(f"*/{switch.KEPT_FILE}")]
    return sorted(found, key=lambda kept: kept["replaced_at"])


def _read(path: Path) -> Kept:
    try:
        return {**json.loads(path.read_text(encoding="utf-8")), "path": str(path.parent)}
    except (OSError, ValueError) as error:
        raise WebstackError(f"{path} cannot be read: {error}.") from error


def find(*, store: StateStore, name: str) -> Kept | None:
    """What is kept in a database of this exact name."""
    return next((kept for kept in list_kept(store=store) if kept["kept"] == name), None)


def drop(*, kept: Kept, session: Session) -> None:
    """Drop what is kept, for good."""
    session.execute(f"DROP DATABASE IF EXISTS {identifier(kept['kept'])}")
    shutil.rmtree(kept["path"])


def put_back(
    *,
    kept: Kept,
    store: StateStore,
    session: Session,
    connect: t.Callable[[], Session],
    loader: Loader,
    socket: str | None,
) -> dict[str, t.Any]:
    """Put what is kept back in its place; what is there now is kept in turn.

    :returns: What is kept now, if anything, as `switch.Switch.forget` says.
    """
    name = kept["database"]
    refuse_put_back(kept=kept, session=session)
    parts = [
        {"part": part, "file": manifests.part_file(name, part)}
        for part in switch.OBJECT_PARTS
        if (_directory(store, kept) / manifests.part_file(name, part)).exists()
    ]
    entry = {
        **switch.describe_live(session=session, name=name),
        "incoming": kept["kept"],
        "charset": kept["charset"],
        "collation": kept["collation"],
        "new": kept["tables"],
        "objects": kept["objects"],
        "parts": parts,
    }
    switched = switch.Switch(
        journal={"dump_id": kept["kept"], "databases": {name: entry}},
        directory=store.journal_directory,
        session=session,
        connect=connect,
        loader=loader,
    )
    try:
        switched.prepare(socket=socket, set_path=_directory(store, kept))
        switched.move()
        switched.complete()
    except WebstackError as error:
        switched.take_back()
        error.message += f" `{name}` is as it was before, and `{kept['kept']}` too."
        raise
    now = restore.conclude(switched=switched, store=store)
    shutil.rmtree(kept["path"])
    return now.get(name, {})


def refuse_put_back(*, kept: Kept, session: Session) -> None:
    """Refuse where it cannot be whole."""
    name, existing = kept["database"], catalog.existing_databases(session=session)
    problems = preflight.judge_references(
        name=name,
        tables=catalog.references_from_outside(session=session, name=name) if name in existing else [],
    )
    here = (
        switch.relations(catalog.read_database(session=session, name=kept["kept"])) if kept["kept"] in existing else []
    )
    missing = sorted(set(kept["tables"]) - set(here))
    if missing:
        problems.append(f"`{kept['kept']}` no longer has all of its tables; missing: {', '.join(missing[:5])}.")
    if problems:
        raise WebstackError(f"Putting `{kept['kept']}` back is refused, nothing was changed: {' '.join(problems)}")


def _directory(store: StateStore, kept: Kept) -> Path:
    return store.kept_directory / kept["kept"]
