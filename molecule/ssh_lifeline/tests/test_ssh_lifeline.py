"""What a host looks like on which the guard has healed much."""

from __future__ import annotations

import json
import shlex
import typing as t

import pytest


@pytest.mark.parametrize("unit", ["ssh-lifeline.service", "ssh-lifeline.timer", "ssh.service"])
def test_a_unit_runs_now_and_after_a_boot(host: t.Any, unit: str) -> None:
    assert host.service(unit).is_running
    assert host.service(unit).is_enabled


def test_the_probe_comes_in_by_the_real_device(host: t.Any) -> None:
    status = json.loads(host.check_output("ssh-lifeline status --json"))
    assert status["state"] == "open"
    assert status["probe"].startswith("through eth0 to ")


def test_everybody_may_read_the_status_and_root_alone_the_state(host: t.Any) -> None:
    assert host.file("/run/ssh-lifeline/status.json").mode == 0o644
    assert host.file("/var/lib/ssh-lifeline").mode == 0o700
    with host.sudo():
        assert host.file("/etc/ssh-lifeline/settings.json").mode == 0o600
        modes = host.check_output("find /var/lib/ssh-lifeline -perm /077 ! -name '*.pub' ! -path '*/aside/*'")
        assert modes == ""


def test_the_acts_are_in_the_journal_with_fields(host: t.Any) -> None:
    with host.sudo():
        lines = host.check_output("journalctl -t ssh-lifeline -o json SSH_LIFELINE_KIND=healed").splitlines()
    assert {json.loads(line)["SSH_LIFELINE_SUBJECT"] for line in lines} >= {"firewall", "daemon", "login", "network"}


def test_what_was_replaced_lies_aside(host: t.Any) -> None:
    with host.sudo():
        found = host.check_output("grep -rl nonsense /var/lib/ssh-lifeline/aside")
    assert found.endswith("/etc/ssh/sshd_config")


def test_the_metrics_are_there(host: t.Any) -> None:
    metrics = host.file("/var/lib/node-exporter/ssh-lifeline.prom").content_string
    assert "ssh_lifeline_open 1\n" in metrics


def test_a_session_ends_with_a_word_about_the_next(host: t.Any) -> None:
    assert "ssh-lifeline logout" in host.file("/etc/bash.bash_logout").content_string
    assert host.check_output("ssh-lifeline logout").startswith("SSH: the next login will work")


def test_foreign_rules_are_still_there(host: t.Any) -> None:
    # The guard goes ahead of them; it does not take them away.
    with host.sudo():
        assert "policy drop" in host.check_output("nft list chain inet evil in")


def test_switching_it_off_and_on_is_in_the_journal(host: t.Any) -> None:
    with host.sudo():
        for kind in ("off", "on"):
            line = host.check_output(f"journalctl -t ssh-lifeline -o cat SSH_LIFELINE_KIND={kind} | tail -1")
            assert line.startswith(f"guard: switched {kind} by ")


@pytest.mark.parametrize(
    "command",
    [
        "systemctl --no-ask-password stop ssh-lifeline.service",
        "kill -STOP $(systemctl show --property=MainPID --value ssh-lifeline)",
        "touch /run/ssh-lifeline/x",
        "python3 -c 'open(\"/run/ssh-lifeline/installing\")'",
        "ssh-lifeline off",
        "ssh-lifeline accept",
        "ssh-lifeline rollback",
    ],
)
def test_a_user_without_rights_can_do_nothing_to_it(host: t.Any, command: str) -> None:
    with host.sudo():
        assert host.run(f"runuser -u nobody -- sh -c {shlex.quote(command)}").rc != 0
    assert host.service("ssh-lifeline.service").is_running


def test_its_unit_is_as_tight_as_it_can_be(host: t.Any) -> None:
    # docs/guard.md says of each directive that is missing why it has to be.
    with host.sudo():
        line = host.check_output("systemd-analyze security --no-pager ssh-lifeline.service | tail -1")
    assert float(line.split(": ")[1].split()[0]) <= 7.5
