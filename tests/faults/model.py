"""What a fault is, and how what was seen of it becomes a verdict: no machine is needed here."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

SUITES = ("12", "13")
BOTH = SUITES
NEITHER: tuple[str, ...] = ()
STEADY = 5.0  # seconds that SSH has to go on working before it counts as healed


class FaultsError(Exception):
    """The harness itself cannot go on; the message is for a person."""


@dataclass(frozen=True)
class Fault:
    """One way to lock an admin out: shell commands that root types on the host, around SSH.

    The commands find in their environment the admin's addresses and networks, see `Host.environment`, and
    the helpers of `PRELUDE`.
    """

    id: str
    title: str
    inject: str
    # Debian's versions on which it locks out when nothing guards SSH, as measured by `make faults GUARD=no`.
    locks_out: tuple[str, ...]
    base: str = "22/tcp"  # what `ufw allow …` had opened before; empty: ufw is off and has no rules
    setup: str = ""  # typed before, while nothing is wrong yet
    reboot: bool = False  # the host restarts after the injection
    suites: tuple[str, ...] = SUITES  # Debian's versions that know such a fault
    burst: int = 0  # connections that each admin address opens and drops right after the injection
    bad_logins: int = 0  # logins with an unknown key that each admin address tries right after the injection
    one_source: bool = False  # admins keep one address each, since the fault bears a grudge against addresses
    late: float = 0.0  # seconds until it bites, where that is longer than a calm host is watched
    out_of_reach: str = ""  # why no guard on the host can help
    note: str = ""

    def digest(self) -> str:
        """Return a digest of what is done to the host: what is merely said of it does not count."""
        done = dataclasses.replace(self, title="", locks_out=NEITHER, suites=SUITES, out_of_reach="", note="")
        return hashlib.sha256(repr(done).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Sample:
    """One look through every view: seconds since the injection (or the boot after it), and what failed why.

    :arg at: When it was begun, or for one without failures, when the last of its logins was.
    """

    at: float
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What became of SSH: `prevented`, `healed` after some seconds, or `open`, which is a lockout still."""

    kind: str
    seconds: float = 0.0


@dataclass
class Result:
    """What became of one fault on one version of Debian."""

    fault: Fault
    suite: str
    verdict: Verdict
    samples: list[Sample] = field(default_factory=list)
    printed: str = ""  # by the commands of the injection
    journal: list[str] = field(default_factory=list)  # the guard's last words
    trouble: str = ""  # what kept the harness from a verdict

    @property
    def last_failures(self) -> dict[str, str]:
        """Which views failed last, and why."""
        return next((sample.failed for sample in reversed(self.samples) if sample.failed), {})


def answered(reason: str) -> bool:
    """Tell whether a failure was told, rather than waited for."""
    return "timed out" not in reason and "takes longer" not in reason


def judge(samples: Sequence[Sample]) -> Verdict:
    """Return the verdict on a finished watch."""
    failures = [number for number, sample in enumerate(samples) if sample.failed]
    if not failures:
        return Verdict("prevented")
    since = samples[failures[-1] + 1 :]
    if not since or since[-1].at - since[0].at < STEADY:
        return Verdict("open")
    return Verdict("healed", since[0].at)


def calm_since(samples: Sequence[Sample]) -> float | None:
    """Return when the present spell without failures began; None while something fails."""
    calm: float | None = None
    for sample in reversed(samples):
        if sample.failed:
            break
        calm = sample.at
    return calm


def is_over(samples: Sequence[Sample], *, watch: float, patience: float) -> bool:
    """Tell whether a watch has seen enough: long calm, calm again after a lockout, or all of its time."""
    if not samples:
        return False
    now, calm = samples[-1].at, calm_since(samples)
    if calm is None:
        return now >= watch
    locked_before = any(sample.failed for sample in samples)
    if now - calm >= (STEADY if locked_before else patience):
        return True
    return now >= watch + 3 * STEADY  # it comes and goes


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def select(faults: Sequence[Fault], wanted: str) -> list[Fault]:
    """Return the faults that a list such as `U06,N,S1*` names: by id, by the beginning of one, or by a pattern.

    A name that is the id of a fault means that fault alone: S04 is not S04b.
    """
    if not wanted:
        return list(faults)
    ids = {fault.id for fault in faults}
    patterns = [word if word in ids else f"{word}*" for word in wanted.replace(",", " ").split()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in ids):
            raise FaultsError(f"no fault is called {pattern.rstrip('*')}")
    return [fault for fault in faults if any(fnmatchcase(fault.id, pattern) for pattern in patterns)]
