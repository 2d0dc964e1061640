"""The dead man's switch: a change is confirmed or rolled back, never both and never neither."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import rollback
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.netfilter import Filter
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.rollback import (
    EXPIRED,
    RESTART,
    ROLLING,
    DeadMansSwitch,
    Sessions,
    Timer,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.snapshot import Snapshot


class FakeHost:
    """A host whose whole state is one number; restoring fails as often as it is told to."""

    def __init__(self) -> None:
        self.state = 1
        self.failures: list[Exception | list[str]] = []

    def take(self) -> Snapshot:
        return Snapshot(kernel=Filter(xtables={}, nft={}), files={}, active=(), ports=(self.state,))

    def restore(self, wanted: Snapshot, *, aside: Path) -> tuple[list[str], list[str]]:
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return [], failure
        if self.state == wanted.ports[0]:
            return [], []
        aside.mkdir(parents=True)
        self.state = wanted.ports[0]
        return [f"state {self.state}"], []


class FakeTimer:
    """systemd's timers, by name, with the switch they are for."""

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.boot = False
        self.dies = False

    def start(self, name: str, *, switch: str, seconds: int) -> None:
        assert self.boot, "what outlives a restart comes first"
        assert seconds > 0
        if not self.dies:
            self.running[name] = switch

    def runs(self, name: str) -> bool:
        return name in self.running

    def stop(self, name: str) -> None:
        self.running.pop(name, None)

    def outlive_a_restart(self) -> None:
        self.boot = True


class FakeSessions:
    def __init__(self) -> None:
        self.alive: set[str] = set()

    def current(self) -> str:
        return "the session"

    def lives(self, session: str) -> bool:
        return session in self.alive


@dataclasses.dataclass
class World:
    switch: DeadMansSwitch
    sessions: FakeSessions
    host: FakeHost
    timer: FakeTimer
    folder: Path

    def arm(self, label: str = "a change", *, within: str = "") -> dict[str, t.Any]:
        return self.switch.arm(seconds=60, label=label, within=within)

    def armed(self) -> dict[str, t.Any] | None:
        file = self.folder / "armed"
        found: dict[str, t.Any] | None = json.loads(file.read_text()) if file.exists() else None
        return found

    def expire(self) -> list[rollback.Rollback | None]:
        """Let every timer go off, which is the end of it."""
        gone, self.timer.running = list(self.timer.running.values()), {}
        return [self.switch.roll_back(switch, because=EXPIRED) for switch in gone]

    def give_up(self) -> list[rollback.Rollback | None]:
        """Let every timer go off until there is none."""
        done = self.expire()
        while self.timer.running:
            self.expire()
        return done


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(rollback.time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(rollback, "tell", lambda _text, **_options: None)
    host, timer, sessions, folder = FakeHost(), FakeTimer(), FakeSessions(), tmp_path / "rollback"
    made = DeadMansSwitch(
        host=t.cast(t.Any, host),
        timer=t.cast(t.Any, timer),
        sessions=t.cast(t.Any, sessions),
        folder=folder,
        aside=tmp_path / "aside",
    )
    return World(switch=made, sessions=sessions, host=host, timer=timer, folder=folder)


# -- one change


def test_a_confirmed_change_stays_and_leaves_nothing_behind(world: World) -> None:
    answer = world.arm()
    world.host.state = 2
    assert world.switch.confirm(answer["id"]) == {"id": answer["id"], "confirmed": True, "still_armed": False}
    assert (world.armed(), world.timer.running, world.expire(), world.host.state) == (None, {}, [], 2)
    assert [path.name for path in world.folder.iterdir() if path.is_dir()] == []


def test_to_confirm_twice_is_no_mistake(world: World) -> None:
    answer = world.arm()
    world.switch.confirm(answer["id"])
    assert world.switch.confirm(answer["id"])["confirmed"]


def test_without_a_confirmation_the_host_goes_back(world: World) -> None:
    answer = world.arm("new rules")
    world.host.state = 2
    (done,) = world.give_up()
    assert done is not None
    assert (world.host.state, world.armed(), world.timer.running) == (1, None, {})
    assert (done.label, done.done, done.problems) == ("new rules", ("state 1",), ())
    assert done.reason == "nobody confirmed it over a new connection within 60 seconds"
    with pytest.raises(WebstackError, match=r"^new rules was rolled back at .*: nobody confirmed it") as caught:
        world.switch.confirm(answer["id"])
    assert caught.value.data["rolled_back"]["ids"] == (answer["id"],)


def test_a_rollback_is_told_to_the_next_run_once(world: World) -> None:
    world.arm("first")
    world.expire()
    told = world.arm("second")
    assert told["last_rollback"]["label"] == "first"
    assert "first was rolled back at " in told["last_rollback"]["text"]
    world.switch.confirm(told["id"])
    assert world.arm("third")["last_rollback"] is None


def test_a_timer_of_a_switch_that_is_confirmed_does_nothing(world: World) -> None:
    first = world.arm()
    world.switch.confirm(first["id"])
    second = world.arm()
    assert world.switch.roll_back(first["id"], because=EXPIRED) is None
    assert world.switch.confirm(second["id"])["confirmed"]


def test_an_unknown_switch_is_not_confirmed(world: World) -> None:
    world.arm()
    with pytest.raises(WebstackError, match=r"^No change is known by the name nonsense\.$"):
        world.switch.confirm("nonsense")
    assert world.armed()


@pytest.mark.parametrize("seconds", [0, 4, 3601])
def test_a_time_that_is_none_is_refused(world: World, seconds: int) -> None:
    with pytest.raises(WebstackError, match=r"Set ssh_rollback_seconds to something between 5 and 3600\.$"):
        world.switch.arm(seconds=seconds, label="")
    assert world.armed() is None


def test_without_its_timer_a_switch_is_not_armed(world: World) -> None:
    world.timer.dies = True
    with pytest.raises(WebstackError, match=r"that would roll back\. Nothing was changed\."):
        world.arm()
    assert world.armed() is None


# -- restarts and rollbacks that are cut off


def test_a_restart_rolls_back_at_once(world: World) -> None:
    world.arm()
    world.host.state = 2
    world.timer.running.clear()
    done = world.switch.roll_back(because=RESTART)
    assert done is not None
    assert done.reason == "the host was restarted before it was confirmed"
    assert world.host.state == 1


def test_the_unit_for_the_boot_does_nothing_as_long_as_there_was_none(world: World) -> None:
    answer = world.arm()
    assert world.switch.roll_back(because=RESTART) is None
    assert world.switch.confirm(answer["id"])["confirmed"]


def begin_to_roll_back(world: World) -> None:
    """Leave what a rollback leaves that is killed."""
    armed = world.armed()
    assert armed
    (world.folder / "armed").write_text(json.dumps({**armed, "state": ROLLING}))


def test_a_rollback_that_began_wins(world: World) -> None:
    answer = world.arm()
    world.host.state = 2
    begin_to_roll_back(world)
    with pytest.raises(WebstackError, match="an earlier rollback had been cut off"):
        world.switch.confirm(answer["id"])
    assert (world.host.state, world.armed()) == (1, None)


def test_arm_ends_a_rollback_that_was_cut_off_first(world: World) -> None:
    world.arm("first")
    world.host.state = 2
    begin_to_roll_back(world)
    answer = world.arm("second")
    assert answer["last_rollback"]["label"] == "first"
    assert answer["taken_over"] is None
    assert world.host.state == 1


@pytest.mark.parametrize("failure", [["nft: refused"], OSError("disk full"), KeyError("files")])
def test_a_rollback_tries_again(world: World, failure: Exception | list[str]) -> None:
    world.arm()
    world.host.state, world.host.failures = 2, [failure, failure]
    (done,) = world.expire()
    assert done is not None
    assert (world.host.state, done.problems) == (1, ())


def test_what_cannot_be_put_back_is_told_and_does_not_block_the_next_run(world: World) -> None:
    answer = world.arm()
    world.host.failures = [["nft: refused"]] * rollback.ATTEMPTS
    (done,) = world.expire()
    assert done is not None
    assert str(done).endswith("Not all of it could be: nft: refused")
    with pytest.raises(WebstackError, match="Not all of it could be: nft: refused"):
        world.switch.confirm(answer["id"])
    assert world.arm()["taken_over"] is None


# -- runs that are slower than their time


@pytest.fixture
def slow(world: World) -> World:
    """A run whose session is still open when its time is over, and that closes SSH only then."""
    world.arm("slow")
    world.sessions.alive = {"the session"}
    world.host.state = 2
    world.expire()
    assert world.host.state == 1
    world.host.state = 3
    return world


def test_what_a_slow_run_does_after_the_rollback_is_taken_back_too(slow: World) -> None:
    slow.expire()
    assert slow.host.state == 1
    slow.host.state = 4
    slow.expire()
    assert slow.host.state == 1
    assert slow.armed()


def test_a_slow_run_is_told_and_then_let_go(slow: World) -> None:
    armed = slow.armed()
    assert armed
    with pytest.raises(WebstackError, match=r"^slow was rolled back at "):
        slow.switch.confirm(armed["id"])
    assert (slow.host.state, slow.armed(), slow.timer.running) == (1, None, {})


def test_a_command_that_was_under_way_at_the_rollback_is_taken_back_too(world: World) -> None:
    world.arm()
    world.host.state = 2
    world.expire()
    world.host.state = 3
    world.expire()
    assert (world.host.state, world.armed(), world.timer.running) == (1, None, {})


def test_the_guard_over_a_run_ends_with_its_session(slow: World) -> None:
    slow.sessions.alive.clear()
    slow.expire()
    assert (slow.host.state, slow.armed(), slow.timer.running) == (1, None, {})


def test_the_next_run_does_not_take_over_from_one_that_was_rolled_back(slow: World) -> None:
    answer = slow.arm("next")
    assert answer["taken_over"] is None
    assert answer["last_rollback"]["label"] == "slow"
    slow.sessions.alive.clear()
    slow.host.state = 5
    slow.expire()
    assert slow.host.state == 3, "the state that the next run found"


def test_the_guard_over_a_run_does_not_last_for_ever(slow: World) -> None:
    for _round in range(rollback.ROUNDS):
        slow.expire()
    assert (slow.armed(), slow.timer.running) == (None, {})


# -- several changes


def test_a_run_takes_over_from_one_that_died_and_goes_back_to_before_both(world: World) -> None:
    first = world.arm("first")
    world.host.state = 2
    second = world.arm("second")
    world.host.state = 3
    assert second["taken_over"]["label"] == "first"
    assert list(world.timer.running.values()) == [second["id"]]
    with pytest.raises(WebstackError, match=r"^Another run has taken over since \(second, "):
        world.switch.confirm(first["id"])
    world.expire()
    assert world.host.state == 1
    for answer in (first, second):
        with pytest.raises(WebstackError, match=r"^second was rolled back"):
            world.switch.confirm(answer["id"])


def test_who_takes_over_confirms_both(world: World) -> None:
    first = world.arm("first")
    second = world.arm("second")
    world.host.state = 3
    world.switch.confirm(second["id"])
    assert world.switch.confirm(first["id"])["confirmed"]
    assert (world.expire(), world.host.state) == ([], 3)


def test_a_change_within_another_takes_one_confirmation_each(world: World) -> None:
    outer = world.arm("outer")
    inner = world.arm("inner", within=outer["id"])
    assert inner["id"] == outer["id"]
    assert len(world.timer.running) == 1
    assert world.switch.confirm(inner["id"])["still_armed"]
    world.host.state = 2
    assert not world.switch.confirm(outer["id"])["still_armed"]
    assert world.expire() == []


def test_a_change_within_another_goes_back_to_before_both(world: World) -> None:
    outer = world.arm("outer")
    world.host.state = 2
    world.switch.confirm(world.arm("inner", within=outer["id"])["id"])
    world.host.state = 3
    world.expire()
    assert world.host.state == 1


def test_a_change_within_one_that_is_over_is_one_of_its_own(world: World) -> None:
    first = world.arm("first")
    world.switch.confirm(first["id"])
    second = world.arm("second", within=first["id"])
    assert second["id"] != first["id"]
    assert not world.switch.confirm(second["id"])["still_armed"]


def test_a_run_does_not_go_on_with_a_change_that_was_rolled_back_meanwhile(world: World) -> None:
    outer = world.arm("outer")
    world.expire()
    with pytest.raises(WebstackError, match=r"^outer was rolled back at "):
        world.arm("inner", within=outer["id"])
    assert world.armed() is None


def test_a_run_that_knows_of_the_rollback_may_try_something_else(world: World) -> None:
    first = world.arm("first")
    world.expire()
    with pytest.raises(WebstackError):
        world.switch.confirm(first["id"])
    second = world.arm("second", within=first["id"])
    assert world.switch.confirm(second["id"])["confirmed"]


@pytest.mark.parametrize("dies_at", ["start", "save", "stop"])
def test_whatever_a_takeover_is_killed_between_a_timer_is_there_for_what_is_armed(
    world: World, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_values: object, **_named: object) -> None:
        raise KilledError

    world.arm("first")
    place = {"start": (world.timer, "start"), "save": (world.switch, "_save"), "stop": (world.timer, "stop")}[dies_at]
    with monkeypatch.context() as patched:
        patched.setattr(*place, die)
        with pytest.raises(KilledError):
            world.arm("second")
    armed = world.armed()
    assert armed
    assert world.timer.running[armed["timer"]] == armed["id"]
    world.host.state = 2
    world.give_up()
    assert (world.host.state, world.armed()) == (1, None)


# -- systemd and sshd


def test_a_session_is_known_by_its_process_and_its_beginning() -> None:
    class FakeProc:
        begins = "4711"

        def ancestors(self, _pid: int) -> list[int]:
            return [9, 8, 7]

        def comm(self, pid: int) -> str:
            return {9: "python3", 8: "sshd-session", 7: "sshd"}[pid]

        def started(self, pid: int) -> str:
            return self.begins if pid == 8 else ""

    proc = FakeProc()
    sessions = Sessions(proc=t.cast(t.Any, proc))
    assert sessions.current() == "8 4711"
    assert sessions.lives("8 4711")
    assert not sessions.lives("")
    proc.begins = "4712"
    assert not sessions.lives("8 4711"), "another process of the same number"


class FakeRunner:
    def __init__(self, answers: dict[str, tuple[int, str]]) -> None:
        self.answers = answers
        self.calls: list[list[str]] = []

    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        del stdin, check
        self.calls.append(list(argv))
        rc, stdout = next(
            (answer for start, answer in self.answers.items() if " ".join(argv).startswith(start)), (0, "")
        )
        return CommandResult(argv=tuple(argv), rc=rc, stdout=stdout, stderr="")


def test_the_time_does_not_begin_anew_when_units_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback.time, "clock_gettime", lambda _clock: 1000.0)
    runner = FakeRunner({"systemctl show": (0, "400000000\n")})
    Timer(runner=runner).start("name", switch="id", seconds=60)
    command = runner.calls[-1]
    assert "--on-startup=660.000" in command
    assert "--timer-property=AccuracySec=100ms" in command
    assert command[-4:] == ["rollback", "id", "--because", "expired"]


def test_where_the_start_of_systemd_is_not_known_the_time_counts_from_now() -> None:
    runner = FakeRunner({"systemctl show": (1, "")})
    Timer(runner=runner).start("name", switch="id", seconds=60)
    assert "--on-active=60" in runner.calls[-1]


def test_the_unit_for_the_boot_is_written_and_enabled_once(tmp_path: Path) -> None:
    unit, link = tmp_path / "ssh-lifeline-rollback.service", tmp_path / "wants" / "ssh-lifeline-rollback.service"
    link.parent.mkdir()
    runner = FakeRunner({})
    timer = Timer(runner=runner, unit=unit, link=link)
    timer.outlive_a_restart()
    link.symlink_to(unit)
    timer.outlive_a_restart()
    assert runner.calls == [["systemctl", "enable", "--quiet", "--no-reload", unit.name]]
    assert "ConditionPathExists=/var/lib/ssh-lifeline/rollback/armed\n" in unit.read_text()
