# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far long work has come, in a small file that others may read while it goes on."""

from __future__ import annotations

import json
import os
import threading
import time
import typing as t

if t.TYPE_CHECKING:
    from pathlib import Path

_INTERVAL = 0.5


class Progress:
    """Phase, bytes done and bytes in all, written to a file twice a second at most.

    The file is ``{"phase": "load", "done": 1048576, "total": 4194304, "seconds": 1.5}``; ``seconds`` is the age of
    the phase. It is replaced as a whole, so that a reader never sees a part of it, and not kept durable.
    """

    def __init__(self, *, path: Path, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._guard = threading.Lock()
        self._phase = ""
        self._done = self._total = 0
        self._begun = self._written = 0.0

    def begin(self, phase: str, *, total: int) -> None:
        """Enter a phase with so many bytes before it."""
        with self._guard:
            self._phase, self._done, self._total = phase, 0, total
            self._begun = self._clock()
            self._write()

    def advance(self, count: int) -> None:
        """So many bytes more are done; safe to be called by several threads."""
        with self._guard:
            self._done += count
            if self._clock() - self._written >= _INTERVAL:
                self._write()

    def _write(self) -> None:
        self._written = self._clock()
        state = {
            "phase": self._phase,
            "done": self._done,
            "total": self._total,
            "seconds": round(self._written - self._begun, 1),
        }
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(state), encoding="utf-8")
        temporary.rename(self._path)

    def end(self) -> None:
        """Leave nothing behind."""
        self._path.unlink(missing_ok=True)
