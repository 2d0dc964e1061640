# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead man's switch: a change that nobody confirms over a new connection is taken back by the host itself.

`arm` takes a snapshot, starts a timer of systemd's (which needs neither the connection nor the controller), enables
a unit for the next boot, and only then writes the file `armed`. From then on the host goes back to the snapshot when
the time is over, or when it starts with the file still there. `confirm` removes the file. Whoever holds the lock
decides: a change is either confirmed or rolled back, never both.

A run may be slower than its time allows and close SSH only after the rollback. As long as its session lives, the host
therefore goes back again and again, until the run asks for its confirmation and is told.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import secrets
import shutil
import syslog
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import (
    HostRunner,
    make_private,
    write_atomically,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.snapshot import Host, Snapshot
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.terminal import complain, say
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.procfs import Proc

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

BOOT_UNIT = Path("/etc/systemd/system/ssh-lifeline-rollback.service")
BOOT_LINK = Path("/etc/systemd/system/multi-user.target.wants") / BOOT_UNIT.name
BOOT_UNIT_TEXT = f"""\
# Managed by Ansible (phoenix.webstack), enabled as long as changes of SSH are to be confirmed.
[Unit]
Description=Take back a change of SSH that was not confirmed before the restart
ConditionPathExists={paths.ARMED}
RequiresMountsFor={paths.ROLLBACK}
# Behind whatever loads a firewall from files, ahead of what adds rules of its own to it.
After=ufw.service nftables.service netfilter-persistent.service
Before=docker.service fail2ban.service

[Service]
Type=oneshot
ExecStart={paths.COMMAND} rollback --because restart
SyslogIdentifier=ssh-lifeline

[Install]
WantedBy=multi-user.target
"""
SHORTEST, LONGEST = 5, 3600
ARMED, ROLLING, ROLLED_BACK = "armed", "rolling back", "rolled back"
ATTEMPTS = 3
ROUNDS = 60
LOCK_SECONDS = 120.0
COMMAND_SECONDS = 30.0
BY_HAND, EXPIRED, RESTART, CUT_OFF = "hand", "expired", "restart", "cut-off"


@dataclasses.dataclass(frozen=True)
class Switch:
    """A change under way.

    :arg snapshot: The folder of the state to go back to, which is that of the first of several unconfirmed changes.
    :arg depth: How many confirmations it takes: a change may be part of another one.
    :arg replaced: Earlier switches that were never confirmed, and that this one took over from.
    :arg session: The SSH session of the run, see `Sessions`.
    :arg rounds: How often the host went back again after it had gone back.
    """

    id: str
    label: str
    seconds: int
    armed_at: str
    snapshot: str
    timer: str
    depth: int = 1
    replaced: tuple[str, ...] = ()
    session: str = ""
    rounds: int = 0
    state: str = ARMED


@dataclasses.dataclass(frozen=True)
class Rollback:
    """A change that was taken back.

    :arg ids: The switch, and those it had taken over from.
    :arg reported: Whether the next run has been told.
    :arg answered: Whether the run that made the change has been told.
    """

    ids: tuple[str, ...]
    label: str
    reason: str
    armed_at: str
    at: str
    done: tuple[str, ...]
    problems: tuple[str, ...]
    aside: str
    reported: bool = False
    answered: bool = False

    def __str__(self) -> str:
        text = f"{self.label} was rolled back at {self.at}: {self.reason}"
        if self.problems:
            text += f". Not all of it could be: {'; '.join(self.problems)}"
        return text


class Timer:
    """What brings the rollback about when nobody else does."""

    def __init__(self, *, runner: CommandRunner, unit: Path = BOOT_UNIT, link: Path = BOOT_LINK) -> None:
        self._runner = runner
        self._unit = unit
        self._link = link

    def start(self, name: str, *, switch: str, seconds: int) -> None:
        """Have systemd itself roll back after some seconds."""
        options = [
            f"--unit={name}",
            f"--description=Take back a change of SSH unless it is confirmed ({switch})",
            self._when(seconds),
            "--timer-property=AccuracySec=100ms",
            "--property=Type=oneshot",
            "--property=SyslogIdentifier=ssh-lifeline",
            # A rollback that somebody kills goes on where it was.
            "--property=Restart=on-abnormal",
            "--property=RestartSec=1",
            "--collect",
            "--quiet",
        ]
        command = [str(paths.COMMAND), "rollback", switch, "--because", EXPIRED]
        self._runner.run(["systemd-run", *options, *command])

    def _when(self, seconds: int) -> str:
        """Return the time as an option: counted from the start of systemd, as only that is a fixed point.

        ``--on-active`` would begin anew whenever somebody has systemd read its units again, which is part of many a
        change; and the clock may be set.
        """
        show = ["systemctl", "show", "--value", "--property=UserspaceTimestampMonotonic"]
        began = self._runner.run(show, check=False).stdout.strip()
        if not began.isdigit():
            return f"--on-active={seconds}"
        uptime = time.clock_gettime(time.CLOCK_MONOTONIC) - int(began) / 1e6
        return f"--on-startup={uptime + seconds:.3f}"

    def runs(self, name: str) -> bool:
        """Whether a timer is there; none outlives a restart."""
        return self._runner.run(["systemctl", "is-active", "--quiet", f"{name}.timer"], check=False).rc == 0

    def stop(self, name: str) -> None:
        """Stop a timer. One that goes off all the same finds that there is nothing to do."""
        self._runner.run(["systemctl", "stop", "--quiet", f"{name}.timer"], check=False)

    def outlive_a_restart(self) -> None:
        """Have the next boot roll back what is still armed then."""
        written = self._unit.exists() and self._unit.read_text(encoding="utf-8") == BOOT_UNIT_TEXT
        if not written:
            write_atomically(self._unit, BOOT_UNIT_TEXT.encode(), mode=0o644)
        if not written or not self._link.is_symlink():
            # systemd reads both at the next boot; to have it read all units again now would only take time.
            self._runner.run(["systemctl", "enable", "--quiet", "--no-reload", self._unit.name])
            sync_folder(self._unit.parent)
            sync_folder(self._link.parent)


class Sessions:
    """SSH sessions, each by the process of sshd that serves it, and when that began."""

    def __init__(self, *, proc: Proc) -> None:
        self._proc = proc

    def current(self) -> str:
        """Return the session that this program was started from, nothing if there is none."""
        servers = (pid for pid in self._proc.ancestors(os.getpid()) if self._proc.comm(pid).startswith("sshd"))
        pid = next(servers, 0)
        return f"{pid} {self._proc.started(pid)}" if pid else ""

    def lives(self, session: str) -> bool:
        """Tell whether a session is still open."""
        pid, _blank, began = session.partition(" ")
        return bool(pid and began) and self._proc.started(int(pid)) == began


class DeadMansSwitch:
    """The switch of this host."""

    def __init__(
        self,
        *,
        host: Host,
        timer: Timer,
        sessions: Sessions,
        folder: Path = paths.ROLLBACK,
        aside: Path = paths.STATE / "aside",
    ) -> None:
        self._host = host
        self._timer = timer
        self._sessions = sessions
        self._folder = folder
        self._aside = aside

    # -- the three commands

    def arm(self, *, seconds: int, label: str, within: str = "") -> dict[str, t.Any]:
        """Arm the switch.

        A switch that is armed already belongs to a run that died. Its snapshot is the last confirmed state, so the
        new switch takes over just that; or to the run that asks (``within``), whose switch then waits for one more
        confirmation.

        :raises WebstackError: when it could not be armed; then nothing was changed.
        """
        if not SHORTEST <= seconds <= LONGEST:
            raise WebstackError(
                f"{seconds} seconds are no time for a confirmation. Nothing was changed. "
                f"Set ssh_rollback_seconds to something between {SHORTEST} and {LONGEST}."
            )
        with self._lock():
            current = self._current()
            if current and current.state == ROLLING:
                self._roll_back(current, because=CUT_OFF)
                current = None
            elif current and current.state == ROLLED_BACK:
                self._end_rollback(current) if current.id == within else self._release(current)
                current = None
            if within:
                self._refuse_if_rolled_back(within)
            if current is None:
                switch = self._arm_anew(seconds=seconds, label=label)
            elif current.id == within:
                switch = self._arm_within(current, seconds=seconds)
            else:
                switch = self._take_over(current, seconds=seconds, label=label)
            answer = {
                "id": switch.id,
                "seconds": switch.seconds,
                "taken_over": _as_dict(current) if current and current.id != switch.id else None,
                "last_rollback": self._report(),
            }
            tell(f"{switch.label}: to be confirmed within {seconds} seconds ({switch.id})")
            return answer

    def confirm(self, switch_id: str) -> dict[str, t.Any]:
        """Confirm a change. To ask twice is no mistake: the first answer may have been lost on the way.

        :raises WebstackError: when it is too late, or the switch is not known.
        """
        with self._lock():
            current = self._current()
            if current and current.id == switch_id and current.state == ARMED:
                return self._disarm(current)
            if current and current.id == switch_id:
                self._end_rollback(current) if current.state == ROLLED_BACK else self._roll_back(
                    current, because=CUT_OFF
                )
            self._refuse_if_rolled_back(switch_id, again=True)
            if current and switch_id in current.replaced:
                raise WebstackError(
                    f"Another run has taken over since ({current.label}, {current.armed_at}); it will confirm both.",
                )
            if switch_id in self._confirmed():
                return {"id": switch_id, "confirmed": True, "still_armed": False}
            raise WebstackError(f"No change is known by the name {switch_id}.")

    def roll_back(self, switch_id: str = "", *, because: str = BY_HAND) -> Rollback | None:
        """Go back to the snapshot, if there is one to go back to (for this switch, if one is named)."""
        with self._lock():
            current = self._current()
            if current is None or (switch_id and current.id != switch_id):
                return None
            # The boot's unit may be started at any time; only without the timer there has been a restart.
            if because == RESTART and self._timer.runs(current.timer):
                return None
            if current.state == ROLLED_BACK:
                last = self._roll_back_again(current)
                self._stay(current) if because == EXPIRED else self._release(current)
                return last
            return self._roll_back(current, because=because)

    def _refuse_if_rolled_back(self, switch_id: str, *, again: bool = False) -> None:
        """Tell a run that its change is gone; without ``again`` only if it does not know yet."""
        last = self._last()
        if last is None or switch_id not in last.ids or (last.answered and not again):
            return
        told = dataclasses.replace(last, answered=True)
        write_atomically(self._folder / "last_rollback.json", json.dumps(_as_dict(told)).encode())
        raise WebstackError(f"{last}.", rolled_back=_as_dict(last))

    # -- arming

    def _arm_anew(self, *, seconds: int, label: str) -> Switch:
        switch_id = _new_id()
        self._tidy_up()
        snapshot = self._host.take()
        write_atomically(self._snapshot(switch_id), snapshot.as_json().encode())
        sync_folder(self._snapshot(switch_id).parent)
        switch = Switch(
            id=switch_id,
            label=label,
            seconds=seconds,
            armed_at=_now(),
            snapshot=switch_id,
            timer=_timer_name(switch_id),
        )
        self._start(switch)
        return switch

    def _take_over(self, current: Switch, *, seconds: int, label: str) -> Switch:
        switch_id = _new_id()
        switch = Switch(
            id=switch_id,
            label=label,
            seconds=seconds,
            armed_at=_now(),
            snapshot=current.snapshot,
            timer=_timer_name(switch_id),
            replaced=(*current.replaced, current.id),
        )
        self._start(switch)
        self._timer.stop(current.timer)
        tell(f"{current.label} of {current.armed_at} was never confirmed; what follows is confirmed together with it")
        return switch

    def _arm_within(self, current: Switch, *, seconds: int) -> Switch:
        depth = current.depth + 1
        switch = dataclasses.replace(
            current, depth=depth, seconds=seconds, timer=_timer_name(f"{current.id}-{depth}-{secrets.token_hex(2)}")
        )
        self._start(switch)
        self._timer.stop(current.timer)
        return switch

    def _start(self, switch: Switch) -> None:
        """Let a switch count, once everything is in place that will roll back.

        The new timer first, then the file, then (by the caller) the old timer goes: whatever this is killed between,
        a timer is there for the switch that the file names.
        """
        switch = dataclasses.replace(switch, session=self._sessions.current())
        self._timer.outlive_a_restart()
        self._timer.start(switch.timer, switch=switch.id, seconds=switch.seconds)
        self._save(switch)
        if not self._timer.runs(switch.timer):
            self._unlink_armed()
            raise WebstackError(
                f"systemd does not keep the timer {switch.timer} that would roll back. Nothing was changed. "
                "Look at: systemctl status, journalctl -b -p err"
            )

    # -- the ends

    def _disarm(self, current: Switch) -> dict[str, t.Any]:
        answer = {"id": current.id, "confirmed": True, "still_armed": current.depth > 1}
        if current.depth > 1:
            self._save(dataclasses.replace(current, depth=current.depth - 1))
            return answer
        write_atomically(self._folder / "confirmed", json.dumps([current.id, *current.replaced]).encode())
        self._release(current)
        tell(f"{current.label}: confirmed ({current.id})")
        return answer

    def _roll_back(self, current: Switch, *, because: str) -> Rollback:
        reason = {
            EXPIRED: f"nobody confirmed it over a new connection within {current.seconds} seconds",
            RESTART: "the host was restarted before it was confirmed",
            CUT_OFF: "an earlier rollback had been cut off",
            BY_HAND: "it was asked for by hand",
        }[because]
        tell(f"{current.label}: rolling back, since {reason} ({current.id})", priority=syslog.LOG_WARNING)
        self._save(dataclasses.replace(current, state=ROLLING))
        aside = self._new_aside()
        done, problems = self._restore(current, aside=aside)
        rollback = Rollback(
            ids=(current.id, *current.replaced),
            label=current.label,
            reason=reason,
            armed_at=current.armed_at,
            at=_now(),
            done=tuple(dict.fromkeys(done)),
            problems=tuple(problems),
            aside=str(aside) if aside.exists() else "",
        )
        self._note(rollback)
        self._stay(current) if because == EXPIRED else self._release(current)
        return rollback

    def _roll_back_again(self, current: Switch) -> Rollback | None:
        """Take back what a slow run has done since, or a command that was under way at the rollback."""
        done, problems = self._restore(current, aside=self._new_aside())
        last = self._last()
        if last and done:
            last = dataclasses.replace(
                last, at=_now(), done=(*last.done, *done), problems=tuple(problems), reported=False, answered=False
            )
            tell(f"{current.label}: there was more of it after the rollback", priority=syslog.LOG_WARNING)
            self._note(last)
        return last

    def _end_rollback(self, current: Switch) -> None:
        """Be done with a rollback, at the request of the run: now that it waits, what is put back stays so."""
        self._roll_back_again(current)
        self._release(current)

    def _stay(self, current: Switch) -> None:
        """Stay on guard after a rollback, as long as the run may still be at work.

        A command that was under way outlives its session for a moment, so there is a second look in any case.
        """
        settled = current.rounds > 0
        if current.rounds >= ROUNDS or (settled and not self._sessions.lives(current.session)):
            self._release(current)
            return
        again = dataclasses.replace(
            current,
            state=ROLLED_BACK,
            rounds=current.rounds + 1,
            timer=_timer_name(f"{current.id}-{secrets.token_hex(2)}"),
        )
        try:
            self._timer.start(again.timer, switch=again.id, seconds=again.seconds if settled else SHORTEST)
            self._save(again)
            self._timer.stop(current.timer)
        except (WebstackError, OSError) as error:
            tell(f"cannot stay on guard: {error}", priority=syslog.LOG_ERR)
            self._release(current)

    def _restore(self, current: Switch, *, aside: Path) -> tuple[list[str], list[str]]:
        """Restore until nothing is in the way any more, or it is clear that it stays there."""
        done: list[str] = []
        problems: list[str] = []
        for attempt in range(ATTEMPTS):
            try:
                snapshot = Snapshot.from_json(self._snapshot(current.snapshot).read_text(encoding="utf-8"))
                more, problems = self._host.restore(snapshot, aside=aside / str(attempt) if attempt else aside)
                done += more
            except Exception as error:  # noqa: BLE001 whatever it is, the next attempt may do better, and must be made
                problems = [f"{type(error).__name__}: {error}"]
            for problem in problems:
                tell(problem, priority=syslog.LOG_ERR)
            if not problems:
                break
            time.sleep(1)
        return done, problems

    def _new_aside(self) -> Path:
        return self._aside / datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")

    def _note(self, rollback: Rollback) -> None:
        """Tell what was done, in the journal and to whoever asks later."""
        for line in rollback.done:
            tell(f"put back: {line}")
        with contextlib.suppress(OSError):  # a full disk; the journal has it all
            write_atomically(self._folder / "last_rollback.json", json.dumps(_as_dict(rollback)).encode())
        tell(str(rollback), priority=syslog.LOG_ERR if rollback.problems else syslog.LOG_WARNING)

    def _release(self, current: Switch) -> None:
        """Be armed no more."""
        self._unlink_armed()
        self._timer.stop(current.timer)
        self._tidy_up()

    # -- what is on disk

    @contextlib.contextmanager
    def _lock(self) -> t.Iterator[None]:
        """Be the only one. A rollback under way is waited for: what comes of it is then known."""
        make_private(self._folder)
        with (self._folder / "lock").open("w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            end = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise WebstackError(
                            f"Another ssh-lifeline has been at work for {LOCK_SECONDS:.0f} seconds. "
                            "Look at: journalctl -t ssh-lifeline"
                        ) from None
                    time.sleep(0.1)
            yield

    def _snapshot(self, name: str) -> Path:
        return self._folder / name / "snapshot.json"

    def _current(self) -> Switch | None:
        given = self._read(paths.ARMED.name)
        return Switch(**{**given, "replaced": tuple(given["replaced"])}) if given else None

    def _last(self) -> Rollback | None:
        given = self._read("last_rollback.json")
        if not given:
            return None
        given.update({key: tuple(given[key]) for key in ("ids", "done", "problems")})
        return Rollback(**given)

    def _confirmed(self) -> list[str]:
        return list(self._read("confirmed") or [])

    def _read(self, name: str) -> t.Any:
        try:
            return json.loads((self._folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def _report(self) -> dict[str, t.Any] | None:
        """Return the last rollback, once."""
        last = self._last()
        if last is None or last.reported:
            return None
        told = dataclasses.replace(last, reported=True)
        write_atomically(self._folder / "last_rollback.json", json.dumps(_as_dict(told)).encode())
        return {**_as_dict(last), "text": f"{last}."}

    def _save(self, switch: Switch) -> None:
        write_atomically(self._folder / paths.ARMED.name, json.dumps(_as_dict(switch)).encode())
        sync_folder(self._folder)

    def _unlink_armed(self) -> None:
        (self._folder / paths.ARMED.name).unlink(missing_ok=True)
        sync_folder(self._folder)

    def _tidy_up(self) -> None:
        """Remove snapshots that nobody goes back to any more; they hold copies of the host's keys."""
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Have a folder's entries on the disk, so that a sudden restart finds them."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tell(text: str, *, priority: int = syslog.LOG_NOTICE) -> None:
    """Write to the journal, in whatever way the program was started."""
    syslog.openlog("ssh-lifeline", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(priority, text)


def _as_dict(thing: Switch | Rollback) -> dict[str, t.Any]:
    return dataclasses.asdict(thing)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _new_id() -> str:
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _timer_name(switch_id: str) -> str:
    return f"ssh-lifeline-rollback-{switch_id}"


# -- the command line


def make_switch() -> DeadMansSwitch:
    """Return the switch of this host."""
    runner = HostRunner(timeout=COMMAND_SECONDS)
    return DeadMansSwitch(host=Host(runner=runner), timer=Timer(runner=runner), sessions=Sessions(proc=Proc()))


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the program's."""
    arm = commands.add_parser("arm", help="have the host take back what follows, unless it is confirmed in time")
    arm.add_argument("--seconds", type=int, default=60, help="time for the confirmation (default: %(default)s)")
    arm.add_argument("--label", default="a change", help="what is about to be changed")
    arm.add_argument("--within", default="", metavar="ID", help="the switch of which this is a part")
    arm.set_defaults(run=_run_arm)
    confirm = commands.add_parser("confirm", help="keep the change")
    confirm.add_argument("id", metavar="ID", help="what arm has printed")
    confirm.set_defaults(run=_run_confirm)
    rollback = commands.add_parser("rollback", help="take back at once what is not confirmed")
    rollback.add_argument("id", metavar="ID", nargs="?", default="", help="only if it is this change")
    rollback.add_argument("--because", choices=(BY_HAND, EXPIRED, RESTART), default=BY_HAND, help=argparse.SUPPRESS)
    rollback.set_defaults(run=_run_rollback)
    for command in (arm, confirm, rollback):
        command.add_argument("--json", action="store_true", help="answer in JSON")


def _run_arm(options: argparse.Namespace) -> int:
    def arm() -> tuple[dict[str, t.Any], str]:
        answer = make_switch().arm(seconds=options.seconds, label=options.label, within=options.within)
        lines = [f"Armed. Within {answer['seconds']} seconds, in a new session: ssh-lifeline confirm {answer['id']}"]
        if answer["last_rollback"]:
            lines.insert(0, answer["last_rollback"]["text"])
        return answer, "\n".join(lines)

    return _answer(arm, as_json=options.json)


def _run_confirm(options: argparse.Namespace) -> int:
    def confirm() -> tuple[dict[str, t.Any], str]:
        return make_switch().confirm(options.id), "Confirmed."

    return _answer(confirm, as_json=options.json)


def _run_rollback(options: argparse.Namespace) -> int:
    def roll_back() -> tuple[dict[str, t.Any], str]:
        done = make_switch().roll_back(options.id, because=options.because)
        if done is None:
            return {"rolled_back": None}, "There is nothing to roll back."
        if done.problems:
            raise WebstackError(f"{done}.", rolled_back=_as_dict(done))
        # The journal has it all already, which is where systemd would write this too.
        return {"rolled_back": _as_dict(done)}, f"{done}." if options.because == BY_HAND else ""

    return _answer(roll_back, as_json=options.json)


def _answer(act: t.Callable[[], tuple[dict[str, t.Any], str]], *, as_json: bool) -> int:
    """Do something and print what came of it, for a program or for a person."""
    try:
        answer, text = act()
    except (WebstackError, OSError) as error:
        message = error.message if isinstance(error, WebstackError) else f"{error}. Nothing was changed."
        data = error.data if isinstance(error, WebstackError) else {}
        if "rolled_back" not in data:  # which is in the journal
            tell(message, priority=syslog.LOG_ERR)
        if as_json:
            say(json.dumps({"failed": True, "msg": message, **data}))
        else:
            complain(f"ssh-lifeline: {message}")
        return 1
    if as_json or text:
        say(json.dumps(answer) if as_json else text)
    return 0
