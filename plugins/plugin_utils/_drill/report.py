# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a drill and its report: for a terminal, for people, for machines, and for Prometheus.

One journal on the controller. It is written from the first phase on, so that a drill that dies anywhere has left a
report which says that it was not finished.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild.journal import enter, leave, seconds_between

SCHEMA = "phoenix.webstack.drill/1"
UNFINISHED, PASSED, FAILED = "unfinished", "passed", "failed"
# The phase that begins when the gate is passed: there the service would be back.
AFTER_GATE = "clean up"
Run = dict[str, t.Any]


def load(path: pathlib.Path) -> Run:
    """Read the journal; an empty mapping where there is none. One that is broken is worth no drill."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) and run.get("schema") == SCHEMA else {}


def begin(earlier: Run, *, host: str, moment: str, pid: int, is_alive: t.Callable[[int], bool]) -> Run:
    """Open a drill. Of those before it, the last that passed is remembered.

    :arg pid: The process that the drill runs in.
    :raises WebstackError: The one before is still under way; this one would take it for cut off, and clean it up.
    """
    other = earlier.get("pid", pid)
    if earlier.get("verdict") == UNFINISHED and other != pid and is_alive(other):
        raise WebstackError(
            f"Another drill is under way (on {earlier['host']}, process {other}, since {earlier['started_at']});"
            f" nothing was changed. Wait for its end, or see what it does: ps -fp {other}"
        )
    return {
        "schema": SCHEMA,
        "host": host,
        "pid": pid,
        "started_at": moment,
        "finished_at": None,
        "verdict": UNFINISHED,
        "problems": [],
        "phases": [],
        "last_passed": earlier.get("last_passed"),
    }


def enter_phase(run: Run, *, phase: str, moment: str) -> Run:
    """Start a phase, which ends the one before."""
    return enter(run, phase=phase, moment=moment)


def note_problem(run: Run, *, task: str, reason: str) -> Run:
    """Note why the drill fails, with the phase it was in."""
    phase = run["phases"][-1]["name"] if run["phases"] else "preflight"
    return {**run, "problems": [*run["problems"], {"phase": phase, "task": task, "reason": reason}]}


def finish(run: Run, *, moment: str) -> Run:
    """Close the drill with its verdict and its figures.

    ``rto_seconds`` is the time from its beginning to the passed gate, ``rpo_seconds`` the age of the restored data at
    that moment; both are null in a drill that did not get there.
    """
    closed = leave(run, moment=moment)
    gate = next((phase["started_at"] for phase in closed["phases"] if phase["name"] == AFTER_GATE), None)
    proven = gate is not None and closed.get("proof") is not None and not _failed_before(closed["problems"], AFTER_GATE)
    figures = {
        "rto_seconds": seconds_between(closed["started_at"], gate) if proven and gate else None,
        "rpo_seconds": seconds_between(closed["dump"]["snapshot_at"], gate) if proven and gate else None,
    }
    passed = proven and not closed["problems"]
    done = {**closed, **figures, "finished_at": moment, "verdict": PASSED if passed else FAILED}
    if passed:
        done["last_passed"] = {"finished_at": moment, **figures}
    return done


def _failed_before(problems: t.Sequence[t.Mapping[str, str]], phase: str) -> bool:
    return any(problem["phase"] != phase for problem in problems)


# -- for a terminal and for people -----------------------------------------------------


def facts(run: Run) -> list[tuple[str, str]]:
    """The drill as pairs of a label and a readable value."""
    dump, proof = run.get("dump"), run.get("proof")
    pairs = [
        ("Recovery time (RTO)", _figure(run.get("rto_seconds"))),
        ("Age of the data (RPO)", _figure(run.get("rpo_seconds"))),
        ("Backup", f"{dump['id']} of {dump['source']} (snapshot of {dump['snapshot_at']})" if dump else "none"),
        ("Proof", f"{proof['tables']} tables, {proof['rows']} rows equal to the dump's manifest" if proof else "none"),
        ("Gate", f"asked from {', '.join(run['gate_from'])}" if run.get("gate_from") else "not reached"),
    ]
    last = run.get("last_passed")
    if run["verdict"] != PASSED:
        pairs.append(("Last drill that passed", last["finished_at"] if last else "none"))
    return pairs


def headline(run: Run) -> str:
    """The verdict as a sentence."""
    return {
        PASSED: f"The drill on {run['host']} passed: the last backup is a web server again.",
        FAILED: f"The drill on {run['host']} FAILED: do not rely on the last backup before you know why.",
        UNFINISHED: f"The drill on {run['host']} is not finished.",
    }[run["verdict"]]


def table(run: Run) -> list[str]:
    """The report as lines for a terminal."""
    longest = max((phase["seconds"] or 0.0 for phase in run["phases"]), default=0.0) or 1.0
    lines = [headline(run), ""]
    for phase in run["phases"]:
        length = "#" * max(1, round(30 * (phase["seconds"] or 0.0) / longest))
        lines.append(f"  {phase['name']:<10} {duration(phase['seconds'] or 0.0):>12}  {length}")
    lines.append("")
    lines += [f"  {label:<22} {value}" for label, value in facts(run)]
    lines += [f"  Failed in {each['phase']}: {each['task']}: {each['reason']}" for each in run["problems"]]
    return lines


def markdown(run: Run) -> str:
    """The report as a Markdown document."""
    ended = f"From {run['started_at']} to {run['finished_at'] or 'an unknown end'}."
    lines = [f"# Drill on {run['host']}: {run['verdict']}", "", ended, ""]
    lines += [f"- Failed in {each['phase']}: {each['task']}: {_one_line(each['reason'])}" for each in run["problems"]]
    lines += [""] if run["problems"] else []
    lines += ["| | |", "|---|---|", *(f"| {label} | {value} |" for label, value in facts(run)), ""]
    lines += ["| phase | started | took |", "|---|---|---:|"]
    lines += [
        f"| {each['name']} | {each['started_at']} | {duration(each['seconds'] or 0.0)} |" for each in run["phases"]
    ]
    return "\n".join(lines) + "\n"


def duration(seconds: float) -> str:
    """A time that people read: ``12.3 s``, ``2 min 05 s``, ``26 h 04 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _figure(seconds: float | None) -> str:
    return "not measured" if seconds is None else duration(seconds)


def _one_line(text: str) -> str:
    return " ".join(text.split())


# -- for Prometheus --------------------------------------------------------------------


def metrics(run: Run) -> str:
    """The report as the textfile collector of node_exporter reads it.

    RTO and RPO are those of the last drill that passed.
    """
    found: dict[str, tuple[str, t.Any]] = {
        "phoenix_drill_success": (
            "Whether the last drill passed; 0 from its beginning until it has.",
            int(run["verdict"] == PASSED),
        ),
        "phoenix_drill_last_start_timestamp_seconds": ("When the last drill began.", _epoch(run["started_at"])),
    }
    if last := run.get("last_passed"):
        found["phoenix_drill_last_success_timestamp_seconds"] = (
            "When the last drill ended that passed.",
            _epoch(last["finished_at"]),
        )
        found["phoenix_drill_rto_seconds"] = (
            "Time from the beginning of the last drill that passed until its health gate was passed.",
            last["rto_seconds"],
        )
        found["phoenix_drill_rpo_seconds"] = ("Age of the data at that moment.", last["rpo_seconds"])
    lines = []
    for name, (description, value) in found.items():
        lines += [f"# HELP {name} {description}", f"# TYPE {name} gauge", f"{name} {value}"]
    return "\n".join(lines) + "\n"


def _epoch(moment: str) -> int:
    return round(seconds_between("1970-01-01T00:00:00Z", moment))
