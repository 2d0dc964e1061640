# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a rebuild: what was begun, what is done, and how long it took.

One JSON file a host on the controller. It outlives the run, so that a killed one goes on where it
stopped, and it is what the report is made of.
"""

from __future__ import annotations

import datetime
import json
import pathlib
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._files import replace_file

SCHEMA = "phoenix.webstack.rebuild/1"
Run = dict[str, t.Any]


def now() -> str:
    """The present moment, UTC, as ISO 8601 with milliseconds."""
    moment = datetime.datetime.now(tz=datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_between(earlier: str, later: str) -> float:
    """Seconds from one ISO 8601 moment to another, to the millisecond."""
    first, second = (datetime.datetime.fromisoformat(each.replace("Z", "+00:00")) for each in (earlier, later))
    return round((second - first).total_seconds(), 3)


def load(path: pathlib.Path) -> Run:
    """Read the last run of a host; an empty mapping where there was none.

    :raises WebstackError: The file is there but is not a journal.
    """
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise WebstackError(f"The journal {path} cannot be read: {error}. Move it away and run again.") from error
    if not isinstance(run, dict) or run.get("schema") != SCHEMA:
        raise WebstackError(f"{path} is not a journal of this version ({SCHEMA}). Move it away and run again.")
    return run


def save(path: pathlib.Path, text: str) -> None:
    """Write a file of the journal's folder atomically, readable by its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, text.encode(), mode=0o600)


def begin(earlier: Run, *, host: str, address: str, moment: str, facts: t.Mapping[str, t.Any]) -> Run:
    """Open a run, or go on with an unfinished one for the same host and address.

    A run that goes on keeps its first start (the outage did not pause while it lay dead) and what it
    had learnt, and counts one more attempt.
    """
    goes_on = bool(earlier) and not earlier.get("finished_at") and earlier.get("address") == address
    run: Run = dict(earlier) if goes_on else {"started_at": moment, "attempts": 0}
    learnt = {key: value for key, value in facts.items() if value is not None}
    run.update(learnt, schema=SCHEMA, host=host, address=address, finished_at=None, phases=[])
    run["attempts"] = run["attempts"] + 1
    run["attempt_started_at"] = moment
    return run


def enter(run: Run, *, phase: str, moment: str) -> Run:
    """Start a phase; the one before it ends at the same moment. To enter the present phase is to go on with it."""
    if run["phases"] and run["phases"][-1]["name"] == phase:
        return run
    closed = leave(run, moment=moment)
    return {**closed, "phases": [*closed["phases"], {"name": phase, "started_at": moment, "seconds": None}]}


def leave(run: Run, *, moment: str) -> Run:
    """End the phase that is under way, if there is one."""
    phases = [dict(phase) for phase in run.get("phases", [])]
    if phases and phases[-1]["seconds"] is None:
        phases[-1]["seconds"] = seconds_between(phases[-1]["started_at"], moment)
    return {**run, "phases": phases}


def finish(run: Run, *, moment: str) -> Run:
    """Close the run as a success."""
    return {**leave(run, moment=moment), "finished_at": moment}
