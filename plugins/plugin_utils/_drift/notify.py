# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling people and programs of what is new and what is over, once each (controller only)."""

from __future__ import annotations

import json
import typing as t

from ansible.module_utils.urls import open_url

try:
    import apprise
except ImportError:
    apprise = None

TIMEOUT = 10  # seconds
Report = t.Mapping[str, t.Any]
Problem = t.Tuple[str, str]  # noqa: UP006


def news(report: Report) -> dict[str, t.Any] | None:
    """Return what nobody was told of yet, None where there is nothing.

    Of what is held nobody is told: somebody knows.
    """
    new = [
        {"host": host["name"], **{key: finding[key] for key in ("id", "class", "what", "outcome")}}
        for host in report["hosts"]
        for finding in host["findings"]
        if finding["new"] and not finding["held"]
    ]
    failed = [
        {"host": host["name"], "message": host["message"]}
        for host in report["hosts"]
        if host["state"] in ("failed", "not_looked_at")
    ]
    if not new and not failed and not report["resolved"]:
        return None
    return {
        "schema": report["schema"],
        "finished_at": report["finished_at"],
        "verdict": report["verdict"],
        "new": new,
        "failed": failed,
        "resolved": report["resolved"],
    }


def as_text(told: Report) -> tuple[str, str]:
    """Give the news as a title and a text for people."""
    counts = [f"{len(told[key])} {key}" for key in ("new", "failed", "resolved") if told[key]]
    lines = [f"{each['host']}: {each['class']}: {each['what']} ({each['outcome']})" for each in told["new"]]
    lines += [f"{each['host']}: failed: {each['message']}" for each in told["failed"]]
    lines += [f"{each['host']}: over: {each['what']}" for each in told["resolved"]]
    return f"Drift: {', '.join(counts)}", "\n".join(lines)


def send(*, told: Report, webhook: str, services: t.Sequence[str]) -> list[str]:
    """Send the news, and return what went wrong; the addresses, which may hold secrets, are not a part of that."""
    problems = []
    if webhook:
        try:
            open_url(
                webhook,
                method="POST",
                data=json.dumps(told).encode(),
                headers={"Content-Type": "application/json"},
                timeout=TIMEOUT,
            )
        except OSError as error:
            problems.append(f"The webhook could not be called: {_reason(error)}.")
    if services:
        problems += _send_by_apprise(told=told, services=services)
    return problems


def _send_by_apprise(*, told: Report, services: t.Sequence[str]) -> list[str]:
    if apprise is None:
        return ["`notify` needs the Python package apprise beside Ansible: pip install apprise. Nobody was told."]
    sender = apprise.Apprise()
    refused = [str(number) for number, service in enumerate(services, 1) if not sender.add(service)]
    title, body = as_text(told)
    problems = [f"Service {', '.join(refused)} of `notify` is none that apprise knows."] if refused else []
    if len(refused) < len(services) and not sender.notify(title=title, body=body):
        problems.append("Not every service of `notify` took the message.")
    return problems


def beat(url: str) -> list[str]:
    """Tell whoever waits for it that a run has looked at every host; silence is an alarm there."""
    try:
        open_url(url, timeout=TIMEOUT)
    except OSError as error:
        return [f"The heartbeat could not be sent: {_reason(error)}."]
    return []


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", "") or error.strerror or type(error).__name__)
