"""One fault on one host: start, look, inject, watch, judge."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from tests.faults.admins import Admins
from tests.faults.machines import Host, Workshop
from tests.faults.model import Fault, FaultsError, Result, Sample, calm_since, is_over, judge

READY_TIMEOUT = 30.0
LEARNING = 5.0  # seconds for the guard to learn what a fresh host is like
PATIENCE = 12.0  # seconds without a lockout after which there will be none
POLL = 1.5  # sshd on Debian 13 holds a grudge against those who greet it more often than every second
# Seconds between full looks while all is well; only greetings are exchanged in between.
LOOKS = (2.0, 4.0, 6.0)


class StoppedError(Exception):
    """The run ends before its time."""


@dataclass
class Trial:
    """The procedure for one fault."""

    workshop: Workshop
    fault: Fault
    suite: str
    watch: float
    stop: threading.Event

    def run(self, lane: int) -> Result:
        """Return what became of SSH."""
        host = self.workshop.start(self.fault, self.suite, lane)
        try:
            return self._inject_and_watch(host)
        finally:
            host.remove()

    def _inject_and_watch(self, host: Host) -> Result:
        admins = self.workshop.admins_of(host, one_source=self.fault.one_source)
        environment = host.environment(self.workshop.ways)
        self.await_open(admins)
        if self.fault.setup:
            host.type(self.fault.setup, environment)
        if self.workshop.guarded:
            self._pause(LEARNING)
        if self.fault.setup or self.workshop.guarded:
            self.await_open(admins)

        injected = time.time()
        printed = host.type(self.fault.inject, environment)
        admins.burst(self.fault.burst)
        admins.fail_to_log_in(self.fault.bad_logins, self.workshop.stranger)
        if self.fault.reboot:
            host.reboot()
        samples = self._watch(admins)
        verdict = judge(samples)
        journal = host.journal(since=injected) if self.workshop.guarded and verdict.kind != "prevented" else []
        return Result(self.fault, self.suite, verdict, samples, printed, journal)

    def await_open(self, admins: Admins) -> None:
        """Wait until SSH is open in every view."""
        deadline = time.monotonic() + READY_TIMEOUT
        while failed := admins.look():
            if time.monotonic() > deadline:
                raise FaultsError(f"SSH is not open before anything is injected: {failed}")
            self._pause(0.5)

    def _watch(self, admins: Admins) -> list[Sample]:
        """Look until there is enough for a verdict."""
        samples: list[Sample] = []
        started = time.monotonic()
        patience = max(PATIENCE, self.fault.late)
        while not is_over(samples, watch=self.watch, patience=patience):
            began = time.monotonic() - started
            failed = admins.look(doubt=not (samples and samples[-1].failed))
            # All of a look's logins work: it was open when the last of them was begun, however long that took.
            samples.append(Sample(began if failed else admins.asked_at - started, failed))
            if failed:
                self._pause(0.5)
            elif not is_over(samples, watch=self.watch, patience=patience):
                self._wait_in_calm(admins, samples)
        return samples

    def _wait_in_calm(self, admins: Admins, samples: list[Sample]) -> None:
        """Wait for the next full look, or until a greeting fails to come."""
        calm = samples[-1].at - (calm_since(samples) or 0.0)
        wait = next((seconds for seconds in LOOKS if calm < 2 * seconds), LOOKS[-1])
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0:
            self._pause(min(left, POLL))
            if admins.silent():
                break

    def _pause(self, seconds: float) -> None:
        """Wait, unless the run ends."""
        if self.stop.wait(seconds):
            raise StoppedError
