"""What is left on a host of changes that were confirmed, rolled back or cut off."""

from __future__ import annotations

import json
import typing as t

FOLDER = "/var/lib/ssh-lifeline/rollback"


def test_nothing_is_armed_and_no_copy_of_a_key_is_left(host: t.Any) -> None:
    with host.sudo():
        left = host.check_output(f"ls -A {FOLDER}").split()
        timers = host.check_output("systemctl list-units --all --no-legend 'ssh-lifeline-rollback-*'")
    assert sorted(left) == ["confirmed", "last_rollback.json", "lock"]
    assert timers == ""


def test_root_alone_may_look(host: t.Any) -> None:
    with host.sudo():
        assert host.file(FOLDER).mode == 0o700
        assert host.file("/var/lib/ssh-lifeline/aside").mode == 0o700
        assert host.check_output("find /var/lib/ssh-lifeline/aside -type d ! -perm 700") == ""


def test_what_was_replaced_is_kept(host: t.Any) -> None:
    with host.sudo():
        kept = host.check_output("find /var/lib/ssh-lifeline/aside -type f -printf '%P\n'").splitlines()
    ends = {path.partition("/")[2] for path in kept}
    assert {"etc/ufw/before.rules", "etc/ssh/sshd_config.d/00-broken.conf", "packet-filter.txt"} <= ends


def test_the_next_boot_rolls_back_what_is_armed_then(host: t.Any) -> None:
    assert host.service("ssh-lifeline-rollback").is_enabled


def test_nothing_is_left_of_what_held_ssh_open_meanwhile(host: t.Any) -> None:
    with host.sudo():
        for program in ("iptables", "ip6tables"):
            assert "webstack-ssh-hold" not in host.check_output(f"{program} -S")


def test_the_journal_has_it(host: t.Any) -> None:
    with host.sudo():
        journal = host.check_output("journalctl --identifier=ssh-lifeline --output=cat --boot")
        last = json.loads(host.check_output(f"cat {FOLDER}/last_rollback.json"))
    assert "the host was restarted before it was confirmed" in journal
    assert last["reported"]
