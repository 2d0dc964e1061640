# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leave this host alone until then, because: a file that a person puts on a host, and that expires alone."""

from __future__ import annotations

import datetime
import json
import typing as t
from pathlib import Path

PATH = Path("/etc/webstack/hold.json")


def read_hold(*, now: datetime.datetime, path: Path = PATH) -> dict[str, str] | None:
    """Return the reason, by whom and until when, or None where there is no hold, or not any more.

    A file that cannot be read holds as well, since somebody meant it to.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    try:
        given = json.loads(text)
        hold = {key: str(given.get(key, "")) for key in ("reason", "by", "until")}
        until = parse_time(hold["until"])
    except (ValueError, AttributeError) as error:
        reason = f"{path} cannot be read ({error}), so it holds until somebody mends it"
        return {"reason": reason, "by": "", "until": ""}
    return hold if until is None or until > now else None


def parse_time(text: str) -> datetime.datetime | None:
    """Read a time with its zone (UTC where there is none); None where the text is empty."""
    if not text:
        return None
    found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)


def held(findings: t.Iterable[dict[str, t.Any]], hold: t.Mapping[str, str] | None) -> None:
    """Mark findings as held, which is told and neither judged nor corrected."""
    for finding in findings:
        finding["held"] = hold is not None
