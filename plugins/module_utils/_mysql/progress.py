# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far long work has come, in a small file that others may read while it goes on."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import typing as t

if t.TYPE_CHECKING:
    from pathlib import Path

_INTERVAL = 0.5
_MIB = 1 << 20


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
            self._tell(self._done + count)

    @contextlib.contextmanager
    def following(self, position: t.Callable[[], int]) -> t.Iterator[None]:
        """Ask again and again how many bytes are done, for as long as the block lasts."""
        over = threading.Event()

        def follow() -> None:
            while not over.wait(_INTERVAL):
                with self._guard:
                    self._tell(position())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _tell(self, done: int) -> None:
        self._done = done
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


def describe(progress: t.Mapping[str, t.Any]) -> str:
    """One line for people: ``load shop: 512 of 1024 MiB (50 %), 35 MiB/s``."""
    done, total, seconds = progress["done"], progress["total"], progress["seconds"]
    if not total:
        return f"{progress['phase']}, for {seconds:.0f} s"
    rate = f", {done / _MIB / seconds:.0f} MiB/s" if seconds >= 1 else ""
    share = min(100, 100 * done // total)  # a total may be the server's own estimate
    return f"{progress['phase']}: {done / _MIB:.0f} of {total / _MIB:.0f} MiB ({share} %){rate}"
