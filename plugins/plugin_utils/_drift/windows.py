# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows: when a correction may change something."""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def may_correct(windows: t.Sequence[t.Mapping[str, t.Any]], *, now: datetime.datetime) -> bool:
    """Tell whether now is in one of the windows; without any it always is.

    :arg windows: Each with ``from`` and ``to`` (``22:00``; it may end on the next day) and ``days`` (``[mon, tue]``,
        the days on which it begins; all without). In the time zone of ``now``.
    :raises WebstackError: for one that means nothing.
    """
    return not windows or any(_contains(window, now) for window in windows)


def _contains(window: t.Mapping[str, t.Any], now: datetime.datetime) -> bool:
    begin, end = (_minutes(window, key) for key in ("from", "to"))
    days = [str(day).lower()[:3] for day in window.get("days") or DAYS]
    unknown = sorted(set(days) - set(DAYS))
    if unknown:
        raise WebstackError(f"drift_windows: `{unknown[0]}` is no day. Write days as {', '.join(DAYS)}.")
    minute = now.hour * 60 + now.minute
    today, yesterday = DAYS[now.weekday()], DAYS[now.weekday() - 1]
    if begin <= end:
        return today in days and begin <= minute < end
    return (today in days and minute >= begin) or (yesterday in days and minute < end)


def _minutes(window: t.Mapping[str, t.Any], key: str) -> int:
    match = _CLOCK.fullmatch(str(window.get(key, "")))
    if match is None:
        raise WebstackError(
            f"drift_windows: `{window.get(key, '')}` is no time of day. Write each window as"
            ' {days: [mon, tue], from: "22:00", to: "04:00"}, with the quotes.'
        )
    return int(match[1]) * 60 + int(match[2])
