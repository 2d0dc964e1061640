"""What is removed from a scratch host, and what never is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._drill import host
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

SHOWN = """\
ii \tbash\tbase-files (>= 2.1.12), libc6 (>= 2.36), \t
ii \tlibc6\t, libgcc-s1\t
ii \tnginx\t, nginx-common (= 1.22), iproute2\t httpd, httpd-cgi
rc \tnginx-common\t, \t
ii \tufw\t, iptables, ucf, python3:any | python3.11\t
ii \tiptables\t, libxtables12 (= 1.8.9), netbase\t
ii \tlibxtables12\t, libc6\t
un \tgunicorn\t, \t
"""
BEFORE = ["bash", "libc6"]


class Machine:
    """Answers as dpkg and apt do; a purge that it is told to do takes effect."""

    def __init__(self, shown: str = SHOWN, *, takes_along: str = "", stuck: bool = False) -> None:
        self.shown = shown
        self.takes_along = takes_along
        self.stuck = stuck
        self.done: list[list[str]] = []

    def run(self, argv: Sequence[str], **_options: Any) -> CommandResult:
        self.done.append(list(argv))
        stdout, code = "", 0
        if argv[0] == "dpkg-query":
            stdout = self.shown
        elif "--simulate" in argv:
            stdout = "".join(
                f"Purg {name} [1.0]\n" for name in [*argv[argv.index("purge") + 1 :], self.takes_along] if name
            )
        elif "purge" in argv and not self.stuck:
            gone = argv[argv.index("purge") + 1 :]
            self.shown = "".join(line for line in self.shown.splitlines(True) if line.split("\t")[1] not in gone)
        elif argv[:2] == ["systemctl", "is-active"]:
            stdout, code = "inactive\n", 3
        return CommandResult(tuple(argv), code, stdout, "")


def scratch(folder: Path, machine: Machine, *, claimed: bool = True) -> host.ScratchHost:
    claim = folder / "drill.json"
    if claimed:
        claim.write_text(json.dumps({"schema": host.SCHEMA, "packages": BEFORE}))
    (folder / "mysql").mkdir()
    (folder / "mysql" / "orders.ibd").touch()
    leavings = host.Leavings(units=["nginx.service"], users=[], paths=[str(folder / "mysql"), str(folder / "none")])
    return host.ScratchHost(runner=machine, claim=claim, leavings=leavings, keep=["ufw"])


def test_what_came_since_goes_except_what_the_guards_need() -> None:
    packages = host.parse_packages(SHOWN)
    assert "gunicorn" not in packages
    assert host.to_purge(packages, before=BEFORE, keep=["ufw"]) == ["nginx", "nginx-common"]


def test_a_virtual_package_keeps_its_provider() -> None:
    packages = host.parse_packages(SHOWN + "ii \tmonitor\t, httpd\t\n")
    assert "nginx" in host.needed_by(["monitor"], packages)


def test_the_drill_is_removed_and_the_claim_last(tmp_path: Path) -> None:
    machine = Machine()
    removed = scratch(tmp_path, machine).make_bare()
    assert removed == {"packages": ["nginx", "nginx-common"], "paths": [str(tmp_path / "mysql")]}
    assert list(tmp_path.iterdir()) == []


def test_without_a_claim_nothing_is_removed(tmp_path: Path) -> None:
    machine = Machine()
    with pytest.raises(WebstackError, match="No drill has claimed this host"):
        scratch(tmp_path, machine, claimed=False).make_bare()
    assert machine.done == []
    assert (tmp_path / "mysql" / "orders.ibd").exists()


def test_a_broken_claim_removes_nothing(tmp_path: Path) -> None:
    machine = Machine()
    place = scratch(tmp_path, machine)
    (tmp_path / "drill.json").write_text("{")
    with pytest.raises(WebstackError, match="nothing was removed"):
        place.make_bare()
    assert machine.done == []


def test_a_purge_that_takes_sshd_along_is_refused_but_the_data_goes(tmp_path: Path) -> None:
    machine = Machine(takes_along="openssh-server")
    with pytest.raises(WebstackError, match="would remove openssh-server as well"):
        scratch(tmp_path, machine).make_bare()
    assert not any("purge" in argv and "--simulate" not in argv for argv in machine.done)
    assert [path.name for path in tmp_path.iterdir()] == ["drill.json"]


def test_what_is_left_is_told_and_keeps_the_claim(tmp_path: Path) -> None:
    with pytest.raises(WebstackError, match=r"still there, .*: the package nginx, the package nginx-common"):
        scratch(tmp_path, Machine(stuck=True)).make_bare()
    assert (tmp_path / "drill.json").exists()


def test_a_claim_that_is_there_stays(tmp_path: Path) -> None:
    place = scratch(tmp_path, Machine())
    assert place.claim() is False
    assert json.loads((tmp_path / "drill.json").read_text())["packages"] == BEFORE


@pytest.mark.parametrize("path", ["/", "/srv", "/var/lib/", "srv/app", "/srv/../etc"])
def test_folders_of_the_system_are_refused(path: str) -> None:
    with pytest.raises(WebstackError, match="not its own"):
        host.refuse_wide_paths([path])
