# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock, the report and the exit code of the playbook `drift`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drift
type: notification
short_description: Report and exit code of the playbook drift
version_added: "0.2.0"
description:
  - Collects what a run of the playbook C(phoenix.webstack.drift) finds, writes the report (JSON, HTML, and on request
    metrics for Prometheus and JUnit), tells it at the end, and sets the exit code of C(ansible-playbook). Every other
    playbook is left alone.
  - "The exit code is that of C(ansible-playbook) plus V(16) if anything was found, or corrected: 0 as wanted, 16 found,
    18 found and a host failed, 20 found and a host could not be reached. 75 means that another run is under way, and
    17 that the report could not be written where it belongs."
  - Holds a lock while the run lasts, which the operating system gives back whatever ends it.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - enable in configuration
  - the Python package apprise, for O(notify)
options:
  webhook:
    description:
      - A URL to which what is new and what is over is sent as JSON, once each, and nothing where there is nothing.
      - It may hold a secret, and is neither a variable of the playbook nor shown anywhere.
    type: str
    default: ""
    ini:
      - section: callback_drift
        key: webhook
    env:
      - name: WEBSTACK_DRIFT_WEBHOOK
  notify:
    description: Services that are told the same by apprise, as V(mailto://…) or V(slack://…).
    type: list
    elements: str
    default: []
    ini:
      - section: callback_drift
        key: notify
    env:
      - name: WEBSTACK_DRIFT_NOTIFY
  heartbeat:
    description:
      - A URL that is asked for after each run that could look at every host, whatever it has found.
      - Whoever waits for it (healthchecks.io and the like) raises the alarm when nothing looks any more.
    type: str
    default: ""
    ini:
      - section: callback_drift
        key: heartbeat
    env:
      - name: WEBSTACK_DRIFT_HEARTBEAT
"""

import contextlib
import datetime
import fcntl
import json
import os
import tempfile
import time
import typing as t
from pathlib import Path

from ansible.plugins.callback import CallbackBase
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh import access
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift import history, notify, outputs, page, report

BEGIN = "drift_begin"
LOOK = "drift_info"
NOT_WRITTEN = 1


class CallbackModule(CallbackBase):
    """Listens to a run, and concludes it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "phoenix.webstack.drift"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings: dict[str, t.Any] = {}
        self._hosts: dict[str, report.Host] = {}
        self._lock = -1
        self._started = ""
        self._check_mode = False

    # -- what happens ------------------------------------------------------------------

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """Begin with the run, note what a look at a host has found, and what a correction has changed."""
        action = _action(result)
        data = result._result
        if action == BEGIN and not self._settings:
            self._begin(data["drift"], check_mode=bool(result._task.check_mode))
        elif not self._settings:
            return
        elif action == LOOK:
            self._note_look(_host(result), data, place=_place(result))
        elif data.get("changed") and _role(result):
            change = {"role": _role(result), "task": result._task.get_name().rpartition(" : ")[2]}
            self._host_of(_host(result)).changes.append(change)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """Note that a host failed."""
        if self._settings and not ignore_errors and _host(result) in self._hosts:
            self._host_of(_host(result)).failed = f"{result._task.get_name()}: {result._result.get('msg', '')}"

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """Note that nobody gets in."""
        if self._settings and _host(result) in self._hosts:
            self._host_of(_host(result)).unreachable = access.login_hindrance(result._result) or "no reason was given"

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        """Conclude: write, tell, and end with the exit code."""
        if not self._settings:
            return
        now = datetime.datetime.now(datetime.timezone.utc)
        folder = Path(self._settings["directory"])
        known = history.load(folder / "history.json")
        run = report.Run(
            mode=self._settings["mode"],
            started_at=self._started,
            finished_at=now.isoformat(timespec="seconds"),
            hosts=self._hosts,
            check_mode=self._check_mode,
            notes=self._settings["notes"],
        )
        told = report.assemble(run, history=known)
        code = told["exit_code"]
        if stats.failures and not code & report.FAILED:
            code |= report.FAILED
            told["exit_code"] = code
        if outputs.is_success(told):
            known.last_success = now.timestamp()
        for line in report.as_lines(told):
            self._display.display(line, color=_colour(line))
        if not self._write(told, folder=folder, known=known, now=now):
            code |= NOT_WRITTEN
        self._tell(told)
        self._let_go()
        if code:
            raise SystemExit(code)

    # -- how it is done ----------------------------------------------------------------

    def _begin(self, settings: dict[str, t.Any], *, check_mode: bool) -> None:
        self._take_lock(Path(settings["directory"]))
        self._settings = settings
        self._check_mode = check_mode
        self._started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self._hosts = {name: report.Host(name) for name in settings["hosts"]}

    def _take_lock(self, folder: Path) -> None:
        """Take the lock, or end the run with 75; the kernel gives it back when this process dies."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock, 200).decode(errors="replace").strip()
            self._display.error(
                f"Another run of drift is under way ({owner}). Nothing was looked at. Wait for its end, or see"
                f" what it does: ps -fp {owner.partition(' ')[0] or 'PID'}",
                wrap_text=False,
            )
            raise SystemExit(report.LOCKED) from None
        except OSError as error:
            self._display.error(f"{folder} cannot be used: {error}. Nothing was looked at.", wrap_text=False)
            raise SystemExit(1) from None
        with contextlib.suppress(OSError):  # a full disk; the lock itself needs no room
            os.ftruncate(self._lock, 0)
            os.write(self._lock, f"{os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n".encode())

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    def _host_of(self, name: str) -> report.Host:
        return self._hosts.setdefault(name, report.Host(name))

    def _note_look(self, name: str, data: dict[str, t.Any], *, place: str) -> None:
        """Note what was found about the host that was asked, and from there about others.

        :arg place: The host that was asked on behalf of ``name``; empty where it was that host itself.
        """
        for about in set(data["about"]) & set(self._hosts):
            seen_from = place or name
            seen = [
                {**finding, "what": f"{finding['what']} (seen from {seen_from})"}
                for finding in data["findings"]
                if finding["host"] == about
            ]
            self._hosts[about].views.setdefault(seen_from, []).append(seen)
        if not place and name in self._hosts:
            own = [finding for finding in data["findings"] if not finding["host"]]
            self._hosts[name].looks.append({**data, "findings": own})

    def _write(self, told: dict[str, t.Any], *, folder: Path, known: history.History, now: datetime.datetime) -> bool:
        """Write everything; where that fails, leave the report in another place rather than nowhere."""
        stem = now.strftime("%Y%m%dT%H%M%SZ")
        files = {
            folder / "reports" / f"{stem}.json": outputs.as_json(told),
            folder / "reports" / f"{stem}.html": page.render(told),
            folder / "latest.json": outputs.as_json(told),
            folder / "latest.html": page.render(told),
            folder / "history.json": known.as_text(),
        }
        if self._settings["metrics"]:
            files[Path(self._settings["metrics"])] = outputs.as_metrics(
                told, finished=now.timestamp(), last_success=known.last_success
            )
        if self._settings["junit"]:
            files[Path(self._settings["junit"])] = outputs.as_junit(told)
        try:
            for path, text in files.items():
                outputs.write(path, text)
            outputs.prune(folder / "reports", keep=self._settings["keep"])
        except OSError as error:
            self._rescue(told, error=error)
            return False
        self._display.display(f"Report: {folder / 'latest.html'}")
        return True

    def _tell(self, told: dict[str, t.Any]) -> None:
        """Tell what is new and what is over; a look that changes nothing for real is as good as any other."""
        news = notify.news(told)
        problems = []
        if news:
            problems += notify.send(told=news, webhook=self.get_option("webhook"), services=self.get_option("notify"))
        if self.get_option("heartbeat") and outputs.is_success(told):
            problems += notify.beat(self.get_option("heartbeat"))
        for problem in problems:
            self._display.warning(problem)

    def _rescue(self, told: dict[str, t.Any], *, error: OSError) -> None:
        """Leave the report where there is room."""
        where = f"{error.filename or self._settings['directory']}: {error.strerror or error}"
        try:
            place = Path(tempfile.gettempdir()) / f"webstack-drift-{os.getuid()}-{os.getpid()}.json"
            outputs.write(place, outputs.as_json(told))
            kept = f"It is in {place} instead."
        except OSError:
            self._display.display(json.dumps(told), stderr=True)
            kept = "It was printed instead."
        told_why = f"The report could not be written ({where}). {kept} Make room and run again."
        self._display.error(told_why, wrap_text=False)


def _action(result: t.Any) -> str:
    return str(result._task.action).rpartition(".")[2]


def _host(result: t.Any) -> str:
    return str(result._host.get_name())


def _place(result: t.Any) -> str:
    """Name the host that a task was delegated to."""
    delegated = result._result.get("_ansible_delegated_vars")
    return str(delegated.get("ansible_delegated_host") or result._task.delegate_to) if delegated else ""


def _role(result: t.Any) -> str:
    return str(result._task._role.get_name(include_role_fqcn=False)) if result._task._role else ""


def _colour(line: str) -> str | None:
    if line.startswith("Verdict: "):
        return "green" if line.startswith("Verdict: clean") else "yellow"
    return None
