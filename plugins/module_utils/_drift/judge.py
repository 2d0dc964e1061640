# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what differs to findings: whose doing it is, and which are accepted."""

from __future__ import annotations

import fnmatch
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import (
    DRIFT,
    PENDING,
    Difference,
    Item,
    digest,
    unified,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.record import Record

Finding = t.Dict[str, t.Any]  # noqa: UP006 (evaluated on Python 3.8)


def class_of(difference: Difference, *, item: Item, record: Record) -> str:
    """Tell the class of a difference.

    A host that is not as wanted has drifted if this was applied to it; else it only waits for that.
    """
    if difference.nature != DRIFT or item.wanted is None:
        return difference.nature
    return DRIFT if record.wanted.get(item.key) == digest(item.wanted) else PENDING


def findings_of(item: Item, *, role: str, record: Record, accepted: t.Sequence[str]) -> list[Finding]:
    """Return what is to be told of one item, as plain data.

    :arg accepted: Patterns of the ids of findings that nobody wants to hear of.
    """
    found = []
    for difference in item.differences:
        key = difference.key or item.key
        if any(fnmatch.fnmatchcase(key, pattern) for pattern in accepted):
            continue
        found.append(
            {
                "id": key,
                "role": role,
                "class": class_of(difference, item=item, record=record),
                "what": difference.what,
                "diff": unified(before=difference.before, after=difference.after, name=difference.path or key),
                "path": difference.path,
                "host": difference.host,
            }
        )
    return found


def unique(findings: t.Iterable[Finding]) -> list[Finding]:
    """Tell each thing once: a file in a folder that is watched may also be one that a service reads."""
    found: dict[str, Finding] = {}
    for finding in findings:
        found.setdefault(finding["id"], finding)
    return list(found.values())
