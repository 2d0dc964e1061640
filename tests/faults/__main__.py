"""Lock admins out of real hosts in every way we know, and measure what a guard on the host makes of it.

    make faults                       every fault, on Debian 12 and 13, guarded by `ufw` and `ssh_lifeline`
    make faults FAULT=U06 OS=13       one; a list (U06,S01), the beginning of ids (U) or a pattern (S1*) for some
    make faults GUARD=no              what the faults do to a host that nothing guards

SSH is open while new logins succeed in every view: over IPv4 and IPv6, from the host's own network and from behind
its default gateway, as root and as the admin with sudo. A fault is `prevented` when no view was ever locked after
it, `healed` when all of them work again and go on working, and else `open`. Silence counts after a second attempt, so
that a drop of less than about four seconds may pass as prevented. Healing has taken until the last login was begun of
the first look in which all work. After a restart of the host the clock starts when it has booted.

Each result is written to .cache/faults as soon as it is there. A run that was cut off, or given so many --minutes, goes
on with `make faults ARGS=--resume`, which leaves out what is known of the same guard and the same fault; the closing
line and the table are then of all of it. `make faults ARGS=--sweep` removes what a killed run left behind.
"""

from __future__ import annotations

import argparse
import fcntl
import math
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from engine import LabError

from tests.faults import report
from tests.faults.catalogue import FAULTS
from tests.faults.machines import FOLDER, Workshop, collection_digest
from tests.faults.model import SUITES, Fault, FaultsError, Result, Verdict, select
from tests.faults.results import Results
from tests.faults.trial import StoppedError, Trial

WATCH = 75.0
WATCH_UNGUARDED = 20.0  # nobody heals; systemd itself does within seconds, or not at all


class Run:
    """All trials of one run, some of them beside each other."""

    def __init__(
        self,
        workshop: Workshop,
        trials: Sequence[tuple[Fault, str]],
        *,
        watch: float,
        jobs: int,
        seconds: float,
    ) -> None:
        """Queue the trials; after so many seconds none is begun."""
        self.workshop = workshop
        self.watch = watch
        self.last_start = time.monotonic() + seconds
        self.trials = list(trials)
        self.stop = threading.Event()
        self.pool = ThreadPoolExecutor(max_workers=jobs)
        self.lanes: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(1, jobs + 1):
            self.lanes.put(number)

    def work(self) -> Iterator[Result]:
        """Yield the results as they come."""
        for finished in as_completed([self.pool.submit(self.try_one, *trial) for trial in self.trials]):
            result = finished.result()
            if result is not None:
                yield result

    def try_one(self, fault: Fault, suite: str) -> Result | None:
        """Try one fault; what goes wrong with the harness is a result too. None where the time is up."""
        if time.monotonic() > self.last_start:
            return None
        lane = self.lanes.get()
        try:
            return Trial(self.workshop, fault, suite, self.watch, self.stop).run(lane)
        except (LabError, FaultsError) as error:
            return Result(fault, suite, Verdict("open"), trouble=str(error))
        except StoppedError:
            return Result(fault, suite, Verdict("open"), trouble="stopped")
        finally:
            self.lanes.put(lane)

    def end(self) -> None:
        """Let no trial go on."""
        self.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Take a polite request to end as what Ctrl-C does."""
    raise KeyboardInterrupt


@contextmanager
def only_one() -> Iterator[None]:
    """Refuse to run beside another run of this checkout: they would remove each other's hosts."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FaultsError("another run is under way") from None
        yield


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fault", default="", help="ids, beginnings of ids or patterns, with commas")
    parser.add_argument("--os", default="", choices=("", *SUITES), help="Debian's version; default: both")
    parser.add_argument("--guard", default="yes", choices=("yes", "no"), help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=4, help="hosts beside each other; default: %(default)s")
    parser.add_argument("--watch", type=float, help=f"seconds; default: {WATCH:.0f}, unguarded {WATCH_UNGUARDED:.0f}")
    parser.add_argument("--resume", action="store_true", help="leave out what an earlier run has found already")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no trial after so many")
    parser.add_argument("--sweep", action="store_true", help="only remove what a run that was killed left behind")
    parser.add_argument("--list", action="store_true", help="only list the faults")
    return parser.parse_args(arguments)


def main() -> int:
    """Do what the command line says."""
    options = parse()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        faults = select(FAULTS, options.fault)
        if options.list:
            print("\n".join(f"{fault.id:<5} {fault.title}" for fault in faults))
            return 0
        with only_one():
            workshop = Workshop(guarded=options.guard == "yes")
            try:
                return 0 if options.sweep else run(workshop, faults, options)
            finally:
                # A second Ctrl-C would leave half of it behind.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                workshop.close()
    except (FaultsError, LabError) as error:
        print(f"faults: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(workshop: Workshop, faults: Sequence[Fault], options: argparse.Namespace) -> int:
    """Try the faults and report."""
    guarded = workshop.guarded
    suites = [options.os] if options.os else list(SUITES)
    trials = [(fault, suite) for fault in faults for suite in suites if suite in fault.suites]
    results = Results(
        FOLDER / f"{'guarded' if guarded else 'unguarded'}.jsonl", program=collection_digest() if guarded else "none"
    )
    if not options.resume:
        results.forget(trials)
    left = [trial for trial in trials if results.find(*trial) is None]
    if left:
        work(workshop, left, results, options)
    known = results.of(trials)
    whole = not (options.fault or options.os)
    print(f"\nThe table: {report.write(known, FOLDER, guarded=guarded, whole=whole)}")
    if len(known) < len(trials):
        print("Not all have a verdict. To go on: the same command with ARGS=--resume")
    closing_line = report.closing_line if guarded else report.closing_line_unguarded
    print(closing_line(known, trials=len(trials)))
    wrong = report.fails if guarded else report.surprises
    return int(len(known) < len(trials) or any(wrong(result) for result in known))


def work(
    workshop: Workshop, trials: Sequence[tuple[Fault, str]], results: Results, options: argparse.Namespace
) -> None:
    """Try faults, and keep and tell what became of them as it comes."""
    workshop.open(sorted({suite for _fault, suite in trials}))
    watch = options.watch or (WATCH if workshop.guarded else WATCH_UNGUARDED)
    under_way = Run(workshop, trials, watch=watch, jobs=options.jobs, seconds=60 * options.minutes)
    try:
        for number, result in enumerate(under_way.work(), 1):
            results.add(result)
            tell(result, f"{number:3}/{len(trials)}", guarded=workshop.guarded)
    finally:
        under_way.end()


def tell(result: Result, count: str, *, guarded: bool) -> None:
    """Print what became of a fault, and why where that is not as it should be."""
    print(report.progress(result, guarded=guarded, count=count), flush=True)
    if report.fails(result) if guarded else report.surprises(result):
        for line in report.details(result):
            print(f"        {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
