# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that drift is told in: items that a role wants of a host, and how the host differs from them."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import typing as t

# The classes of findings.
DRIFT = "drift"  # the host has changed since the last apply
PENDING = "pending"  # the inventory or the collection has changed since the last apply
PROBE = "probe"  # something does not behave as it has to
EXTRA = "extra"  # something that no role wants is there
FLAPPING = "flapping"  # corrected again and again, and it came back each time
CLASSES = (DRIFT, PENDING, PROBE, EXTRA, FLAPPING)

LONGEST_DIFF = 200  # lines


@dataclasses.dataclass(frozen=True)
class Difference:
    """One way in which a host is not as it has to be.

    :arg what: A sentence for people.
    :arg nature: DRIFT, EXTRA or PROBE. Whether a DRIFT is the host's doing or ours is the record's to tell (`judge`).
    :arg key: Names the difference where the item's own key would not do.
    :arg before: What the host has, as text for a diff; never a secret.
    :arg after: What is wanted, likewise.
    :arg path: The file in question, by which the host may tell who has changed it.
    :arg host: The host in question, where it is not the one that was asked.
    """

    what: str
    nature: str = DRIFT
    key: str = ""
    before: str = ""
    after: str = ""
    path: str = ""
    host: str = ""


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing that a role wants of a host.

    :arg key: Its name, the same in every run: ``file:/etc/nginx/nginx.conf``.
    :arg wanted: What tells this wanted state from another, as plain data without secrets other than whole files; its
        digest is recorded when it is applied. None: nothing that the inventory could change.
    :arg seen: What the host has beside what we want of it (package files, kernel rules), by name. It is recorded with
        an apply, and from then on held to be right.
    """

    key: str
    wanted: t.Any = None
    differences: tuple[Difference, ...] = ()
    seen: t.Mapping[str, str] | None = None


def digest(value: t.Any) -> str:
    """Tell one plain value from another."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def compare_seen(
    *, before: t.Mapping[str, str], now: t.Mapping[str, str], title: str, key: str, added: str = EXTRA
) -> list[Difference]:
    """Compare what a host has beside what we want of it with what it had when that was last recorded.

    :arg title: What the names are names of: ``File``, ``Kernel rule``.
    :arg key: The prefix of the differences' keys.
    :arg added: The nature of a name that is new.
    """
    found = []
    for name in sorted({*before, *now}):
        had, has = before.get(name), now.get(name)
        if had == has:
            continue
        path = name if name.startswith("/") else ""
        if had is None:
            what, nature = f"{title} {name} is new since the last apply", added
        elif has is None:
            what, nature = f"{title} {name} is gone since the last apply", DRIFT
        else:
            what, nature = f"{title} {name} is not as it was at the last apply", DRIFT
        found.append(
            Difference(what, nature, key=f"{key}:{name}", before=_line(name, has), after=_line(name, had), path=path)
        )
    return found


def _line(name: str, value: str | None) -> str:
    return "" if value is None else f"{name} {value}".rstrip() + "\n"


def unified(*, before: str, after: str, name: str) -> str:
    """Give two texts as one diff, which leads from what the host has to what is wanted."""
    lines = list(
        difflib.unified_diff(
            before.splitlines(), after.splitlines(), fromfile=f"{name} (host)", tofile=f"{name} (wanted)", lineterm=""
        )
    )
    surplus = len(lines) - LONGEST_DIFF
    return "\n".join([*lines[:LONGEST_DIFF], *([f"… and {surplus} more lines"] if surplus > 0 else [])])
