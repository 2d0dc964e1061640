# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run: what was found on which host, what came of it, and the verdict."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import (
    CLASSES,
    FLAPPING,
    PROBE,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.history import History

SCHEMA = "phoenix.drift/1"
# Bits of the exit code. The first two are ansible-playbook's own.
FAILED, UNREACHABLE, FOUND = 2, 4, 16
LOCKED = 75  # EX_TEMPFAIL: another run is under way

# What is said of a host on which not everything went as it should; one that is unreachable has a finding.
STATES = {"failed": "failed", "not_looked_at": "was not looked at"}
CLEAN, DRIFTED, CORRECTED, BROKEN = "clean", "drift", "corrected", "failed"
Finding = t.Dict[str, t.Any]  # noqa: UP006


@dataclasses.dataclass
class Host:
    """What became of one host.

    :arg looks: What each look at it returned; the second is the one after a correction.
    :arg views: What was found about it from elsewhere, by the place, likewise.
    """

    name: str
    looks: list[t.Mapping[str, t.Any]] = dataclasses.field(default_factory=list)
    views: dict[str, list[list[Finding]]] = dataclasses.field(default_factory=dict)
    unreachable: str = ""
    failed: str = ""
    changes: list[dict[str, str]] = dataclasses.field(default_factory=list)

    @property
    def state(self) -> str:
        """Whether it was looked at."""
        if self.unreachable:
            return "unreachable"
        if self.failed:
            return "failed"
        return "looked_at" if self.looks else "not_looked_at"

    def findings(self) -> list[Finding]:
        """Return what was found, each with what came of it: it is open, or corrected where nobody meets it any more."""
        found: dict[str, Finding] = {}
        own = [list(look["findings"]) for look in self.looks]
        for looks in [own, *self.views.values()]:
            last = {finding["id"] for finding in looks[-1]} if looks else set()
            # What a correction has brought about is told as well.
            for finding in (finding for look in looks for finding in look):
                outcome = "open" if finding["id"] in last else "corrected"
                if found.get(finding["id"], {}).get("outcome") != "open":
                    found[finding["id"]] = {**finding, "outcome": outcome}
        if self.unreachable:
            what = f"Nobody gets in by SSH: {self.unreachable}"
            found["ssh:login"] = {
                "id": "ssh:login",
                "role": "ssh_lifeline",
                "class": PROBE,
                "what": what,
                "outcome": "open",
            }
        return list(found.values())


def compare_data(hosts: t.Iterable[Host]) -> None:
    """Add to the last looks at clones where their data differ.

    Most are taken to be right; where there is no majority, nobody can tell, and it is told of each.
    """
    looked = [host for host in hosts if host.looks]
    for name in sorted({name for host in looked for name in host.looks[-1].get("data", {})}):
        clones = [host for host in looked if name in host.looks[-1]["data"]]
        # Servers of different series print the same structure in different words.
        several = len({host.looks[-1]["data"][name]["series"] for host in clones}) > 1
        parts = ("content",) if several else ("content", "form")
        having = {host.name: (host, tuple(host.looks[-1]["data"][name][part] for part in parts)) for host in clones}
        ranked = collections.Counter(digest for _host, digest in having.values()).most_common()
        if len(ranked) < 2:
            continue
        majority = ranked[0][0] if ranked[0][1] > ranked[1][1] else None
        for host, digest in having.values():
            if digest != majority:
                others = ", ".join(sorted(each for each, (_host, its) in having.items() if its != digest))
                host.looks[-1]["findings"].append(
                    {
                        "id": f"data:{name}",
                        "role": "mysql",
                        "class": PROBE,
                        "what": f"The data of {name} are not those of {others}",
                        "held": host.looks[-1]["hold"] is not None,
                    }
                )


@dataclasses.dataclass
class Run:
    """Everything that is known at the end of a run."""

    mode: str
    started_at: str
    finished_at: str
    hosts: t.Mapping[str, Host]
    check_mode: bool = False
    correcting: bool = False
    notes: t.Sequence[str] = ()


def assemble(run: Run, *, history: History) -> dict[str, t.Any]:
    """Put the report together, and take its findings into the history.

    :returns: The report as plain data, see docs/drift-report.schema.json.
    """
    compare_data(run.hosts.values())
    hosts: list[dict[str, t.Any]] = []
    resolved: list[dict[str, t.Any]] = []
    for name in sorted(run.hosts):
        host = run.hosts[name]
        findings = [_judged(finding, host=name, history=history, now=run.finished_at) for finding in host.findings()]
        # A finding that nobody could look for is neither new nor over.
        if host.looks:
            resolved += [
                entry
                for entry in history.note_host(name, findings, now=run.finished_at)
                if not any(each["id"] == entry["id"] for each in findings)
            ]
        hosts.append(
            {
                "name": name,
                "state": host.state,
                "message": host.unreachable or host.failed,
                "applied": bool(host.looks and host.looks[0]["applied"]),
                "looked_at": host.looks[0]["looked_at"] if host.looks else 0,
                "hold": host.looks[0]["hold"] if host.looks else None,
                "findings": findings,
                "changes": host.changes,
            }
        )
    every = [finding for host in hosts for finding in host["findings"]]
    counted = [finding for finding in every if not finding["held"]]
    counts = collections.Counter(finding["class"] for finding in counted)
    code = exit_code(hosts=hosts, findings=counted)
    report = {
        "schema": SCHEMA,
        "mode": run.mode,
        "check_mode": run.check_mode,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "verdict": verdict(code, findings=counted),
        "exit_code": code,
        "summary": {name: counts.get(name, 0) for name in CLASSES},
        "corrected": sum(finding["outcome"] == "corrected" for finding in every),
        "held": len(every) - len(counted),
        "new": sum(finding["new"] for finding in every),
        "notes": list(run.notes),
        "hosts": hosts,
        "resolved": [{key: entry[key] for key in ("host", "id", "what", "class", "first_seen")} for entry in resolved],
        "history": list(history.runs),
    }
    history.note_run(
        {key: report[key] for key in ("finished_at", "mode", "verdict", "exit_code", "summary", "corrected")}
    )
    return report


def _judged(finding: Finding, *, host: str, history: History, now: str) -> Finding:
    """Add what the history knows of a finding."""
    known = history.entry(host, finding["id"])
    flapping = finding["id"] in history.flapping(host)
    return {
        "diff": "",
        "path": "",
        "held": False,
        **{key: value for key, value in finding.items() if key != "host"},
        "class": FLAPPING if flapping else finding["class"],
        "first_seen": known["first_seen"] if known else now,
        "new": not (known and known.get("open", True)),
    }


def exit_code(*, hosts: t.Sequence[t.Mapping[str, t.Any]], findings: t.Sequence[Finding]) -> int:
    """Return ansible-playbook's own bits and ours."""
    states = {host["state"] for host in hosts}
    code = (FAILED if "failed" in states else 0) | (UNREACHABLE if "unreachable" in states else 0)
    return code | (FOUND if findings else 0)


def verdict(code: int, *, findings: t.Sequence[Finding]) -> str:
    """Say the exit code in a word."""
    if code & (FAILED | UNREACHABLE):
        return BROKEN
    if not findings:
        return CLEAN
    return CORRECTED if all(finding["outcome"] == "corrected" for finding in findings) else DRIFTED


def as_lines(report: t.Mapping[str, t.Any]) -> list[str]:
    """Give the report as it is told in a terminal: what was found, by host, then the sum."""
    lines = []
    for host in report["hosts"]:
        if host["hold"]:
            hold = host["hold"]
            until = f" until {hold['until']}" if hold["until"] else ""
            by = f" by {hold['by']}" if hold["by"] else ""
            lines.append(f"{host['name']} is held{by}{until}: {hold['reason'] or 'no reason was given'}")
        if host["state"] in STATES:
            lines.append(f"{host['name']} {STATES[host['state']]}: {host['message'] or 'the run ended before'}")
        for finding in host["findings"]:
            words = [*(["held"] if finding["held"] else []), *(["new"] if finding["new"] else [])]
            words += ["corrected"] if finding["outcome"] == "corrected" else []
            told = f" [{', '.join(words)}]" if words else ""
            lines.append(f"{host['name']}  {finding['class']:<8}  {finding['what']}{told}")
            if finding.get("changed_at"):
                by = f" by {finding['changed_by']}" if finding.get("changed_by") else ""
                lines.append(f"{'':<{len(host['name'])}}            changed at {finding['changed_at']}{by}")
    lines += [f"{entry['host']}  over      {entry['what']}" for entry in report["resolved"]]
    counts = ", ".join(f"{count} {name}" for name, count in report["summary"].items() if count)
    lines += report["notes"]
    lines.append(
        f"Verdict: {report['verdict']} ({counts or 'nothing found'}; {report['corrected']} corrected,"
        f" {report['held']} held; exit code {report['exit_code']})"
    )
    return lines
