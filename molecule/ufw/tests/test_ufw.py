"""What a host looks like after the disasters, and after the role has put its list back."""

from __future__ import annotations

import typing as t

import pytest

GUARD = "--dport 22 -m comment --comment webstack-ssh-guard -j ACCEPT"


@pytest.mark.parametrize(("program", "chain"), [("iptables", "ufw-before-input"), ("ip6tables", "ufw6-before-input")])
def test_the_guard_stands_first_in_the_kernel(host: t.Any, program: str, chain: str) -> None:
    with host.sudo():
        rules = host.check_output(f"{program} -S {chain}").splitlines()
        assert rules[1] == f"-A {chain} -p tcp -m tcp {GUARD}"
        assert f"-A INPUT -j {chain}" in host.check_output(f"{program} -S INPUT").splitlines()


@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_nothing_is_left_of_what_held_ssh_open_meanwhile(host: t.Any, program: str) -> None:
    with host.sudo():
        assert "webstack-ssh-hold" not in host.check_output(f"{program} -S")


def test_ufw_itself_knows_the_rules(host: t.Any) -> None:
    with host.sudo():
        added = host.check_output("ufw show added").splitlines()[1:]
    assert added == [
        "ufw allow 80,443/tcp comment 'nginx'",
        "ufw allow from 192.0.2.0/24 to any port 3306 proto tcp comment 'replication, read only'",
        "ufw limit 8080/tcp",
        "ufw reject 6000:6010/udp",
        "ufw deny from 198.51.100.7",
        "ufw deny out 25/tcp",
        "ufw allow in on eth0 to any port 53",
        "ufw allow from 2001:db8::/32 to any port 3306 proto tcp",
    ]


def test_the_firewall_is_on_and_comes_back_with_the_system(host: t.Any) -> None:
    with host.sudo():
        status = host.check_output("ufw status verbose").splitlines()
    assert status[:2] == ["Status: active", "Logging: on (low)"]
    assert status[2].startswith("Default: deny (incoming), allow (outgoing), ")
    assert host.service("ufw").is_enabled


@pytest.mark.parametrize("name", ["before.rules", "before6.rules", "user.rules", "user6.rules"])
def test_the_files_keep_owner_and_mode(host: t.Any, name: str) -> None:
    with host.sudo():
        file = host.file(f"/etc/ufw/{name}")
        assert (file.user, file.group, file.mode) == ("root", "root", 0o640)
        assert host.check_output("ls -A /etc/ufw").count(".before") == 0
