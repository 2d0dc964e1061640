# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as files: for people, for Prometheus, and for CI. Each is written in one step, or not at all."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path
from xml.etree import ElementTree

from ansible_collections.phoenix.webstack.plugins.module_utils._files import replace_file
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.report import CLEAN, CORRECTED

Report = t.Mapping[str, t.Any]


def write(path: Path, text: str, *, mode: int = 0o640) -> None:
    """Put a file in place in one step; on a full disk the old one stays.

    :raises OSError: when it could not be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, text.encode(errors="replace"), mode=mode)


def prune(folder: Path, *, keep: int, kinds: t.Iterable[str] = ("json", "html")) -> None:
    """Remove the oldest reports of each kind; their names are times."""
    for kind in kinds:
        for path in sorted(folder.glob(f"[0-9]*.{kind}"))[:-keep]:
            path.unlink(missing_ok=True)


def as_json(report: Report) -> str:
    """Give the report for programs."""
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def as_metrics(report: Report, *, finished: float, last_success: float | None) -> str:
    """Give the report for Prometheus, as the textfile collector of node_exporter reads it.

    :arg finished: When the run ended, in seconds since the epoch.
    :arg last_success: When the last run that looked at every host ended, likewise; None if none ever did.
    """
    lines = [
        "# HELP phoenix_drift_items Findings of the last run, by host and class.",
        "# TYPE phoenix_drift_items gauge",
    ]
    for host in report["hosts"]:
        for name in report["summary"]:
            count = sum(finding["class"] == name and finding["outcome"] == "open" for finding in host["findings"])
            lines.append(f'phoenix_drift_items{{host="{_label(host["name"])}",class="{name}"}} {count}')
    lines += [
        "# HELP phoenix_drift_host_looked_at Whether the host could be looked at.",
        "# TYPE phoenix_drift_host_looked_at gauge",
    ]
    for host in report["hosts"]:
        looked = int(host["state"] == "looked_at")
        lines.append(f'phoenix_drift_host_looked_at{{host="{_label(host["name"])}"}} {looked}')
    single = {
        "phoenix_drift_exit_code": ("Exit code of the last run.", report["exit_code"]),
        "phoenix_drift_corrected": ("What the last run has corrected.", report["corrected"]),
        "phoenix_drift_held": ("What the last run has left alone, since the host is held.", report["held"]),
        "phoenix_drift_last_run_timestamp_seconds": ("When the last run ended.", f"{finished:.0f}"),
    }
    if last_success is not None:
        single["phoenix_drift_last_success_timestamp_seconds"] = (
            "When the last run ended that could look at every host.",
            f"{last_success:.0f}",
        )
    for name, (description, value) in single.items():
        lines += [f"# HELP {name} {description}", f"# TYPE {name} gauge", f"{name} {value}"]
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def as_junit(report: Report) -> str:
    """Give the report for CI: a suite for each host, a failed case for each finding that is open."""
    suites = ElementTree.Element("testsuites", name="drift")
    for host in report["hosts"]:
        open_ones = [finding for finding in host["findings"] if finding["outcome"] == "open" and not finding["held"]]
        broken = host["state"] not in ("looked_at", "unreachable")
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=host["name"],
            tests=str(max(1, len(host["findings"]) + broken)),
            failures=str(len(open_ones)),
            errors=str(int(broken)),
        )
        if broken:
            case = ElementTree.SubElement(suite, "testcase", classname=host["name"], name="look at the host")
            ElementTree.SubElement(case, "error", message=_clean(host["message"] or "the run ended before"))
        for finding in host["findings"]:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"{host['name']}.{finding['role']}", name=_clean(finding["id"])
            )
            if finding in open_ones:
                failure = ElementTree.SubElement(
                    case, "failure", type=finding["class"], message=_clean(finding["what"])
                )
                failure.text = _clean(finding["diff"])
        if not host["findings"] and not broken:
            ElementTree.SubElement(suite, "testcase", classname=host["name"], name="as wanted")
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(letter for letter in text if letter in "\t\n" or ord(letter) >= 32)


def is_success(report: Report) -> bool:
    """Whether every host could be looked at."""
    return all(host["state"] == "looked_at" for host in report["hosts"]) and bool(report["hosts"])


def is_quiet(report: Report) -> bool:
    """Whether there is nothing that a person would have to do."""
    return report["verdict"] in (CLEAN, CORRECTED)
