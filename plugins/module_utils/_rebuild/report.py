# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a finished rebuild: for a terminal, for people, and for machines."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild.journal import Run, seconds_between


def summarise(run: Run) -> dict[str, t.Any]:
    """Derive what an admin is asked for after an outage from a finished run.

    :returns: ``rto_seconds`` (from the start of the first attempt to the verified service),
        ``rpo_seconds`` (age of the data when the balancer was repointed; null where no dump was taken),
        and the run's own facts.
    """
    dump, changes = run.get("dump") or {}, run.get("changes") or {}
    data_as_of: str | None = changes.get("until") or dump.get("snapshot_at")
    repointed = next((phase["started_at"] for phase in run["phases"] if phase["name"] == "repoint"), run["finished_at"])
    return {
        "schema": run["schema"],
        "host": run["host"],
        "address": {"old": run.get("old_address"), "new": run["address"]},
        "host_key": run.get("host_key"),
        "source": run.get("source"),
        "balancers": run.get("balancers", []),
        "attempts": run["attempts"],
        "started_at": run["started_at"],
        "finished_at": run["finished_at"],
        "rto_seconds": seconds_between(run["started_at"], run["finished_at"]),
        "rpo_seconds": seconds_between(data_as_of, repointed) if data_as_of else None,
        "data_as_of": data_as_of,
        "dump": dump.get("id"),
        "method": run.get("method"),
        "changes": run.get("changes"),
        "proof": run.get("proof"),
        "phases": run["phases"],
    }


def facts(summary: t.Mapping[str, t.Any]) -> list[tuple[str, str]]:
    """The summary as pairs of a label and a readable value."""
    address, key = summary["address"], summary["host_key"] or {}
    attempts = "" if summary["attempts"] == 1 else f", in {summary['attempts']} attempts"
    proof = summary["proof"] or {}
    return [
        ("Recovery time (RTO)", f"{_duration(summary['rto_seconds'])}{attempts}"),
        ("Age of the data (RPO)", _age(summary)),
        (
            "Proof",
            f"{proof['tables']} tables, {proof['rows']} rows equal to the source's at that moment"
            if proof
            else "restored and proven by an earlier run",
        ),
        ("Address", f"{address['old']} → {address['new']}" if address["old"] else f"{address['new']} (unchanged)"),
        ("Host key", f"{key.get('fingerprint', 'unknown')} (trusted by: {key.get('kind', 'unknown')})"),
        (
            "Data from",
            f"{summary['source']} ({summary['method']})" if summary["source"] else "in place since an earlier run",
        ),
        ("Balancers", ", ".join(summary["balancers"])),
    ]


def table(summary: t.Mapping[str, t.Any]) -> list[str]:
    """The report as lines for a terminal."""
    longest = max((phase["seconds"] for phase in summary["phases"]), default=0.0) or 1.0
    lines = [f"{summary['host']} is back in service.", ""]
    for phase in summary["phases"]:
        line = "#" * max(1, round(30 * phase["seconds"] / longest))
        lines.append(f"  {phase['name']:<10} {_duration(phase['seconds']):>8}  {line}")
    lines.append("")
    lines += [f"  {label:<22} {value}" for label, value in facts(summary)]
    return lines


def markdown(summary: t.Mapping[str, t.Any]) -> str:
    """The report as a Markdown document."""
    lines = [f"# Rebuild of {summary['host']}", "", f"From {summary['started_at']} to {summary['finished_at']}.", ""]
    lines += ["| | |", "|---|---|", *(f"| {label} | {value} |" for label, value in facts(summary)), ""]
    lines += ["| phase | started | took |", "|---|---|---:|"]
    lines += [f"| {each['name']} | {each['started_at']} | {_duration(each['seconds'])} |" for each in summary["phases"]]
    return "\n".join(lines) + "\n"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f} min {rest:02.0f} s" if minutes else f"{rest:.1f} s"


def _age(summary: t.Mapping[str, t.Any]) -> str:
    if summary["rpo_seconds"] is None:
        return "not measured: no dump was taken in this run"
    changes = summary["changes"] or {}
    how = "binary log replayed up to" if "until" in changes else "snapshot of"
    why = f"; nothing later, since {changes['reason']}" if "reason" in changes else ""
    moment = f"{how} {summary['data_as_of']}{why}"
    return f"{_duration(summary['rpo_seconds'])} when the balancer was repointed ({moment})"
