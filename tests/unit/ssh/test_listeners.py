from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh import listeners
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.listeners import (
    Listener,
    parse_endpoint,
    parse_socket_unit,
    parse_sshd_dump,
    reachable_ports,
    running_listeners,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.procfs import (
    Proc,
    parse_proc_net_tcp,
    plain_address,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.session import find_session, parse_ssh_connection

FIXTURES = Path(__file__).parents[1] / "fixtures" / "ssh"
# Parent, name, command line, environment, inodes of sockets.
Row = tuple[int, str, str, dict[str, str], set[str]]
SUITES = ["debian-12", "debian-13"]


class FakeProc(Proc):
    """Processes as a table by their ids."""

    def __init__(self, table: dict[int, Row], suite: str) -> None:
        super().__init__(root=Path("/nowhere"))
        self.table = table
        self.suite = suite

    def pids(self) -> list[int]:
        return list(self.table)

    def parent(self, pid: int) -> int:
        return self.table[pid][0]

    def comm(self, pid: int) -> str:
        return self.table[pid][1]

    def command_line(self, pid: int) -> str:
        return self.table[pid][2]

    def environment(self, pid: int) -> dict[str, str]:
        return self.table[pid][3]

    def socket_inodes(self, pid: int) -> set[str]:
        return self.table[pid][4]

    def sockets(self) -> list[t.Any]:
        directory = FIXTURES / self.suite
        return [
            socket
            for name in ("proc-net-tcp", "proc-net-tcp6")
            for socket in parse_proc_net_tcp((directory / name).read_text(encoding="utf-8"))
        ]


# As seen on Debian 12 while Ansible was connected with sudo.
TITLE = "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"
PROCESSES: dict[int, Row] = {
    52: (1, "sshd", TITLE, {}, {"264989", "264991"}),
    56: (52, "sshd", "sshd: admin [priv]", {}, {"267264"}),
    69: (56, "sshd", "sshd: admin@notty", {}, {"267264"}),
    80: (69, "sh", "sh -c sudo python3", {"SSH_CONNECTION": "10.89.3.1 47122 10.89.3.11 22"}, set()),
    81: (80, "sudo", "sudo python3", {}, set()),
    82: (81, "python3", "python3", {}, set()),
}


@pytest.mark.parametrize("suite", SUITES)
def test_what_sshd_is_configured_for(suite: str) -> None:
    found = parse_sshd_dump((FIXTURES / suite / "sshd-T").read_text(encoding="utf-8"))
    assert {(item.address, item.port) for item in found} == {("0.0.0.0", 22), ("::", 22)}


@pytest.mark.parametrize("suite", SUITES)
def test_a_socket_unit_that_is_off_does_not_count(suite: str) -> None:
    text = (FIXTURES / suite / "systemctl-show-ssh.socket").read_text(encoding="utf-8")
    assert parse_socket_unit(text) == []
    on = text.replace("ActiveState=inactive", "ActiveState=active")
    assert parse_socket_unit(on) == [Listener(port=22, address="::", source="socket_unit")]


def test_only_the_daemon_listens_for_ssh() -> None:
    forwarding: Row = (1, "sshd", "sshd: admin@pts/0", {}, {"264991"})
    proc = FakeProc({52: (1, "sshd", TITLE, {}, {"264989"}), 99: forwarding}, "debian-12")
    assert running_listeners(proc=proc) == [Listener(port=22, address="0.0.0.0", source="running")]


def test_a_listener_for_the_host_itself_is_no_way_in() -> None:
    found = [
        Listener(22, "0.0.0.0", "running"),
        Listener(2222, "127.0.0.1", "running"),
        Listener(2223, "::1", "running"),
    ]
    assert reachable_ports(listeners=found) == [22]


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1:22", ("192.0.2.1", 22)),
        ("[2001:db8::1]:2222", ("2001:db8::1", 2222)),
        ("[::ffff:192.0.2.1]:22", ("192.0.2.1", 22)),
        ("22", ("::", 22)),
        ("*:22", ("::", 22)),
        ("/run/ssh-unix-local/socket", None),
        ("vsock::22", None),
    ],
)
def test_endpoints(text: str, endpoint: tuple[str, int] | None) -> None:
    assert parse_endpoint(text) == endpoint


def test_addresses_are_plain() -> None:
    assert plain_address("fe80::1%eth0") == "fe80::1"
    assert plain_address("::ffff:192.0.2.1") == "192.0.2.1"


def test_a_broken_configuration_leaves_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> t.Any:  # noqa: ARG002 the protocol
            assert not check
            return type("Result", (), {"stdout": "", "rc": 255})

    monkeypatch.setattr(listeners, "SSHD", __file__)
    found = listeners.find_listeners(runner=Broken(), proc=FakeProc(PROCESSES, "debian-12"))
    assert {item.source for item in found} == {"running"}


def test_sudo_does_not_hide_the_session() -> None:
    session = find_session(environment={}, proc=FakeProc(PROCESSES, "debian-12"), pid=82)
    assert session
    assert (session.address, session.server_port, session.source) == ("10.89.3.1", 22, "environment")


def test_sshd_itself_knows_its_peer() -> None:
    silent: dict[int, Row] = {pid: (*row[:3], {}, row[4]) for pid, row in PROCESSES.items()}
    session = find_session(environment={}, proc=FakeProc(silent, "debian-12"), pid=82)
    assert session
    assert (session.address, session.server_address, session.source) == ("10.89.3.1", "10.89.3.11", "socket")


def test_a_local_process_has_no_session() -> None:
    table: dict[int, Row] = {5: (1, "python3", "python3", {}, set())}
    assert find_session(environment={"SSH_CONNECTION": "nonsense"}, proc=FakeProc(table, "debian-12"), pid=5) is None


def test_an_address_with_a_zone_is_understood() -> None:
    session = parse_ssh_connection("fe80::1%eth0 50000 fe80::2%eth0 22")
    assert session
    assert session.address == "fe80::1"


def test_proc_is_read_as_it_is(tmp_path: Path) -> None:
    process = tmp_path / "7"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("sshd\n", encoding="utf-8")
    (process / "stat").write_text("7 (a) 1 (b) S 3 7 7", encoding="utf-8")
    (process / "environ").write_bytes(b"A=1\0B=x=y\0")
    (process / "fd" / "3").symlink_to("socket:[42]")
    proc = Proc(root=tmp_path)
    assert proc.pids() == [7]
    assert (proc.comm(7), proc.parent(7), proc.environment(7)) == ("sshd", 3, {"A": "1", "B": "x=y"})
    assert proc.socket_inodes(7) == {"42"}
    assert proc.socket_inodes(8) == set()
