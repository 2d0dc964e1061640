# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""May this dump be restored here? All the reasons against it at once, and for each database what is to be done."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import files
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import state as states
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import series_of, title_of

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.catalog import Database
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.manifest import Manifest
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Server

LOAD = "load"
REPLACE = "replace"
DONE = "done"
_MARGIN = 128 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What to do with one database: ``load`` it, ``replace`` what is there (and keep it), or nothing (``done``)."""

    action: str
    problem: str | None = None


def judge_engine(*, manifest: Manifest, server: Server) -> list[str]:
    """Refuse the other engine, and a server older than the dump's."""
    source = title_of(engine=manifest["engine"], version=manifest["version"])
    if manifest["engine"] != server.engine:
        return [
            f"The dump is of {source} and this server is {server.title}: a dump goes back into the engine it came "
            "from. Install that engine (mysql_engine), or migrate by hand first.",
        ]
    if series_of(manifest["version"]) > server.series:
        return [
            f"The dump is of {source}, newer than this server ({server.title}), which may not understand it. "
            "Upgrade this server first.",
        ]
    return []


def judge_same_series(*, manifest: Manifest, server: Server) -> list[str]:
    """Refuse the files of another release series: a server reads its own."""
    if manifest["engine"] != server.engine or series_of(manifest["version"]) == server.series:
        return []  # another engine is a reason of its own
    source = title_of(engine=manifest["engine"], version=manifest["version"])
    return [
        f"The dump is a copy of the files of {source}, which only the same release series reads; this server is "
        f"{server.title}. Take a logical dump (mysql_backup_method=logical on the source).",
    ]


def judge_space(*, needed: int, free: int, path: Path) -> list[str]:
    """Refuse a disk that could not hold the tables with a fifth to spare."""
    wanted = needed + needed // 5 + _MARGIN
    if free >= wanted:
        return []
    return [
        f"{path} has {files.human_size(free)} left; this restore wants {files.human_size(wanted)} there. "
        f"Free some space. Look with: df -h {path}",
    ]


def judge_definers(*, missing: t.Sequence[str]) -> list[str]:
    """Refuse objects whose definer does not exist here: they would restore, and then fail when used."""
    if not missing:
        return []
    return [
        f"Views, triggers, routines or events of the dump belong to accounts that this server does not have: "
        f"{', '.join(missing)}. Create them first (mysql_users of the role `mysql`).",
    ]


def judge_replace(*, replace: t.Sequence[str], names: t.Sequence[str]) -> list[str]:
    """Refuse a confirmation for a database that is not restored: it was meant for another one."""
    return [
        f"`{name}` is to be replaced, but this restore has only: {', '.join(names)}. Give the exact name."
        for name in replace
        if name not in names
    ]


def judge_references(*, name: str, tables: t.Sequence[str]) -> list[str]:
    """Refuse to replace tables to which foreign keys of other databases lead: they would follow the old ones."""
    if not tables:
        return []
    return [
        f"Foreign keys of other databases lead into `{name}`: {', '.join(tables[:5])}. They would follow the tables "
        "that are put aside. Drop these keys first, and make them again afterwards.",
    ]


def judge_target(
    *,
    name: str,
    target: Database | None,
    state: states.RestoreState | None,
    dump_id: str,
    host: str,
    replace: bool = False,
    holds_nothing: bool = False,
) -> Verdict:
    """What a database on this host means for a restore into it.

    What is neither absent nor empty is put aside, and only where its exact name was given.

    :arg holds_nothing: The dump's database is empty itself, so that an empty one can be the restored one.
    """
    state = states.settled(state)
    is_this_dump = state is not None and state["dump_id"] == dump_id
    if target is None or target.is_empty:
        return Verdict(action=DONE if is_this_dump and holds_nothing and target is not None else LOAD)
    # What a replay that failed has left was never anybody's; it is kept all the same.
    if state is not None and state["state"] == states.REPLAYING:
        return Verdict(action=REPLACE)
    if is_this_dump:
        return Verdict(action=DONE)
    if replace:
        return Verdict(action=REPLACE)
    if state is None:
        return Verdict(
            action=LOAD,
            problem=(
                f"Database `{name}` on {host} already holds {_contents(target)} and was not restored by this "
                f"collection; nothing was changed. {_advice(name)}"
            ),
        )
    return Verdict(
        action=LOAD,
        problem=(
            f"Database `{name}` on {host} holds {_contents(target)}, restored from another dump ({state['dump_id']}, "
            f"{state.get('finished_at')}), and its data may have moved on since; nothing was changed. {_advice(name)}"
        ),
    )


def _advice(name: str) -> str:
    return (
        f"To put that data aside and restore in its place, name the database: mysql_restore_replace={name} (the data "
        "is kept, and the run says where); or restore on another host."
    )


def _contents(database: Database) -> str:
    count = len(database.tables)
    others = sum(len(names) for names in database.objects.values())
    tables = f"{count} table{'' if count == 1 else 's'}"
    return tables if count else f"no table but {others} view{'' if others == 1 else 's'}, routines or events"
