# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which dump sets have had their time, and removing them so that no half of one is left under its name."""

from __future__ import annotations

import datetime
import shutil
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests


def expired(
    *,
    sets: t.Sequence[dict[str, t.Any]],
    host: str,
    databases: t.Sequence[str],
    keep: int,
    keep_days: int,
    now: datetime.datetime,
    origin: str | None = None,
) -> list[dict[str, t.Any]]:
    """Whole sets of a host, with these databases and no others, that neither number nor age keeps any longer.

    A set stays if it is among the newest ``keep`` or younger than ``keep_days``. The newest always stays, and so do
    damaged sets, which somebody should look at: they neither count nor go. With an ``origin`` only those count that
    were taken for the same reason: what an admin takes by hand before a migration is not the schedule's to remove.
    Sets without any table count by themselves: those of a server that lost its data do not make the good ones go.

    :arg sets: As `manifest.list_sets` gives them, newest first.
    """
    if not keep and not keep_days:
        return []
    limit = (now - datetime.timedelta(days=keep_days)).isoformat() if keep_days else now.isoformat()
    own = [
        each
        for each in sets
        if each["valid"]
        and each["manifest"]["host"] == host
        and set(each["manifest"]["databases"]) == set(databases)
        and origin in (None, each["manifest"].get("origin", manifests.REQUEST))
    ]
    filled = [each for each in own if _has_tables(each["manifest"])]
    empty = [each for each in own if not _has_tables(each["manifest"])]
    rest = filled[max(1, keep) :] + empty[max(1, keep) :]
    return [each for each in rest if each["manifest"]["snapshot_at"] < limit]


def _has_tables(manifest: manifests.Manifest) -> bool:
    return any(database["tables"] for database in manifest["databases"].values())


def prune(
    *,
    directory: Path,
    host: str,
    databases: t.Sequence[str],
    keep: int,
    keep_days: int,
    now: datetime.datetime,
    origin: str | None = None,
) -> list[str]:
    """Remove the sets of a directory that are `expired`.

    :returns: Their names.
    """
    if not keep and not keep_days:  # nor need they be read
        return []
    doomed = expired(
        sets=manifests.list_sets(directory=directory),
        host=host,
        databases=databases,
        keep=keep,
        keep_days=keep_days,
        now=now,
        origin=origin,
    )
    for each in doomed:
        remove(Path(each["path"]))
    return [each["id"] for each in doomed]


def remove(path: Path) -> None:
    """Remove a set; the name it has meanwhile is that of an unfinished one, which the next dump clears."""
    doomed = path.with_name(path.name + manifests.PARTIAL_SUFFIX)
    path.rename(doomed)
    shutil.rmtree(doomed)
