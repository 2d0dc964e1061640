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
) -> list[dict[str, t.Any]]:
    """Whole sets of a host, with these databases and no others, that neither number nor age keeps any longer.

    A set stays if it is among the newest ``keep`` or younger than ``keep_days``. The newest always stays, and so do
    damaged sets, which somebody should look at: they neither count nor go.

    :arg sets: As `manifest.list_sets` gives them, newest first.
    """
    if not keep and not keep_days:
        return []
    limit = (now - datetime.timedelta(days=keep_days)).isoformat() if keep_days else now.isoformat()
    own = [
        each
        for each in sets
        if each["valid"] and each["manifest"]["host"] == host and set(each["manifest"]["databases"]) == set(databases)
    ]
    return [each for each in own[max(1, keep) :] if each["manifest"]["snapshot_at"] < limit]


def remove(path: Path) -> None:
    """Remove a set; the name it has meanwhile is that of an unfinished one, which the next dump clears."""
    doomed = path.with_name(path.name + manifests.PARTIAL_SUFFIX)
    path.rename(doomed)
    shutil.rmtree(doomed)
