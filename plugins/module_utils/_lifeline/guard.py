# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether SSH is open, and what is done where it is not.

One thought carries it: a change after which no new login gets in is taken back. What a login needs is kept as it last
was when one worked. When the probe finds SSH closed, the guard climbs a ladder, from what is certain and harmless to
what is less so, and looks again after each rung:

    firewall   put SSH first in every hook (always; this needs no proof that it is closed)
    port       make room on the port, start the server
    network    put back addresses, routes and links
    files      put back what was changed since, and restart the server
"""

from __future__ import annotations

import dataclasses
import fcntl
import itertools
import json
import os
import struct
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths, probe, report, tracked, watch
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.daemon import RUNTIME_FOLDER, Daemon
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.files import Store
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.firewall import Firewall
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.login import Logins
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network import Network
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import (
    HostRunner,
    make_private,
    write_atomically,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.files import Entries
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network import State
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

TICK_SECONDS = 2.0
SILENT_SECONDS = 10.0  # how often that is looked at of which nothing tells: the older iptables, neighbours
ASKED_SECONDS = 1.0  # how soon after one login that was asked for there may be another
AGAIN_SECONDS = 1.0  # after one during which the host was changed
RETRY_SECONDS = 10.0  # after a login that failed and could not be mended
MENDED_SECONDS = 2.0  # for what was mended to show
DPKG_LOCK = Path("/var/lib/dpkg/lock-frontend")
FLOCK = struct.Struct("hhqqi")


@dataclasses.dataclass(frozen=True)
class Seen:
    """The host at one moment: its files and its network."""

    files: Entries
    network: State


class Memory:
    """What is known of the host beside its files, on disk: its network, and the unit that brings SSH."""

    def __init__(self, *, file: Path = paths.STATE / "good" / "host.json") -> None:
        self._file = file
        try:
            self._known: dict[str, t.Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    @property
    def network(self) -> State:
        """The network as it was when a login last worked; empty before the first."""
        found: State = self._known.get("network", {})
        return found

    @property
    def unit(self) -> str:
        """The unit that brings SSH; empty before the first good login."""
        return str(self._known.get("unit", ""))

    def keep(self, *, network: State, unit: str) -> None:
        """Take this for good."""
        wanted = {"network": network, "unit": unit}
        if wanted != self._known:
            self._known = wanted
            write_atomically(self._file, json.dumps(wanted, indent=1).encode())


class Guard:
    """The guard of this host."""

    def __init__(self, *, settings: Settings, voice: report.Report) -> None:
        self.settings = settings
        self._voice = voice
        self._runner = HostRunner()
        self._firewall = Firewall(runner=self._runner, settings=settings)
        self._network = Network(runner=self._runner)
        self._daemon = Daemon(runner=self._runner, settings=settings)
        self._logins = Logins(runner=self._runner, accounts=settings.accounts, port=settings.ports[0])
        self._store = Store()
        self._memory = Memory()
        self._probe: probe.Probe | None = None
        self._tracked = tracked.find_tracked(runner=self._runner, accounts=settings.accounts)
        self._next_silent = self._next_login = self._next_asked = 0.0
        self._asked = False
        self._shutdown = report.ShutdownLock()
        self._shown: dict[str, t.Any] = {}

    # -- the whole

    def prepare(self) -> None:
        """Make ready what the guard needs itself."""
        # It holds host keys and lines of /etc/shadow.
        make_private(paths.STATE)
        paths.STATE.chmod(0o700)
        self._logins.prepare()
        self._lay_probe(self._memory.network or self._network.look())

    def follow(self, watcher: watch.Watcher) -> None:
        """Say what has to be watched."""
        watcher.files.follow(self._tracked.folders())
        watcher.follow_process(self._daemon.main_pid())

    def step(self, topics: t.Collection[str]) -> None:
        """Look at what may have been touched, mend it, and say so."""
        now = time.monotonic()
        if now >= self._next_silent:
            self._next_silent = now + SILENT_SECONDS
            self._hold_firewall()
            self._hold_neighbours()
        elif watch.FIREWALL in topics:
            self._hold_firewall()
        if watch.NETWORK in topics:
            self._adopt_address()
        closed = self._closed()
        idle = not self._daemon.holders()
        if (closed or idle) and self._is_stopping():
            return
        self._hold_port()
        if closed:
            self._reopen(closed)
        else:
            self._voice.settle("network")
        self._asked = self._asked or watch.ASKED in topics
        due = now >= self._next_login or bool(closed) or (self._asked and now >= self._next_asked)
        if due or watch.FILES in topics:
            self._hold_logins(due=due)
        self._voice.publish(self._shown)

    def accept(self) -> str:
        """Take the host as it is now for good, if a login works; return what is wrong otherwise."""
        self._logins.prepare()
        seen = self._look()
        problem = self._login_problem() or self._reach_once()
        if not problem:
            self._keep(seen)
        return problem

    def _reach_once(self) -> str:
        """Log in to the real server, by the way in that another process keeps, or by one for this occasion."""
        kept = probe.is_laid()
        self._probe = self._new_probe(self._network.look())
        try:
            if not kept:
                self._probe.set_up()
            return self._online_problem()
        except WebstackError:  # no namespace to be had here
            return ""
        finally:
            if not kept:
                self._probe.tear_down()

    def release(self) -> None:
        """Take out of the kernel what the guard has put there."""
        self._firewall.release()
        self._new_probe(self._memory.network or self._network.look()).tear_down()

    def problems(self) -> dict[str, str]:
        """Return what keeps, or after a restart or boot would keep, the admins out; nothing is changed."""
        found = {}
        lacking = self._firewall.open_chains()
        if lacking:
            found["firewall"] = "; ".join(f"something may stop SSH in {chain}" for chain, _rules in lacking)
        thieves = [str(each) for each in self._daemon.holders() if not each.rightful]
        if thieves:
            found["port"] = f"taken by {', '.join(thieves)}"
        elif not self._daemon.holders():
            found["port"] = "nobody listens"
        later = {"login": self._login_problem(), "boot": self._boot_problem()}
        return {**found, **{name: problem for name, problem in later.items() if problem}}

    def explain(self) -> dict[str, t.Any]:
        """Return what is held, and what would be taken back if a login failed now."""
        return {
            "accounts": list(self.settings.accounts),
            "ports": list(self.settings.ports),
            "admin_cidrs": list(self.settings.admin_cidrs) or ["anywhere"],
            "first_in": [str(chain) for chain in self._firewall.chains() if any(rule.ours for rule in chain.rules)],
            "listening": [str(holder) for holder in self._daemon.holders()],
            "started_by": self._memory.unit,
            "network": self._memory.network,
            "files_kept": len(self._store.good),
            "files_changed": self._store.differences(self._store.scan(self._tracked)),
        }

    # -- firewall

    def _hold_firewall(self) -> None:
        try:
            told = self._firewall.hold()
            self._voice.settle("firewall")
        except WebstackError as error:
            told = error.data.get("held", [])
            self._voice.tell_once("firewall", f"a chain that cannot be changed may stop SSH: {error.message}")
        for message in told:
            self._voice.tell("firewall", "healed", message)

    def _hold_neighbours(self) -> None:
        own = [way.source for way in self._probe.ways] if self._probe else []
        good = self._memory.network
        for line in self._network.drop_strange_neighbours(good=good, own=own) if good else []:
            self._voice.tell("network", "healed", f"forgot the fixed neighbour {line}", priority=report.WARNING)

    # -- port

    def _hold_port(self) -> None:
        for holder in self._daemon.holders():
            if holder.rightful and holder.stopped:
                self._voice.tell("daemon", "healed", self._daemon.wake(holder), priority=report.WARNING)
            elif not holder.rightful:
                done = self._daemon.evict(holder)
                if done:
                    self._voice.tell("port", "healed", done, priority=report.WARNING)
                else:
                    self._voice.tell_once("port", f"{holder} has taken it; ssh_port_thief says to report that only")
        if not self._daemon.holders():
            self._start("nobody listened on the port of SSH")
        elif not RUNTIME_FOLDER.exists():
            RUNTIME_FOLDER.mkdir(mode=0o755)
            self._voice.tell("daemon", "healed", f"made {RUNTIME_FOLDER} again, without which no login works")
            if self._daemon.is_orphaned():
                self._start("another one, which systemd does not know, was in its way", restart=True)

    def _start(self, reason: str, *, restart: bool = False) -> bool:
        """Bring the server back, by ever stronger means."""
        unit = self._memory.unit or self._daemon.unit()
        if self._daemon.start(unit, restart=restart):
            self._voice.tell("daemon", "healed", f"started {unit}: {reason}", priority=report.WARNING)
            return True
        restored = self._restore_files(f"{unit} did not start")
        self._daemon.repair_units(unit)
        if self._daemon.start(unit, restart=True):
            self._voice.tell(
                "daemon", "healed", f"started {unit} after its files were put back", priority=report.WARNING
            )
            return True
        if self._daemon.start_without_systemd():
            self._voice.tell("daemon", "healed", f"started sshd by hand: {unit} does not start", priority=report.ERROR)
            return True
        self._voice.tell_once("daemon", f"{unit} does not start; files put back: {len(restored)}")
        return False

    # -- network

    def _lay_probe(self, network: State) -> None:
        """Lay the probe's way in anew, for the addresses of a network."""
        if self._probe is not None:
            self._probe.tear_down()
        self._probe = self._new_probe(network)
        try:
            self._probe.set_up()
            places = (f"{way.device} to {way.address}" for way in self._probe.ways)
            self._shown["probe"] = f"through {', '.join(places)}"
        except WebstackError as error:
            self._probe = None
            self._shown["probe"] = f"not to be had here: {error.message}"
            self._voice.tell("guard", "found", f"no probe from outside: {error.message}", priority=report.WARNING)

    def _new_probe(self, state: State) -> probe.Probe:
        ways = probe.find_ways(state=state, settings=self.settings)
        return probe.Probe(runner=self._runner, ways=ways, port=self.settings.ports[0])

    def _adopt_address(self) -> None:
        """Follow a host that was given another address (by DHCP, by its admin)."""
        if self._probe is None:
            return
        network = self._network.look()
        held = {line.split("/")[0] for line in network["address"]}
        lost = [way for way in self._probe.ways if way.address not in held]
        others = held - {way.address for way in self._probe.ways}
        if lost and any((":" in address) == (way.version == 6) for way in lost for address in others):
            self._lay_probe(network)
            self._voice.tell("network", "found", f"the address {lost[0].address} was replaced", priority=report.NOTICE)

    def _closed(self, *, patience: float = 0.0) -> dict[int, str]:
        """Return the IP versions over which a new connection gets no answer, with what came instead.

        :arg patience: Seconds for an answer that may need a while, since something was just mended.
        """
        if self._probe is None:
            return {}
        end = time.monotonic() + patience
        # One packet may be lost, so there is a second; a machine under load may be slow, so that one has more time.
        for seconds in itertools.chain((0.3, 0.7), itertools.repeat(0.5)):
            answers = self._probe.knock(seconds=seconds)
            closed = {version: answer for version, answer in answers.items() if answer in (probe.SILENT, probe.REFUSED)}
            if not closed or (seconds != 0.3 and time.monotonic() >= end):
                break
            if patience and probe.SILENT not in closed.values():
                time.sleep(0.1)
        return closed

    def _reopen(self, closed: t.Mapping[int, str]) -> None:
        """Climb the ladder until new connections get an answer."""
        words = ", ".join(f"{answer} over IPv{version}" for version, answer in sorted(closed.items()))
        self._hold_firewall()
        for rung in (self._mend_network, self._mend_listener, self._mend_units):
            closed = self._closed()
            if closed:
                rung(words)
                closed = self._closed(patience=MENDED_SECONDS)
            if not closed:
                self._voice.settle("network")
                self._voice.tell("network", "healed", f"new connections were {words}", priority=report.WARNING)
                return
        self._voice.tell_once("network", f"new connections are {words}, and nothing that is known helps")

    def _mend_network(self, _words: str) -> None:
        for command in self._network.restore(good=self._memory.network) if self._memory.network else []:
            self._voice.tell("network", "healed", f"ran {command}", priority=report.WARNING)

    def _mend_listener(self, words: str) -> None:
        self._restore_files(f"new connections are {words}")
        self._start(f"new connections were {words}", restart=True)

    def _mend_units(self, words: str) -> None:
        self._daemon.repair_units(self._memory.unit or self._daemon.unit())
        self._start(f"new connections were {words}", restart=True)

    # -- logins

    def _hold_logins(self, *, due: bool) -> None:
        self._store.refresh()
        if not due and self._store.good and not self._store.differences(self._store.scan(self._tracked)):
            return
        seen = self._look()
        problem = self._login_problem() or self._boot_problem()
        if problem and self._is_stopping():
            return
        restored = self._restore_files(problem) if problem else []
        if restored:
            self._daemon.repair_units(self._memory.unit or self._daemon.unit())
            if any(path.startswith("/etc/ssh/") for path in restored):  # it may have read what was there
                self._daemon.reload()
            before, problem = problem, self._login_problem() or self._boot_problem()
            if not problem:
                self._voice.tell("login", "healed", before, priority=report.WARNING)
        # The real server may still run with what was there before, or have been started in between.
        online = "" if problem else self._online_problem()
        closed = self._closed() if online else {}
        if closed:  # it has nothing to do with the login
            self._reopen(closed)
            online = self._online_problem()
        if online:
            self._restore_files(online)
            self._start(f"a login failed: {online}", restart=True)
            online = self._online_problem()
        self._settle_logins(problem or online, seen)

    def _settle_logins(self, problem: str, seen: Seen) -> None:
        """Keep for good what a login has worked with, else say what is wrong and look again soon."""
        self._shown["login_tried_at"] = time.time()
        # Everybody may ask, so nobody may make the guard busy.
        self._asked = False
        self._next_asked = time.monotonic() + ASKED_SECONDS
        self._shutdown.hold(self._boot_problem() if problem else "")
        if problem:
            self._voice.tell_once("login", problem)
            self._next_login = time.monotonic() + RETRY_SECONDS
            return
        self._voice.settle("login")
        self._voice.settle("daemon")
        # What was changed while the login went on, it proves nothing of.
        steady = self._look() == seen
        if steady:
            self._keep(seen)
        self._next_login = time.monotonic() + (self.settings.check_seconds if steady else AGAIN_SECONDS)

    def _login_problem(self) -> str:
        """Return what would keep an account out with the files as they are now."""
        problems = (self._logins.problem(account) for account in self.settings.accounts)
        return next((problem for problem in problems if problem), "")

    def _online_problem(self) -> str:
        """Return what keeps an account out of the server that runs."""
        ways = self._probe.ways if self._probe else []
        for account in self.settings.accounts:
            for way in ways[:1]:
                problem = self._logins.online(account, way)
                if problem:
                    return f"{account} cannot log in over IPv{way.version}: {problem}"
        return ""

    def _boot_problem(self) -> str:
        """Return what would keep everybody out after the next boot."""
        if self._memory.unit and not self._daemon.starts_at_boot(self._memory.unit):
            return f"{self._memory.unit} would not start at the next boot"
        if not self._daemon.boots_to_network():
            return "the next boot would end without services"
        return ""

    def _restore_files(self, reason: str) -> list[str]:
        if packages_change():
            self._voice.tell("login", "found", f"{reason}; packages are being changed, so files are left alone as yet")
            return []
        differing = self._store.differences(self._store.scan(self._tracked))
        restored = self._store.restore(differing, runner=self._runner) if differing else []
        for path in restored:
            self._voice.tell("login", "healed", f"put back {path}: {reason}", priority=report.WARNING)
        if any(tracked.is_unit_path(path) for path in restored):
            self._runner.run(["systemctl", "daemon-reload"], check=False)
        return restored

    def _look(self) -> Seen:
        return Seen(files=self._store.scan(self._tracked), network=self._network.look())

    def _keep(self, seen: Seen) -> None:
        self._store.keep(seen.files)
        self._memory.keep(network=seen.network, unit=self._memory.unit or self._daemon.unit())
        self._tracked = tracked.find_tracked(runner=self._runner, accounts=self.settings.accounts)

    def _is_stopping(self) -> bool:
        """Tell whether the system goes down: then services and logins end, and are meant to."""
        return self._runner.run(["systemctl", "is-system-running"], check=False).stdout.strip() == "stopping"


def packages_change(lock: Path = DPKG_LOCK) -> bool:
    """Tell whether dpkg is at work: half of a new version is no fault, and must not be taken back."""
    try:
        with lock.open("rb") as file:
            asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_rest = FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
            return bool(kind != fcntl.F_UNLCK)
    except OSError:
        return False


def run(*, settings: Settings, tell_systemd: t.Callable[[str], None]) -> t.NoReturn:
    """Keep SSH open until the end of days."""
    voice = report.Report(metrics=settings.metrics)
    guard = Guard(settings=settings, voice=voice)
    watcher = watch.Watcher()
    guard.prepare()
    topics: set[str] = set(watch.EVERYTHING)
    tell_systemd("READY=1")
    while True:
        try:
            guard.step(topics)
            guard.follow(watcher)
        except (OSError, WebstackError, ValueError) as error:  # the next round may do better; the watchdog sees to it
            voice.tell("guard", "failed", f"{type(error).__name__}: {error}", priority=report.ERROR)
        tell_systemd("WATCHDOG=1")
        topics = watcher.wait(TICK_SECONDS)
