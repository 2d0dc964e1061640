"""The schedule: a control host of the lab looks by itself, and what it finds is no failure of its service."""

from __future__ import annotations

import io
import json
import shlex
import sysconfig
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drift.playbook import ROOT, Drift

CONTROL = "lb-01"
PROJECT = "/srv/stack"
HOME = "/var/lib/webstack-drift"
# Ansible as it is in this checkout: the control host has the same Python.
PACKAGES = (
    "ansible",
    "ansible_core-*",
    "jinja2*",
    "markupsafe*",
    "yaml",
    "_yaml",
    "pyyaml*",
    "packaging*",
    "resolvelib*",
)
NATIVE = ("cryptography*", "cffi", "_cffi_backend*", "pycparser")
COMMAND = f"""\
#!/usr/bin/python3
import sys
sys.path.insert(0, "{PROJECT}/lib")
sys.argv[0] = "ansible-playbook"
from ansible.cli.playbook import main
main()
"""
CONFIGURATION = f"""\
[defaults]
inventory = {PROJECT}/inventory
collections_path = {PROJECT}/collections
callbacks_enabled = phoenix.webstack.drift
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = true
"""
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


def put(drift: Drift, files: dict[str, Path | str]) -> None:
    """Put files and folders into the control host's project."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, source in files.items():
            if isinstance(source, Path):
                archive.add(
                    source.resolve(), arcname=name, filter=lambda each: None if "__pycache__" in each.name else each
                )
                continue
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(source.encode()), 0o755
            archive.addfile(entry, io.BytesIO(source.encode()))
    container = drift.story.lab.container(CONTROL)
    drift.hand(CONTROL, f"mkdir -p {PROJECT}")
    drift.story.lab.podman.run("exec", "-i", container, "tar", "-xf", "-", "-C", PROJECT, stdin=packed.getvalue())


def install(drift: Drift) -> None:
    """Make the balancer a control host: Ansible, the collection, the project, and the key."""
    site_packages = Path(sysconfig.get_paths()["purelib"])
    found = [path for pattern in (*PACKAGES, *NATIVE) for path in site_packages.glob(pattern)]
    collection = "collections/ansible_collections/phoenix/webstack"
    parts = ("plugins", "roles", "playbooks", "meta", "galaxy.yml", "tests/lab/app")
    hosts = (drift.story.inventory / "hosts.yml").read_text(encoding="utf-8").replace(str(drift.story.lab.folder), HOME)
    put(
        drift,
        {
            **{f"lib/{path.name}": path for path in found},
            **{f"{collection}/{part}": ROOT / part for part in parts},
            "bin/ansible-playbook": COMMAND,
            "ansible.cfg": CONFIGURATION,
            "inventory/group_vars": drift.story.inventory / "group_vars",
            "inventory/hosts.yml": hosts,
            "id_ed25519": drift.story.lab.private_key,
            "known_hosts": drift.story.lab.known_hosts,
        },
    )


def wait_for(look: Callable[[], bool], *, seconds: float) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(1)


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
    install(drift)
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
