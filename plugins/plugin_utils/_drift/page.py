# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one page of HTML that needs nothing else (controller only)."""

from __future__ import annotations

import typing as t
from pathlib import Path

import jinja2

TEMPLATE = Path(__file__).resolve().parents[3] / "roles" / "drift" / "templates" / "report.html.j2"


def render(report: t.Mapping[str, t.Any]) -> str:
    """Return the page. What hosts have said is text in it and nothing else, whatever it looks like."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(report=report, lines_of=diff_lines, when=when)


def diff_lines(diff: str) -> list[tuple[str, str]]:
    """Return the lines of a diff, each with its kind: removed, added, place or same."""
    kinds = {"-": "removed", "+": "added", "@": "place"}
    return [(kinds.get(line[:1], "same"), line) for line in diff.splitlines()]


def when(stamp: str) -> str:
    """Return a time as people write it: ``2026-01-02 03:04:05 UTC``."""
    return stamp.replace("T", " ").replace("+00:00", " UTC")
