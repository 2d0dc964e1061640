# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump from the request to the removal of those whose time is over: what the module and the timer have in common."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import os
import platform
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    accounts,
    dump,
    encryption,
    files,
    physical,
    retention,
    session,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session

LOCK_FILE = ".lock"
# How long a dump waits for another one, in seconds: the timer's is no reason for a rebuild to fail, nor the other way.
_TURN = 1800.0
# Of zstd: a copy of files is as fast as this is, while a dump of text waits for the server.
LEVELS = {"logical": 3, "physical": 1}

# The options of the module `mysql_dump`, and the keys of the timer's file.
ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "databases": {"type": "list", "elements": "str", "required": True},
    "method": {"type": "str", "choices": ["logical", "physical"], "default": "logical"},
    "directory": {"type": "path", "default": "/var/backups/webstack/mysql"},
    "host": {"type": "str"},
    "lock_timeout": {"type": "int", "default": 10},
    "keep": {"type": "int", "default": 0},
    "keep_days": {"type": "int", "default": 0},
    "workers": {"type": "int", "default": 2},
    "compression_level": {"type": "int"},
    "age_recipients": {"type": "list", "elements": "str", "default": []},
    "login_unix_socket": {"type": "path"},
}


@dataclasses.dataclass(frozen=True)
class Request:
    """What somebody wants to have dumped, and how long such dumps are kept."""

    options: dump.DumpOptions
    method: str
    workers: int
    keep: int
    keep_days: int
    connect: t.Callable[[], Session]


def request_from(params: t.Mapping[str, t.Any], *, origin: str = manifests.REQUEST) -> Request:
    """Read what `ARGUMENTS` describe.

    :raises WebstackError: There is no database to dump.
    """
    socket = params["login_unix_socket"]
    options = dump.DumpOptions(
        databases=tuple(dict.fromkeys(params["databases"])),
        directory=Path(params["directory"]),
        host=params["host"] or platform.node().split(".")[0],
        lock_timeout=params["lock_timeout"],
        level=min(19, max(1, params["compression_level"] or LEVELS[params["method"]])),
        socket=session.find_socket(login_unix_socket=socket),
        origin=origin,
        recipients=tuple(dict.fromkeys(params["age_recipients"])),
    )
    if not options.databases:
        raise WebstackError("`databases` is empty: name the databases to dump.")
    return Request(
        options=options,
        method=params["method"],
        workers=max(1, params["workers"]),
        keep=max(0, params["keep"]),
        keep_days=max(0, params["keep_days"]),
        connect=functools.partial(session.connect, login_unix_socket=socket),
    )


def refuse_impossible(*, request: Request, looker: Session) -> None:
    """Refuse what the server does not have, or not in this form."""
    encryption.refuse_recipients(request.options.recipients)
    dump.refuse_unknown(session=looker, databases=request.options.databases)
    if request.method == manifests.PHYSICAL:
        physical.refuse_part(session=looker, databases=request.options.databases)
    elif session.own_account() != "root":
        accounts.refuse_blind(session=looker, databases=request.options.databases)


def take(*, request: Request) -> dict[str, t.Any]:
    """Dump, one run at a time in a directory, and then remove what neither number nor age keeps.

    :returns: The dump, as the module `mysql_dump` returns it.
    :raises WebstackError: There is no dump, and nothing is left of the attempt.
    """
    options = request.options
    looker = request.connect()
    refuse_impossible(request=request, looker=looker)
    os.umask(0o077)
    files.ensure_private_directory(options.directory)
    with files.exclusive_lock(path=options.directory / LOCK_FILE, what="Another dump", turn=_TURN):
        files.hand_over(options.directory / LOCK_FILE, like=options.directory)
        removed = dump.remove_remains(directory=options.directory)
        dump.refuse_full_disk(session=looker, options=options)
        if options.origin == manifests.SCHEDULE:
            refuse_emptied(session=looker, options=options)
        looker.close()
        identity = dump.new_identity(directory=options.directory, host=options.host)
        kind = physical.PhysicalDump if request.method == manifests.PHYSICAL else dump.Dump
        work = kind(options=options, connect=request.connect, readers=request.workers, workers=request.workers)
        result = work.run(identity=identity)
        return {**result, "removed_remains": removed, "removed_sets": remove_expired(request=request)}


def refuse_emptied(*, session: Session, options: dump.DumpOptions) -> None:
    """Refuse to put a dump of nothing beside good ones, whose place it would take in time.

    So a database that was lost, or is being restored at this very moment, is not dumped without anybody looking.
    """
    marks = ", ".join(["%s"] * len(options.databases))
    statement = f"SELECT DISTINCT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({marks})"
    filled = {str(row[0]) for row in session.rows(statement, options.databases)}
    newest = newest_whole(directory=options.directory, host=options.host)
    before = newest["manifest"]["databases"] if newest else {}
    emptied = [name for name in options.databases if name not in filled and before.get(name, {}).get("tables")]
    if newest and emptied:
        raise WebstackError(
            f"No table is left in: {', '.join(emptied)}. The last dump, {newest['id']}, has some, so this is no "
            "moment to dump: a restore may be under way, or data was lost. Nothing was dumped. If they are meant to be "
            "empty, dump them once by hand: ansible-playbook phoenix.webstack.back_up_database",
        )


def newest_whole(*, directory: Path, host: str | None = None) -> dict[str, t.Any] | None:
    """The newest set of a directory (and of a host) that is whole, as `manifest.list_sets` describes it."""
    whole = (each for each in manifests.list_sets(directory=directory) if each["valid"])
    return next((each for each in whole if host in (None, each["manifest"]["host"])), None)


def remove_expired(*, request: Request) -> list[str]:
    """Remove the sets that had their time; returns their names."""
    options = request.options
    return retention.prune(
        directory=options.directory,
        host=options.host,
        databases=options.databases,
        keep=request.keep,
        keep_days=request.keep_days,
        now=datetime.datetime.now(tz=datetime.timezone.utc),
        origin=options.origin,
    )
