"""Files and units as they were, and the way back to them."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import snapshot
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.snapshot import (
    Host,
    Snapshot,
    parse_active,
    read_files,
    running,
)

# systemctl show of Debian 12.
SHOWN = """\
Id=ssh.service
ActiveState=active

Id=ssh.socket
ActiveState=inactive

Id=ufw.service
ActiveState=inactive
"""


class NoListeners:
    """A /proc without sockets and processes."""

    def __getattr__(self, _name: str) -> t.Any:
        return lambda *_values: ()


class Systemd:
    def __init__(self, shown: str = SHOWN, *, broken: t.Collection[str] = ()) -> None:
        self.shown = shown
        self.broken = broken
        self.calls: list[str] = []

    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        del stdin, check
        command = " ".join(argv)
        self.calls.append(command)
        is_show = command.startswith("systemctl show --property=Id")
        rc = 1 if any(word in command for word in self.broken) else 0
        return CommandResult(argv=tuple(argv), rc=rc, stdout=self.shown if is_show else "", stderr="no" if rc else "")

    def done(self) -> list[str]:
        shown = ("systemctl show", "systemctl reset-failed")
        return [
            call
            for call in self.calls
            if call.startswith(("systemctl", "/usr/sbin/sshd")) and not call.startswith(shown)
        ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for path, text in {
        "etc/ufw/before.rules": "guard\n",
        "etc/default/ufw": "IPV6=yes\n",
        "etc/ssh/sshd_config": "Port 22\n",
        "etc/ssh/sshd_config.d/10-own.conf": "UseDNS no\n",
    }.items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(text)
    (made / "etc/ufw/before.rules").chmod(0o640)
    return made


def make_host(root: Path, systemd: Systemd) -> Host:
    return Host(runner=systemd, root=root, proc=t.cast(t.Any, NoListeners()))


def go_back(root: Path, systemd: Systemd, change: t.Callable[[], object]) -> tuple[list[str], list[str]]:
    host = make_host(root, systemd)
    before = host.take()
    change()
    systemd.calls.clear()
    done = host.restore(Snapshot.from_json(before.as_json()), aside=root.parent / "aside")
    assert read_files(root=root) == before.files
    return done


def test_a_snapshot_reads_back_as_it_was_written(root: Path) -> None:
    taken = make_host(root, Systemd()).take()
    assert Snapshot.from_json(taken.as_json()) == taken


def test_nothing_is_touched_where_nothing_differs(root: Path) -> None:
    systemd = Systemd()
    assert go_back(root, systemd, lambda: None) == ([], [])
    assert systemd.done() == []
    assert not (root.parent / "aside").exists()


def test_changed_lost_and_new_files_come_back_and_are_kept_aside(root: Path) -> None:
    def change() -> None:
        (root / "etc/ufw/before.rules").write_text("no guard\n")
        (root / "etc/ufw/before.rules").chmod(0o666)
        (root / "etc/default/ufw").unlink()
        (root / "etc/ufw/applications.d").mkdir()
        (root / "etc/ufw/applications.d/new").write_text("new\n")

    done, problems = go_back(root, Systemd(), change)
    assert problems == []
    assert sorted(done) == [
        "/etc/default/ufw",
        "/etc/ufw/applications.d",
        "/etc/ufw/applications.d/new",
        "/etc/ufw/before.rules",
    ]
    aside = root.parent / "aside"
    kept = {str(path.relative_to(aside)): path.read_text() for path in aside.rglob("*") if path.is_file()}
    assert kept == {"etc/ufw/applications.d/new": "new\n", "etc/ufw/before.rules": "no guard\n"}


def test_a_folder_in_the_place_of_a_file_makes_way(root: Path) -> None:
    def change() -> None:
        (root / "etc/ssh/sshd_config").unlink()
        (root / "etc/ssh/sshd_config/below").mkdir(parents=True)
        (root / "etc/ssh/sshd_config/below/file").write_text("in the way\n")

    assert go_back(root, Systemd(), change)[1] == []


def test_sshd_reads_its_files_again_once_they_are_back(root: Path) -> None:
    systemd = Systemd()
    go_back(root, systemd, lambda: (root / "etc/ssh/sshd_config").write_text("Port 2222\n"))
    assert systemd.done() == ["/usr/sbin/sshd -t", "systemctl restart ssh.service"]


def test_the_sshd_that_runs_is_left_alone_where_a_new_one_would_not_start(root: Path) -> None:
    systemd = Systemd(broken=["sshd -t"])
    _done, problems = go_back(root, systemd, lambda: (root / "etc/ssh/sshd_config").write_text("Port 2222\n"))
    assert problems == ["sshd was not restarted, since it would not start: no"]
    assert "systemctl restart ssh.service" not in systemd.calls


def test_a_masked_and_disabled_unit_is_a_matter_of_links(root: Path) -> None:
    systemd = Systemd()

    def mask() -> None:
        wants.unlink()
        link.symlink_to("/dev/null")
        systemd.shown = SHOWN.replace("ActiveState=active", "ActiveState=inactive")

    link = root / "etc/systemd/system/ssh.service"
    wants = root / "etc/systemd/system/multi-user.target.wants/ssh.service"
    wants.parent.mkdir(parents=True)
    wants.symlink_to("/lib/systemd/system/ssh.service")
    done, _problems = go_back(root, systemd, mask)
    assert (os.path.lexists(link), os.path.lexists(wants)) == (False, True)
    assert systemd.done()[0] == "systemctl daemon-reload"
    assert done[-1] == "systemctl restart ssh.service"


def test_one_thing_that_fails_does_not_keep_the_others_from_coming_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes, **options: int) -> None:
        if path.name == "ufw":
            raise OSError("immutable")
        real(path, content, **options)

    real = snapshot.write_atomically
    host = make_host(root, Systemd())
    before = host.take()
    (root / "etc/default/ufw").write_text("IPV6=no\n")
    (root / "etc/ufw/before.rules").write_text("no guard\n")
    monkeypatch.setattr(snapshot, "write_atomically", write)
    done, problems = host.restore(before, aside=root.parent / "aside")
    assert (done, problems) == (["/etc/ufw/before.rules"], ["/etc/default/ufw: immutable"])


def test_units_that_run_are_read() -> None:
    assert parse_active(SHOWN) == ("ssh.service",)
    assert parse_active("") == ()


def test_what_is_too_much_stops_before_what_is_missing_starts() -> None:
    assert running(now=["ssh.socket"], wanted=["ssh.service", "ufw.service"], renew=()) == [
        ("stop", "ssh.socket"),
        ("restart", "ssh.service"),
        ("start", "ufw.service"),
    ]
