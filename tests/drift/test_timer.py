"""The schedule: a control host of the lab looks by itself, and what it finds is no failure of its service."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.drift.control import PROJECT, install, wait_for
from tests.drift.playbook import Drift

CONTROL = "lb-01"
HOME = "/var/lib/webstack-drift"
PLAYBOOK = f"""\
- name: Look on schedule
  hosts: {CONTROL}
  become: true
  gather_facts: false
  roles:
    - role: phoenix.webstack.drift_timer
      vars:
        drift_timer_project: {PROJECT}
        drift_timer_command: {PROJECT}/bin/ansible-playbook
        drift_timer_schedule: "*:*:0/10"
        drift_timer_delay: "0"
"""


def test_a_control_host_looks_by_itself(drift: Drift, tmp_path: Path) -> None:
    def state() -> dict[str, str]:
        shown = drift.hand(
            CONTROL, "systemctl show webstack-drift.service --property=Result,ExecMainStatus,ActiveState"
        )
        return dict(line.split("=", 1) for line in shown.splitlines())

    def report() -> dict[str, str]:
        shown = drift.hand(CONTROL, f"cat {HOME}/reports/latest.json 2>/dev/null || echo '{{}}'")
        found: dict[str, str] = json.loads(shown)
        return found

    (tmp_path / "timer.yml").write_text(PLAYBOOK, encoding="utf-8")
    install(drift, CONTROL, home=HOME)
    argv = ["ansible-playbook", str(tmp_path / "timer.yml")]
    try:
        assert drift.story.start_command(*argv, "--check", "--diff").wait().code == 0
        drift.story.start_command(*argv).wait().require_success()
        # The key is for the admin to put there; the first runs have none, and say so.
        move = f"install -d -o webstack-drift -m 700 {HOME}/work && chown webstack-drift {PROJECT}/id_ed25519"
        drift.hand(CONTROL, f"{move} && cp -p {PROJECT}/id_ed25519 {PROJECT}/known_hosts {HOME}/")
        assert drift.story.start_command(*argv).wait().require_success().changed == {}
        wait_for(lambda: report().get("verdict") in ("clean", "drift"), seconds=120)

        drift.hand("web-01", "apt-mark hold nginx")
        wait_for(lambda: report().get("exit_code") == 16 and state()["ExecMainStatus"] == "16", seconds=120)
        assert state()["Result"] == "success"
    except AssertionError as error:
        journal = drift.hand(CONTROL, "journalctl --no-pager --lines=40 --unit=webstack-drift.service")
        raise pytest.fail.Exception(f"{error}\n{journal}") from error
    finally:
        drift.hand("web-01", "apt-mark unhold nginx")
        units = "webstack-drift.timer webstack-drift.service"
        files = "/etc/systemd/system/webstack-drift.*"
        clean = f"systemctl disable --now {units} 2>/dev/null; rm -rf {files} {shlex.quote(PROJECT)} {HOME}"
        drift.hand(CONTROL, f"{clean}; userdel webstack-drift; systemctl daemon-reload")
