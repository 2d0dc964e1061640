# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether SSH is open, and what is done where it is not.

One thought carries it: a change after which no new login gets in is taken back. What a login needs is kept as it last
was when one worked. When the probe finds SSH closed, the guard climbs a ladder, from what is certain and harmless to
what is less so, and looks again after each rung:

    firewall   put SSH first in every hook (always; this needs no proof that it is closed)
    port       make room on the port, start the server
    ipsec      let SSH through ahead of policies for which no key was agreed on
    network    put back addresses, routes and links
    tables     end who keeps a table of the packet filter to itself
    files      put back what was changed since, and restart the server
    units      undo what keeps systemd from starting the server

Who closes SSH again and again would win half of the time: then a server of the guard's own stands in for the real one.
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import os
import struct
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import (
    bpf,
    crowd,
    login,
    paths,
    pins,
    report,
    tracked,
    watch,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.daemon import (
    RUNTIME_FOLDER,
    SERVICE,
    STAND_IN,
    Daemon,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.files import LINE_MARK, Store
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.firewall import Firewall
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.login import Logins
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.memory import (
    CONTESTED_SECONDS,
    FOR_A_WHILE,
    Contest,
    Memory,
    Seen,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.mounts import Mounts
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import (
    HostRunner,
    make_private,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import STOP
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.way_in import MENDED_SECONDS, WayIn

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.files import Entries, Tracked
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

SILENT_SECONDS = 10.0  # how often that is looked at of which nothing tells: the older iptables, the processes
WHOLE_SECONDS = 60.0  # how often that is looked at of which the kernel tells, lest it was not heard
TICK_SECONDS, HURRIED_SECONDS = 2.5, 0.2  # how often the probe asks; where somebody closes SSH again and again
AGAIN_SECONDS = 1.0  # after one during which the host was changed
RETRY_SECONDS = 10.0  # after a login that failed and could not be mended
VAIN_SECONDS = 20.0  # after the server was started anew, and that did not help
DPKG_LOCK = Path("/var/lib/dpkg/lock-frontend")
# RuntimeError: as many threads as the kernel allows.
FAILURES = (OSError, WebstackError, ValueError, RuntimeError)
FLOCK = struct.Struct("hhqqi")


class Guard:
    """The guard of this host."""

    def __init__(self, *, settings: Settings, voice: report.Report) -> None:
        self.settings = settings
        self._voice = voice
        self._runner = HostRunner()
        self._firewall = Firewall(runner=self._runner, settings=settings)
        self._daemon = Daemon(runner=self._runner, settings=settings)
        self._logins = Logins(
            runner=self._runner,
            accounts=settings.accounts,
            port=settings.ports[0],
            is_open=lambda: not self._way_in.closed(),
        )
        self._store = Store()
        self._own_store = Store(folder=paths.STATE / "own", strict=False)
        self._own = tracked.find_own(known=self._own_store.good)
        self._memory = Memory()
        self._tracked = tracked.find_tracked(runner=self._runner, accounts=settings.accounts)
        self._mounts = Mounts(runner=self._runner)
        self._contest = Contest()
        self._way_in = WayIn(
            runner=self._runner, settings=settings, voice=voice, memory=self._memory, contest=self._contest
        )
        self._pins = pins.Pins()
        self._programs = bpf.Programs()
        self._next_silent = self._next_whole = self._next_login = self._next_restart = 0.0
        self._stand_in_until = time.monotonic() + CONTESTED_SECONDS
        self._turn = 0
        self._shutdown = report.ShutdownLock()
        self._shown: dict[str, t.Any] = {}
        self._followed: Tracked | None = None

    # -- the whole

    def prepare(self) -> None:
        """Make ready what the guard needs itself."""
        # It holds host keys and lines of /etc/shadow.
        make_private(paths.STATE)
        paths.STATE.chmod(0o700)
        pins.unpin_all(self._mounts.pinned())
        self._firewall.begin_reflex(self._hold_firewall)
        self._logins.prepare()
        self._way_in.begin()

    def follow(self, watcher: watch.Watcher, topics: t.Collection[str] = watch.EVERYTHING) -> None:
        """Say what has to be watched."""
        if watch.FILES in topics or self._tracked is not self._followed:
            self._followed = self._tracked
            watcher.files.follow(merge_folders(self._tracked.folders(), self._own.folders()))
        watcher.follow_process(self._daemon.main_pid())

    def step(self, topics: t.AbstractSet[str]) -> None:
        """Look at what may have been touched, mend it, and say so."""
        now = time.monotonic()
        silent, whole = now >= self._next_silent, now >= self._next_whole
        self._next_silent = now + SILENT_SECONDS if silent else self._next_silent
        self._next_whole = now + WHOLE_SECONDS if whole else self._next_whole
        for hold, is_due in (
            (self._hold_processes, silent or self._runner.starved),
            (
                self._hold_firewall,
                whole or watch.FIREWALL in topics or (silent and self._firewall.uses_legacy()),
            ),
            (self._way_in.hold_neighbours, whole or watch.NEIGHBOUR in topics),
            (self._way_in.adopt_address, whole or watch.NETWORK in topics),
            (self._way_in.hold_queue, whole or watch.NETWORK in topics),
            (self._way_in.hold_gateways, whole or watch.NETWORK in topics),
            (self._way_in.mend_ingress, whole or watch.NETWORK in topics or self._programs.grew()),
            (self._way_in.hold_wire, silent or watch.NETWORK in topics),
            (self._way_in.settle_ipsec, silent),
        ):
            if is_due:
                self._attempt(hold)
        closed = self._way_in.closed()
        idle = not self._daemon.holders()
        if (closed or idle) and self._is_stopping():
            return
        self._hold_port()
        if idle:
            closed = self._way_in.closed(patience=MENDED_SECONDS)
        if closed:
            self._reopen(closed)
        else:
            self._voice.settle("network")
        # A server that was started anew may be another one: what its unit says counts from then on.
        due = now >= self._next_login or bool(closed) or not topics.isdisjoint((watch.ASKED, watch.DAEMON))
        if due or watch.FILES in topics:
            self._hold_logins(due=due)
            self._hold_itself()
        if not closed and not idle and not self._voice.hindrances:
            self._contest.prove()
        self._shown["probe"] = self._way_in.described
        self._voice.publish(self._shown)

    @property
    def tick(self) -> float:
        """How many seconds to wait for something to happen before the next step."""
        return HURRIED_SECONDS if self._contest.is_on("daemon") else TICK_SECONDS

    def _attempt(self, hold: t.Callable[[], t.Any]) -> bool:
        """Do one thing, and tell whether it had an effect: its failure must not keep the others from their work."""
        try:
            return bool(hold())
        except FAILURES as error:
            self._voice.tell("guard", "failed", f"{type(error).__name__}: {error}", priority=report.ERROR)
            return False

    def leave(self) -> None:
        """Look once more, where the system goes down, whether SSH will be there after the boot."""
        if not self._is_stopping():
            return
        problem = self._boot_problem() or self._logins.refusal()
        if problem:
            self._restore_files(problem)
            self._daemon.repair_units(self._memory.unit or self._daemon.unit())
        problem = self._guard_problem()
        if problem:
            self._restore_itself(problem)

    def accept(self) -> str:
        """Take the host as it is now for good, if a login works; return what is wrong otherwise."""
        self._logins.prepare()
        RUNTIME_FOLDER.mkdir(mode=0o755, exist_ok=True)  # a service that a socket starts makes it then
        login.KNOWN_HOSTS.unlink(missing_ok=True)
        seen = self._look()
        problem = self._login_problem() or self._way_in.try_once(self._online_problem)
        if not problem:
            self._keep(seen, unit=self._daemon.unit())
        return problem

    def release(self) -> None:
        """Take out of the kernel what the guard has put there, and give the server its place again."""
        self._firewall.release()
        pins.unpin_all(self._mounts.pinned())
        if self._daemon.stands_in():
            self._daemon.hand_back(self._memory.unit or self._daemon.unit())
        self._way_in.release()

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
        later = {
            "login": self._login_problem() or self._keys_problem(),
            "boot": self._boot_problem(),
            "guard": self._guard_problem(),
        }
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

    def _hold_firewall(self) -> bool:
        """Put SSH first, and tell whether it was not."""
        try:
            told = self._firewall.hold()
            self._voice.settle("firewall")
        except WebstackError as error:
            told = error.data.get("held", [])
            self._voice.tell_once("firewall", f"a chain that cannot be changed may stop SSH: {error.message}")
        for message in told:
            self._voice.tell("firewall", "healed", message)
        return bool(told)

    # -- port

    def _hold_port(self) -> None:
        self._evict_thieves()
        if self._daemon.is_deaf():
            self._start(self._daemon.end_deaf(), restart=True)
        elif not self._daemon.holders() and not self._daemon.comes_by_itself(self._memory.unit or SERVICE):
            self._start("nobody listened on the port of SSH")
        elif not RUNTIME_FOLDER.exists():
            RUNTIME_FOLDER.mkdir(mode=0o755)
            self._voice.tell("daemon", "healed", f"made {RUNTIME_FOLDER} again, without which no login works")
            if self._daemon.is_orphaned():
                self._start("another one, which systemd does not know, was in its way", restart=True)

    def _evict_thieves(self) -> bool:
        """Make room on the port, wake a server that was stopped, and tell whether there was any of it to do."""
        told = False
        for holder in self._daemon.holders():
            if holder.rightful and holder.stopped:
                self._voice.tell("daemon", "healed", self._daemon.wake(holder), priority=report.WARNING)
                told = True
            elif not holder.rightful:
                done = self._daemon.evict(holder)
                if done:
                    self._voice.tell("port", "healed", done, priority=report.WARNING)
                    told = True
                else:
                    self._voice.tell_once("port", f"{holder} has taken it; ssh_port_thief says to report that only")
        return told

    def _start(self, reason: str, *, restart: bool = False) -> bool:
        """Bring the server back, by ever stronger means."""
        if self._contest.note("daemon") and not self._daemon.stands_in() and self._stand_in():
            return True
        unit = self._memory.unit or self._daemon.unit()
        # Somebody may take the port while it is on its way.
        if self._daemon.start(unit, restart=restart) or (self._evict_thieves() and self._daemon.start(unit)):
            self._voice.tell("daemon", "healed", f"started {unit}: {reason}", priority=report.WARNING)
            return True
        restored = self._restore_files(f"{unit} did not start")
        self._daemon.repair_units(unit)
        if self._daemon.start(unit, restart=True):
            self._voice.tell(
                "daemon", "healed", f"started {unit} after its files were put back", priority=report.WARNING
            )
            return True
        if self._daemon.start_by_hand():
            self._voice.tell("daemon", "healed", f"started sshd by hand: {unit} does not start", priority=report.ERROR)
            return True
        if self._stand_in_bare():
            return True
        self._voice.tell_once("daemon", f"{unit} does not start; files put back: {len(restored)}")
        return False

    def _stand_in(self) -> bool:
        """Have a server of the guard's own in the place of one that is stopped or spoiled again and again."""
        self._stand_in_until = time.monotonic() + CONTESTED_SECONDS
        unit = self._memory.unit or self._daemon.unit()
        done = self._daemon.stand_in(self._store.contents("/etc/ssh"), instead_of=unit)
        contest = "somebody stops or spoils ssh again and again"
        if done:
            told = f"{contest}, so {STAND_IN} runs in its place {FOR_A_WHILE}"
            self._voice.tell("daemon", "healed", told, priority=report.WARNING)
        else:
            self._voice.tell_once("daemon", f"{contest}, and {STAND_IN} does not start: no login has worked so far")
        return done

    def _stand_in_bare(self) -> bool:
        """Let the guarded accounts in by their keys alone: the server's settings are spoiled, the good ones lost."""
        self._stand_in_until = time.monotonic() + CONTESTED_SECONDS
        bare = login.bare_settings(ports=self.settings.ports, accounts=self.settings.accounts)
        if not self._daemon.stand_in({"/etc/ssh/sshd_config": bare.encode()}):
            return False
        told = f"no settings work, so {STAND_IN} lets {', '.join(self.settings.accounts)} in by key {FOR_A_WHILE}"
        self._voice.tell("daemon", "healed", told, priority=report.ERROR)
        return True

    def _hold_contests(self) -> None:
        """End the guard's own server, and let pinned files be what they are, when their time is over."""
        # A package could not replace a pinned file.
        for path in self._pins.release(overdue=not changes_under_way()):
            self._voice.tell("login", "healed", f"{path} is no longer pinned")
        if self._daemon.stands_in() and time.monotonic() > self._stand_in_until:
            self._daemon.hand_back(self._memory.unit or self._daemon.unit())
            self._voice.tell("daemon", "healed", f"{STAND_IN} has ended, {self._memory.unit} has its place again")

    # -- processes

    def _hold_processes(self) -> None:
        """Make room where no process can be started, and wake what a login waits for."""
        self._hold_contests()
        for told in self._daemon.wake_helpers():
            self._voice.tell("login", "healed", told, priority=report.WARNING)
        self._runner.try_to_start()
        if not self._runner.starved or self.settings.port_thief != STOP:
            return
        self._runner.starved = False
        ended = crowd.disperse()
        if ended:
            self._voice.tell("daemon", "healed", f"no process could be started; ended {ended}", priority=report.WARNING)

    # -- the ladder

    def _reopen(self, closed: t.Mapping[int, str]) -> None:
        """Climb the ladder until new connections get an answer; a rung tells whether it changed anything."""
        words = as_words(closed)
        rungs = (
            self._hold_firewall,
            self._way_in.mend_ingress,
            self._way_in.mend_ipsec,
            self._way_in.mend_network,
            self._mend_tables,
            self._way_in.mend_probe,
            functools.partial(self._mend_listener, words),
            functools.partial(self._mend_units, words),
        )
        for rung in rungs:
            if self._attempt(rung) and not self._way_in.closed(patience=MENDED_SECONDS):
                self._next_restart = 0.0
                self._voice.settle("network")
                self._voice.tell("network", "healed", f"new connections were {words}", priority=report.WARNING)
                return
        self._next_restart = time.monotonic() + VAIN_SECONDS
        self._voice.tell_once("network", f"new connections are {words}, and nothing that is known helps")

    def _mend_tables(self) -> bool:
        done = [self._daemon.disown(family, table) for family, table in sorted(self._firewall.refusing)]
        for words in filter(None, done):
            self._voice.tell("firewall", "healed", words, priority=report.WARNING)
        return any(done)

    def _mend_listener(self, words: str) -> bool:
        self._restore_files(f"new connections are {words}")
        return self._restart(words)

    def _mend_units(self, words: str) -> bool:
        self._daemon.repair_units(self._memory.unit or self._daemon.unit())
        return self._restart(words)

    def _restart(self, words: str) -> bool:
        """Start the server anew, unless that did not help of late.

        Where a gateway is away, what is silent is not the server: neighbours reach it, and must not be cut off by us.
        """
        if time.monotonic() < self._next_restart:
            return False
        return self._start(f"new connections were {words}", restart=True)

    # -- logins

    def _hold_logins(self, *, due: bool) -> None:
        self._logins.prepare()  # somebody may have taken the guard's key away
        if self._store.refresh():
            self._memory.refresh()
        if not due and not self._is_changed(self._store.scan(self._tracked)) and self._mounts_are_good():
            return
        self._settle_contested()
        seen = self._look()
        # Of this very look: what was changed after an earlier one would be kept without a trial.
        changed = self._is_changed(seen.files)
        # Where nothing was changed, a login by the real server proves all of it.
        problem = self._file_problem() if changed else ""
        if problem and self._is_stopping():
            return
        if problem and self._restore_login(problem):
            self._hold_port()  # the trial takes its time, and somebody may have stopped the server as well
            seen = self._look()  # what was there before may be there again by the end, and is not what is tried now
            problem = self._file_problem()
        closed = self._way_in.closed()
        if closed and not self._is_stopping():  # it has nothing to do with the login
            self._reopen(closed)
        # The real server may still run with what was there before, or have been started in between.
        online = "" if problem else self._online_problem(one=not changed and not self._voice.hindrances)
        if online and not self._way_in.closed():  # else it is the way in that somebody closed meanwhile
            self._restore_files(online)
            self._start(f"a login failed: {online}", restart=True)
            seen = self._look()
            problem = self._file_problem() if self._is_changed(seen.files) else ""
            online = self._online_problem()
        self._settle_logins(problem or online or as_words(self._way_in.closed()), seen)

    def _is_changed(self, files: Entries) -> bool:
        return bool(self._store.differences(files)) or not self._store.good

    def _hold_itself(self) -> None:
        """See to it that the guard would start again."""
        now = self._own_store.scan(self._own)
        differing = self._own_store.differences(now)
        if self._own_store.good and not differing:
            return
        problem = self._guard_problem()
        if not problem:
            self._own_store.keep(now)
        elif not changes_under_way() and not self._is_stopping():
            self._restore_itself(problem)

    def _restore_itself(self, problem: str) -> None:
        differing = self._own_store.differences(self._own_store.scan(self._own))
        restored = self._restore(self._own_store, differing)
        self._reread_units(restored)
        if restored:
            told = f"put back {', '.join(restored)}: {problem}"
            self._voice.tell("guard", "healed", told, priority=report.WARNING)

    def _settle_contested(self) -> None:
        """Put back at once, without a trial, what somebody changes again and again, or to what it was just now."""
        now = self._store.scan(self._tracked)
        again = [
            path
            for path in self._store.differences(now)
            if self._contest.is_on(path) or self._contest.has_seen(path, now.get(path))
        ]
        if again and not changes_under_way():
            self._put_back(again, now, "it was changed again")

    def _put_back(self, differing: t.Sequence[str], now: Entries, reason: str) -> list[str]:
        """Put files back, tell so, and return those that were."""
        restored = self._restore(self._store, differing)
        for path in restored:
            self._voice.tell("login", "healed", f"put back {path}: {reason}", priority=report.WARNING)
            if self._contest.note(path, now.get(path)):
                self._pin(path)
        # Whoever spoils its settings again and again may restart it as often.
        contested = any(path.startswith("/etc/ssh/") and self._contest.is_on(path) for path in restored)
        if contested and not self._daemon.stands_in():
            self._stand_in()
        return restored

    def _restore(self, store: Store, differing: t.Sequence[str]) -> list[str]:
        """Put files back, and return those that were."""
        if not differing:
            return []
        restored, stuck = store.restore(differing, runner=self._runner)
        if stuck:
            self._voice.tell_once("files", f"cannot be put back: {'; '.join(stuck)}")
        return restored

    def _pin(self, path: str) -> None:
        """Have the kernel refuse whoever changes a file again and again."""
        path, line, _name = path.partition(LINE_MARK)  # of one line, the file as it is with that put back
        content = Path(path).read_bytes() if line else self._store.content(path)
        good = self._store.good.get(path)
        try:
            pinned = self._pins.pin(path, good=good, content=content, seconds=CONTESTED_SECONDS)
        except OSError as error:
            self._voice.tell_once("guard", f"{path} cannot be pinned: {error}")
            return
        if pinned:
            told = f"somebody changes {path} again and again, so it is pinned {FOR_A_WHILE}"
            self._voice.tell("login", "healed", told, priority=report.WARNING)

    def _restore_login(self, problem: str) -> bool:
        """Put back what was changed, and tell whether there was anything."""
        restored = self._restore_files(problem)
        if not restored:
            return False
        self._daemon.repair_units(self._memory.unit or self._daemon.unit())
        if any(path.startswith("/etc/ssh/") for path in restored):  # it may have read what was there
            if self._contest.note("settings") and not self._daemon.stands_in():
                self._stand_in()
            self._daemon.reload()
        self._voice.tell("login", "healed", problem, priority=report.WARNING)
        return True

    def _file_problem(self) -> str:
        return self._boot_problem() or self._keys_problem() or self._login_problem()

    def _mounts_are_good(self) -> bool:
        return not self._memory.mounts or self._mounts.look(self._tracked.names()) == self._memory.mounts

    def _settle_logins(self, problem: str, seen: Seen) -> None:
        """Keep for good what a login has worked with, else say what is wrong and look again soon."""
        self._shown["login_tried_at"] = time.time()
        self._shutdown.hold(self._boot_problem() if problem else "")
        if problem:
            self._voice.tell_once("login", problem)
            self._next_login = time.monotonic() + RETRY_SECONDS
            return
        for subject in ("login", "files", "daemon"):
            self._voice.settle(subject)
        self._contest.prove()
        # What was changed while the login went on, it proves nothing of.
        known = seen.files == self._store.good and seen.network == self._memory.network
        steady = known or self._look() == seen
        if steady:
            self._keep(dataclasses.replace(seen, files=self._in_force(seen.files)))
        self._next_login = time.monotonic() + (self.settings.check_seconds if steady else AGAIN_SECONDS)

    def _in_force(self, files: Entries) -> Entries:
        """Return files as they are, but what says something to systemd as it was, where the server is older than that.

        No login proves a unit's new settings before the server is started with them.
        """
        started = self._daemon.started_at()
        later = [
            path
            for path in self._store.differences(files)
            if tracked.is_unit_path(path) and started is not None and changed_at(Path(path)) >= started
        ]
        known = {path: self._store.good[path] for path in later if path in self._store.good}
        return {**{path: entry for path, entry in files.items() if path not in later}, **known}

    def _login_problem(self) -> str:
        """Return what would keep an account out with the files as they are now."""
        problems = (self._logins.problem(account) for account in self.settings.accounts)
        return next((problem for problem in problems if problem), "")

    def _keys_problem(self) -> str:
        """Return which account has only keys that it did not have when a login last worked."""
        problems = (self._logins.strangers(account, self._store.content) for account in self.settings.accounts)
        return next((problem for problem in problems if problem), "")

    def _online_problem(self, *, one: bool = False) -> str:
        """Return what keeps an account out of the server that runs.

        :arg one: Ask for one account alone, for another each time.
        """
        self._turn = (self._turn + 1) % len(self.settings.accounts)
        for account in self.settings.accounts[self._turn :][:1] if one else self.settings.accounts:
            for way in self._way_in.ways[:1]:
                problem = self._logins.online(account, way) or self._logins.hidden(
                    account, self._daemon.main_pid(now=True)
                )
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

    def _guard_problem(self) -> str:
        """Return what would keep the guard from starting again, now or at the next boot."""
        done = self._runner.run([str(paths.COMMAND), "--version"], check=False)
        if done.rc != 0:
            return f"the guard itself would not start again: {done.stderr.strip()[-200:] or done.rc}"
        off = [unit for unit in (paths.UNIT, paths.TIMER) if not self._daemon.starts_at_boot(unit)]
        return f"{off[0]} would not start at the next boot" if len(off) == 1 else ""

    def _restore_files(self, reason: str) -> list[str]:
        """Put back what was mounted, and files; return commands and paths."""
        if changes_under_way():
            self._voice.tell("login", "found", f"{reason}; packages are being renewed, so files are left alone as yet")
            return []
        ran = self._mounts.restore(good=self._memory.mounts, paths=self._tracked.names())
        for command in ran:
            self._voice.tell("login", "healed", f"ran {command}: {reason}", priority=report.WARNING)
        now = self._store.scan(self._tracked)
        restored = self._put_back(self._store.differences(now), now, reason)
        self._reread_units(restored)
        return ran + restored

    def _reread_units(self, restored: t.Collection[str]) -> None:
        """Have systemd read what was put back."""
        if any(path.startswith(tracked.MANAGER_SETTINGS) for path in restored):
            self._runner.run(["systemctl", "daemon-reexec"], check=False)
        elif any(tracked.is_unit_path(path) for path in restored):
            self._runner.run(["systemctl", "daemon-reload"], check=False)

    def _look(self) -> Seen:
        return Seen(
            files=self._store.scan(self._tracked),
            network=self._way_in.look(),
            mounts=self._mounts.look(self._tracked.names()),
        )

    def _keep(self, seen: Seen, *, unit: str = "") -> None:
        changed = seen.files != self._store.good
        self._store.keep(seen.files)
        if changed or not login.KNOWN_HOSTS.exists():
            kept = self._store.contents("/etc/ssh")
            self._logins.know_host(kept[path] for path in sorted(kept) if path.endswith("_key.pub"))
        self._memory.keep(
            network=seen.network, mounts=seen.mounts, unit=unit or self._memory.unit or self._daemon.unit()
        )
        if changed:
            self._tracked = tracked.find_tracked(runner=self._runner, accounts=self.settings.accounts)

    def _is_stopping(self) -> bool:
        """Tell whether the system goes down: then services and logins end, and are meant to."""
        return self._runner.run(["systemctl", "is-system-running"], check=False).stdout.strip() == "stopping"


def changes_under_way(locks: t.Sequence[Path] = (DPKG_LOCK, paths.INSTALLING)) -> bool:
    """Tell whether packages, or the guard itself, are renewed: half of a new version must not be taken back."""
    return any(is_locked(lock) for lock in locks)


def is_locked(lock: Path) -> bool:
    """Tell whether a process holds a lock on a file."""
    try:
        with lock.open("rb") as file:
            asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_rest = FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
            return bool(kind != fcntl.F_UNLCK)
    except OSError:
        return False


def changed_at(path: Path) -> float:
    """Return when a path was changed last, or made, or removed, in seconds since the epoch."""
    try:
        return path.lstat().st_ctime
    except OSError:
        there = next(folder for folder in path.parents if folder.exists())
        return there.stat().st_ctime


def as_words(closed: t.Mapping[int, str]) -> str:
    """Return how SSH is closed, for a sentence; an empty text where it is not."""
    return ", ".join(f"{answer} over IPv{version}" for version, answer in sorted(closed.items()))


def merge_folders(*given: t.Mapping[Path, set[str] | None]) -> dict[Path, set[str] | None]:
    """Return all folders, with all the names that count in them; None for every name."""
    found: dict[Path, set[str] | None] = {}
    for folders in given:
        for folder, names in folders.items():
            earlier = found.get(folder, set())
            found[folder] = None if names is None or earlier is None else earlier | names
    return found
