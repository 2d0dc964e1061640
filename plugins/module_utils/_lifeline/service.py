# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard as a service: round after round, under the eyes of systemd."""

from __future__ import annotations

import threading
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import report, watch
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.guard import FAILURES, Guard

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

BEAT_SECONDS = 2.0
HANG_SECONDS = 45.0  # no round takes as long as this


class Heartbeat:
    """Tells systemd that the guard lives, as long as it gets on with its work.

    A thread of its own: a round may take longer than systemd is to wait. A signal that stops the process stops it too.
    """

    def __init__(self, tell: t.Callable[[str], None]) -> None:
        self._tell = tell
        self._worked_at = time.monotonic()
        threading.Thread(target=self._go, daemon=True).start()

    def work(self) -> None:
        """Note that the guard gets on."""
        self._worked_at = time.monotonic()

    def _go(self) -> None:
        while time.monotonic() < self._worked_at + HANG_SECONDS:
            self._tell("WATCHDOG=1")
            time.sleep(BEAT_SECONDS)


def run(*, settings: Settings, tell_systemd: t.Callable[[str], None]) -> None:
    """Keep SSH open until somebody ends it."""
    voice = report.Report(metrics=settings.metrics)
    guard = Guard(settings=settings, voice=voice)
    watcher = watch.Watcher()
    watcher.hear_of_the_end()
    heartbeat = Heartbeat(tell_systemd)
    guard.prepare()
    topics: set[str] = set(watch.EVERYTHING)
    tell_systemd("READY=1")
    while watch.END not in topics:
        try:
            guard.step(topics)
            guard.follow(watcher, topics)
        except FAILURES as error:  # the next round may do better
            voice.tell("guard", "failed", f"{type(error).__name__}: {error}", priority=report.ERROR)
        heartbeat.work()
        topics = watcher.wait(guard.tick)
    guard.leave()
