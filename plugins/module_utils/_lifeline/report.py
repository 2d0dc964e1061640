# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard tells: the journal, a status that everybody may read, and metrics."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import write_atomically
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.terminal import complain

JOURNAL = "/run/systemd/journal/socket"
IDENTIFIER = "ssh-lifeline"
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
EVENTS_KEPT = 50
PUBLISH_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Event:
    """One thing that was found or done.

    :arg subject: What it is about: firewall, network, port, daemon, login, files, boot, guard.
    :arg kind: ``found``, ``healed`` or ``failed``.
    :arg at: Seconds since the epoch.
    """

    subject: str
    kind: str
    message: str
    at: float


def journal_record(*, message: str, priority: int, fields: t.Mapping[str, str]) -> bytes:
    """Return a record in the journal's own protocol: a line for a field, lengths where a value has several lines."""
    record = b""
    given = {"MESSAGE": message, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": IDENTIFIER, **fields}
    for name, value in given.items():
        data = value.encode("utf-8", "replace")
        if b"\n" in data:
            record += name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
        else:
            record += name.encode() + b"=" + data + b"\n"
    return record


class Report:
    """The guard's voice."""

    def __init__(self, *, metrics: str = "", quiet: bool = False) -> None:
        self._metrics = metrics
        self._quiet = quiet
        self._counts: dict[tuple[str, str], int] = {}
        self._standing: dict[str, str] = {}
        self._published: dict[str, t.Any] = {}
        self._next_publication = 0.0
        self.events: list[Event] = []

    def tell(self, subject: str, kind: str, message: str, *, priority: int = NOTICE) -> None:
        """Put an event into the journal and keep it for the status."""
        self.events = [*self.events[-EVENTS_KEPT + 1 :], Event(subject, kind, message, time.time())]
        self._counts[subject, kind] = self._counts.get((subject, kind), 0) + 1
        fields = {"SSH_LIFELINE_SUBJECT": subject, "SSH_LIFELINE_KIND": kind}
        record = journal_record(message=f"{subject}: {message}", priority=priority, fields=fields)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(record, JOURNAL)
        except OSError:
            complain(f"<{priority}>{subject}: {message}")

    def tell_once(self, subject: str, message: str) -> None:
        """Tell what is wrong and stays wrong, once as long as it is the same."""
        if self._standing.get(subject) != message:
            self._standing[subject] = message
            self.tell(subject, "found", message, priority=ERROR)

    def settle(self, subject: str) -> None:
        """Note that nothing is wrong with a subject any more."""
        self._standing.pop(subject, None)

    @property
    def hindrances(self) -> dict[str, str]:
        """What is wrong now, by subject."""
        return dict(self._standing)

    def publish(self, extra: t.Mapping[str, t.Any]) -> None:
        """Write the status and the metrics where they have changed, and now and then to show that the guard lives."""
        told = {"hindrances": dict(self._standing), "events": self.events, **extra}
        if self._quiet or (told == self._published and time.monotonic() < self._next_publication):
            return
        self._published = told
        self._next_publication = time.monotonic() + PUBLISH_SECONDS
        status = {
            "state": "hindered" if self._standing else "open",
            **told,
            "events": [dataclasses.asdict(event) for event in self.events],
            "checked_at": time.time(),
        }
        paths.RUNTIME.mkdir(mode=0o755, exist_ok=True)
        write_atomically(paths.RUNTIME / "status.json", json.dumps(status, indent=1).encode(), mode=0o644)
        if self._metrics and Path(self._metrics).parent.is_dir():
            write_atomically(Path(self._metrics), self.metrics().encode(), mode=0o644)

    def metrics(self) -> str:
        """Return the metrics in the text format of Prometheus."""
        lines = [
            "# HELP ssh_lifeline_open Whether a new SSH login works, as far as the guard can see.",
            "# TYPE ssh_lifeline_open gauge",
            f"ssh_lifeline_open {0 if self._standing else 1}",
            "# HELP ssh_lifeline_checked_timestamp_seconds When the guard last looked.",
            "# TYPE ssh_lifeline_checked_timestamp_seconds gauge",
            f"ssh_lifeline_checked_timestamp_seconds {time.time():.0f}",
            "# HELP ssh_lifeline_events_total What the guard found, healed, or failed to heal.",
            "# TYPE ssh_lifeline_events_total counter",
        ]
        for (subject, kind), count in sorted(self._counts.items()):
            lines.append(f'ssh_lifeline_events_total{{subject="{subject}",kind="{kind}"}} {count}')
        return "\n".join(lines) + "\n"


class ShutdownLock:
    """Has `reboot` and `shutdown`, typed at a terminal, say what would keep everybody out after the boot."""

    def __init__(self) -> None:
        self._held: subprocess.Popen[bytes] | None = None
        self._why = ""

    def hold(self, why: str) -> None:
        """Take the lock for this reason; an empty one lets go of it."""
        if why == self._why:
            return
        self._why = why
        if self._held is not None:
            self._held.kill()
            self._held.wait()
            self._held = None
        if why:
            argv = ["systemd-inhibit", "--what=shutdown", "--mode=block", f"--who={IDENTIFIER}", f"--why={why}"]
            with contextlib.suppress(OSError):  # no logind here
                self._held = subprocess.Popen([*argv, "sleep", "infinity"], stderr=subprocess.DEVNULL)
