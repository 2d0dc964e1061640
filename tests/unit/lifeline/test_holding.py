"""What the guard holds beside filters and files: mounts, crowds, tables of others, queues, contests, its own key."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import (
    crowd,
    daemon,
    guard,
    login,
    memory,
    mounts,
    network,
    probe,
    report,
    sockets,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import TOO_LONG

MOUNTINFO = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
25 22 0:24 / /run rw,nosuid,nodev shared:2 - tmpfs tmpfs rw,size=2468408k
40 22 254:2 / /home rw,relatime shared:9 - ext4 /dev/vdb1 rw
41 22 254:3 / /srv/my\\040data ro,noexec shared:9 - ext4 /dev/vdc1 ro
"""
ROOT, RUN, HOME = "/ ext4 /dev/vda1 / -", "/run tmpfs tmpfs / nosuid,nodev", "/home ext4 /dev/vdb1 / -"
OVER = "/home tmpfs fault / -"
PATHS = ["/etc/nologin", "/home/admin/.ssh", "/run/sshd"]


def words(*, now: list[str]) -> list[str]:
    return [" ".join(argv) for argv in mounts.commands(good=[ROOT, RUN, HOME], now=now)]


# -- mounts


def test_the_mounts_that_files_of_a_login_lie_on() -> None:
    lines = mounts.parse(MOUNTINFO)
    assert [line for line in lines if mounts.above(line, PATHS)] == [ROOT, RUN, HOME]
    assert mounts.above(lines[3], ["/srv/my data/x"])


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ([ROOT, RUN, HOME], []),
        ([ROOT, RUN, HOME, OVER], ["umount --lazy /home"]),
        ([ROOT, RUN], ["mount /home", "mount -t ext4 /dev/vdb1 /home"]),
        (
            ["/ ext4 /dev/vda1 / ro", RUN, HOME],
            ["mount -o remount,rw,exec,suid,dev /", "mount -o remount,bind,rw,exec,suid,dev /"],
        ),
        (
            [ROOT, "/run tmpfs tmpfs / ro,nosuid,nodev", HOME],
            ["mount -o remount,rw,exec,nosuid,nodev /run", "mount -o remount,bind,rw,exec,nosuid,nodev /run"],
        ),
    ],
)
def test_the_way_back_to_the_mounts_of_before(now: list[str], expected: list[str]) -> None:
    assert words(now=now) == expected


def test_a_copy_that_the_guard_has_mounted_over_a_file_is_no_strange_mount() -> None:
    pin = "50 25 0:24 /ssh-lifeline/pinned/0a1b /home/admin/.ssh/authorized\\040keys ro - tmpfs tmpfs rw\n"
    assert mounts.parse(MOUNTINFO + pin) == mounts.parse(MOUNTINFO)
    assert mounts.pinned(MOUNTINFO + pin) == ["/home/admin/.ssh/authorized keys"]


# -- crowds


def people(count: int, *, session: int = 0, name: str = "sleep", place: str = "/a") -> list[crowd.Member]:
    return [crowd.Member(number, session or number, name, place) for number in range(1000, 1000 + count)]


def test_a_session_that_has_taken_most_of_the_host_is_a_crowd() -> None:
    others = people(120, name="nginx", place="/b")
    assert crowd.largest([*people(400, session=7), *others]) == people(400, session=7)


def test_processes_of_one_name_in_one_place_are_a_crowd_too() -> None:
    assert crowd.largest([*people(400), *people(50, name="nginx", place="/b")]) == people(400)


def test_few_are_no_crowd() -> None:
    kinds = [people(150, session=number, name=f"worker-{number}") for number in range(1, 4)]
    assert crowd.largest([]) == crowd.largest(people(99, session=7)) == []
    assert crowd.largest([member for kind in kinds for member in kind]) == []


def test_a_name_may_hold_anything() -> None:
    assert crowd.parse_stat("7 (a) (b) S 1 7 70 0 -1 4194304 0\n") == ("a) (b", 70, 4194304)


# -- tables that belong to a process


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def test_who_owns_a_table() -> None:
    owned = attribute(1, b"fault\0") + attribute(7, (4242).to_bytes(4, "big"))
    free = attribute(1, b"filter\0")
    data = message(10 << 8, struct.pack("=BBH", 1, 0, 0) + owned) + message(
        10 << 8, struct.pack("=BBH", 2, 0, 0) + free
    )
    assert sockets.parse_tables(data) == ({("inet", "fault"): 4242}, False)
    assert sockets.parse_tables(message(sockets.NLMSG_DONE, bytes(4))) == ({}, True)


def test_the_socket_behind_a_netlink_port() -> None:
    text = (
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
        "0000000000000000 0   4242       00000000 0        0        0     2        0        11\n"
        "0000000000000000 12  4242       00000000 0        0        0     2        0        22\n"
    )
    assert sockets.netlink_inode(4242, text) == "22"
    assert sockets.netlink_inode(1, text) == ""


# -- what lies ahead of the probe


@pytest.mark.parametrize(("version", "size"), [(4, 14 + 20 + 20), (6, 14 + 40 + 20)])
def test_a_frame_as_a_client_sends_it(version: int, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "address").write_text("02:00:00:00:00:0b\n")
    monkeypatch.setattr(probe, "SYSFS", tmp_path.parent)
    ends = {4: ("192.0.2.11", "192.0.2.9"), 6: ("2001:db8::b", "2001:db8::9")}[version]
    frame = probe.syn_frame(way=probe.Way(version, tmp_path.name, *ends, True), port=22)
    assert len(frame) == size
    assert frame[:6] == bytes.fromhex("02000000000b")
    assert struct.unpack("!H", frame[-18:-16]) == (22,)
    if version == 4:
        assert probe.checksum(frame[14:34]) == 0
        assert frame[26:30] == socket.inet_aton("192.0.2.9")


# -- the network


def test_the_kernels_own_routes_come_back_last() -> None:
    local = "local 192.0.2.11 dev eth0 table local proto kernel scope host src 192.0.2.11"
    good = {"route4": ["default via 192.0.2.1 dev eth0", local]}
    first = network.without_local(good, {"route4": []})
    assert network.commands(good=first, now={}) == [["ip", "-4", "route", "replace", *good["route4"][0].split()]]
    assert network.commands(good=good, now={})[-1] == ["ip", "-4", "route", "replace", *local.split()]


def test_a_hardware_address_that_cannot_be_changed_in_flight() -> None:
    good, now = ({"link": [f"eth0 address 02:00:00:00:00:{end}"]} for end in ("0b", "99"))
    assert network.down_and_up(good=good, now=good) == []
    assert [argv[5:] for argv in network.down_and_up(good=good, now=now)] == [
        ["down"],
        ["address", "02:00:00:00:00:0b"],
        ["up"],
    ]


def test_other_namespaces(tmp_path: Path) -> None:
    for folder in ("proc/self/ns", "proc/1/ns", "proc/7/ns", "proc/8/ns", "proc/9/ns", "run/netns"):
        (tmp_path / folder).mkdir(parents=True)
    for kind in ("net", "user"):
        (tmp_path / "proc/self/ns" / kind).touch()
        (tmp_path / "proc/1/ns" / kind).hardlink_to(tmp_path / "proc/self/ns" / kind)
    for number in ("7", "8"):
        (tmp_path / "proc" / number / "ns/user").hardlink_to(tmp_path / "proc/self/ns/user")
    (tmp_path / "run/netns/fault").touch()
    (tmp_path / "proc/7/ns/net").hardlink_to(tmp_path / "run/netns/fault")
    (tmp_path / "proc/8/ns/net").touch()
    # Whoever is no root may make one inside a user namespace of his own, and put a device of any address there.
    (tmp_path / "proc/9/ns/net").touch()
    (tmp_path / "proc/9/ns/user").touch()
    assert network.other_namespaces(tmp_path) == [tmp_path / "run/netns/fault", tmp_path / "proc/8/ns/net"]


# -- logins, and who undoes what was mended


def test_the_key_that_most_clients_know() -> None:
    keys = ["ssh-rsa AAAA root@x", "ssh-ed25519 BBBB root@x", "ssh-dss CCCC", ""]
    assert login.known_host(keys) == "ssh-lifeline ssh-ed25519 BBBB\n"
    assert login.known_host(["ssh-rsa AAAA"]) == "ssh-lifeline ssh-rsa AAAA\n"
    assert login.known_host(["ssh-dss CCCC"]) == ""


def test_a_contest_is_many_repairs_of_the_same_within_a_short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(memory.time, "monotonic", lambda: now[0])
    contest = memory.Contest()
    for now[0] in (0.0, 0.5, 1.0):  # the first two are one
        assert [contest.note("daemon"), contest.note("other")] == [False, False]
    now[0] = 29.0
    assert contest.note("daemon")
    now[0] = 58.0
    assert contest.is_on("daemon")
    now[0] = 60.0
    assert not contest.is_on("daemon")


def test_what_worked_in_between_is_undone_when_it_is_mended_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(memory.time, "monotonic", lambda: now[0])
    contest = memory.Contest()
    contest.note("daemon")
    contest.prove()
    now[0] = 7.0
    assert contest.note("daemon")
    assert contest.has_seen("daemon", None)
    # Long after, it is another fault.
    now[0] = 100.0
    contest.prove()
    assert not contest.has_seen("daemon", None)
    assert not contest.note("daemon")


def test_folders_of_both_kinds_are_watched_for_all_names_that_count() -> None:
    etc, usr = Path("/etc"), Path("/usr")
    merged = guard.merge_folders({etc: {"passwd"}, usr: None}, {etc: {"shadow"}, usr: {"bin"}})
    assert merged == {etc: {"passwd", "shadow"}, usr: None}


# -- how long a login may take


class Client:
    """A client that takes so many seconds, and gives up when it may take no longer."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.allowed: list[float] = []

    def log_in(self, *, seconds: float, **_given: object) -> CommandResult:
        self.allowed.append(seconds)
        self.clock[0] += min(self.seconds, seconds)
        done = self.seconds <= seconds
        return CommandResult(argv=("ssh",), rc=0 if done else TOO_LONG, stdout=login.WORD if done else "", stderr="")


def test_a_login_may_take_some_times_as_long_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    client = Client(clock, 0.3)
    monkeypatch.setattr(login.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(login.trial, "log_in", client.log_in)
    nobody: t.Any = None
    logins = login.Logins(runner=nobody, accounts=("admin",), port=22, is_open=lambda: True)

    def judge() -> str:
        return logins._judge([], lambda: nobody)

    assert [judge(), judge()] == ["", ""]
    client.seconds = 3.0  # a moment of load
    assert judge() == ""
    client.seconds = 600.0
    assert judge() != ""
    # Long as nothing is known; thrice the usual, but two seconds at least, then, and twice that once more.
    assert client.allowed == pytest.approx([10.0, 2.0, 2.0, 4.0, 9.0, 18.0])


def test_a_login_is_not_tried_for_longer_while_ssh_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client([0.0], 600.0)
    monkeypatch.setattr(login.trial, "log_in", client.log_in)
    nobody: t.Any = None
    logins = login.Logins(runner=nobody, accounts=("admin",), port=22, is_open=lambda: False)
    assert logins._judge([], lambda: nobody) != ""
    assert client.allowed == [login.LONGEST]


@pytest.mark.parametrize(
    ("rc", "stderr", "may"), [(0, "", True), (1, "", False), (1, "setpriv: initgroups failed", True), (127, "", True)]
)
def test_keys_that_sshd_may_not_read_as_their_user(rc: int, stderr: str, may: bool) -> None:
    """Root reads them in a folder that lets nobody else in."""
    ran: list[t.Sequence[str]] = []

    def run(argv: t.Sequence[str], *, check: bool) -> CommandResult:
        assert not check
        ran.append(argv)
        return CommandResult(argv=tuple(argv), rc=rc, stdout="", stderr=stderr)

    logins = login.Logins(
        runner=t.cast("t.Any", types.SimpleNamespace(run=run)), accounts=("admin",), port=22, is_open=lambda: True
    )
    account = t.cast("t.Any", types.SimpleNamespace(pw_uid=1000, pw_gid=1001))
    assert logins._may_read(account, Path("/home/admin/.ssh/authorized_keys")) == may
    assert ran == [
        ["setpriv", "--reuid=1000", "--regid=1001", "--init-groups", "test", "-r", "/home/admin/.ssh/authorized_keys"]
    ]


def test_a_stopped_service_that_logins_wait_for_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    helper, other = (subprocess.Popen(["sleep", "60"]) for _each in range(2))
    units = {helper.pid: "systemd-logind.service", other.pid: "shop.service"}
    monkeypatch.setattr(daemon, "unit_at", lambda pid: units[pid])
    proc = t.cast("t.Any", types.SimpleNamespace(pids=lambda: list(units)))
    try:
        for process in (helper, other):
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
        held = daemon.Daemon(runner=t.cast("t.Any", None), settings=t.cast("t.Any", None), proc=proc)
        (told,) = held.wake_helpers()
        assert told.startswith(f"systemd-logind.service (process {helper.pid}), which a login waits for, was stopped")
        assert held.wake_helpers() == []
    finally:
        for process in (helper, other):
            process.kill()
            process.wait()


class Systemd:
    """Notes commands; sshd refuses its configuration where it is told to."""

    def __init__(self, *, refuses: bool) -> None:
        self.refuses = refuses
        self.ran: list[str] = []

    def run(self, argv: t.Sequence[str], **_more: t.Any) -> CommandResult:
        self.ran.append(" ".join(argv))
        return CommandResult(argv=tuple(argv), rc=int(self.refuses and "-t" in argv), stdout="", stderr="")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., tuple[bool, Systemd]]:
    monkeypatch.setattr(daemon, "STAND_IN_FOLDER", tmp_path / "server")
    monkeypatch.setattr(daemon, "STAND_IN_FLAG", tmp_path / "stand-in")
    monkeypatch.setattr(daemon, "RUNTIME_FOLDER", tmp_path / "sshd")

    def run(*, refuses: bool, listens: bool) -> tuple[bool, Systemd]:
        systemd = Systemd(refuses=refuses)
        held = daemon.Daemon(runner=systemd, settings=t.cast("t.Any", None))
        monkeypatch.setattr(held, "_orphans", list)
        monkeypatch.setattr(held, "_wait_for_listener", lambda *_unit: listens)
        monkeypatch.setattr(held, "start", lambda unit: systemd.run(["start", unit]).rc == 0)
        return held.stand_in({}, instead_of="ssh.socket"), systemd

    return run


def test_the_real_server_is_not_stopped_for_one_that_would_not_start(stand_in: t.Any) -> None:
    done, systemd = stand_in(refuses=True, listens=False)
    assert not done
    assert not any("stop" in command for command in systemd.ran)
    assert not daemon.STAND_IN_FLAG.exists()


def test_the_real_server_comes_back_where_the_other_does_not_listen(stand_in: t.Any) -> None:
    done, systemd = stand_in(refuses=False, listens=False)
    assert not done
    assert systemd.ran[-1] == "start ssh.socket"
    assert not daemon.STAND_IN_FLAG.exists()


def test_a_server_of_our_own_takes_the_place(stand_in: t.Any) -> None:
    done, systemd = stand_in(refuses=False, listens=True)
    assert done
    assert systemd.ran[1].startswith("systemctl stop ssh.socket ssh.service")
    assert daemon.STAND_IN_FLAG.exists()


def test_where_no_settings_work_accounts_come_in_by_key_alone() -> None:
    lines = login.bare_settings(ports=(22, 2222), accounts=("admin", "root")).splitlines()
    assert lines[:3] == ["Port 22", "Port 2222", "AllowUsers admin root"]
    assert {"PasswordAuthentication no", "KbdInteractiveAuthentication no"} <= set(lines)


def test_the_guard_looks_more_often_while_somebody_stops_the_server_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(memory.time, "monotonic", lambda: now[0])
    held = t.cast("t.Any", guard.Guard.__new__(guard.Guard))
    held._contest = memory.Contest()
    assert held.tick == guard.TICK_SECONDS
    for _repair in range(memory.CONTEST_REPAIRS):
        now[0] += 3.0
        held._contest.note("daemon")
    assert held.tick == guard.HURRIED_SECONDS
    now[0] += memory.CONTEST_SECONDS
    assert held.tick == guard.TICK_SECONDS


def test_a_restart_that_did_not_help_is_not_made_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    started: list[str] = []

    def start(reason: str, *, restart: bool) -> bool:
        started.append(reason)
        return restart

    monkeypatch.setattr(guard.time, "monotonic", lambda: now[0])
    held = t.cast("t.Any", guard.Guard.__new__(guard.Guard))
    held._voice, held._next_restart = report.Report(quiet=True), 0.0
    held._start = start
    held._restore_files = lambda reason: reason
    held._hold_firewall = held._mend_tables = lambda: False
    held._mend_units = lambda words: not words
    held._way_in = types.SimpleNamespace(
        closed=lambda **_patience: {4: probe.SILENT},
        **{f"mend_{name}": lambda: False for name in ("ingress", "ipsec", "network", "probe")},
    )
    for _round in range(5):
        held._reopen({4: probe.SILENT})
    assert len(started) == 1
    now[0] += guard.VAIN_SECONDS + 1
    held._reopen({4: probe.SILENT})
    assert len(started) == 2
