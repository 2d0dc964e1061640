"""Runs that meet each other, are killed, meet a host that is down or a full disk: nothing is lost or half done."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest

from tests.drift.playbook import HOSTS, ROOT, Drift
from tests.drift.table import haproxy

CANARY = "canary-5f1e0c"
SCHEMA = json.loads((ROOT / "docs" / "drift-report.schema.json").read_text(encoding="utf-8"))


def wait_for_lock(drift: Drift) -> None:
    """Wait until a run holds the lock."""
    path = drift.directory / "lock"
    for _attempt in range(200):
        with path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
        time.sleep(0.1)
    raise AssertionError("no run has taken the lock")


def test_a_check_writes_nothing(drift: Drift) -> None:
    before = {host: drift.story.snapshot(host) for host in HOSTS}
    assert drift().code == 0
    jsonschema.validate(drift.report, SCHEMA)
    assert {host: drift.story.snapshot(host) for host in HOSTS} == before


def test_two_at_once_and_one_that_is_killed(drift: Drift) -> None:
    wanted = {"drift_directory": drift.directory}
    first = drift.story.start("drift", wanted)
    wait_for_lock(drift)
    first.send(signal.SIGSTOP)  # it would be done before the second has begun
    second = drift.story.play("drift", wanted)
    assert second.code == 75, second.tail
    assert f"Another run of drift is under way ({first.process.pid} since" in second.words
    first.send(signal.SIGKILL)
    first.process.wait()
    after = drift()
    assert after.code == 0, after.tail


def test_a_change_of_ours_is_pending_and_not_corrected(drift: Drift) -> None:
    run = drift("correct", nginx_client_max_body_size="2m")
    assert run.code == 16, run.tail
    assert drift.found()["web-01"]["file:/etc/nginx/nginx.conf"] == "pending"
    assert drift.report["corrected"] == 0
    assert all(host["changes"] == [] for host in drift.report["hosts"])


def test_a_host_that_is_held_is_told_and_left_alone(drift: Drift) -> None:
    drift.hand("web-01", "ufw allow 9999/tcp")
    hold = json.dumps({"reason": "debugging", "by": "ana", "until": "2999-01-01T00:00:00Z"})
    drift.hand("web-01", f"mkdir -p /etc/webstack && echo '{hold}' > /etc/webstack/hold.json")
    try:
        run = drift("correct")
        assert run.code == 0, run.tail
        assert "web-01 is held by ana until 2999-01-01T00:00:00Z: debugging" in run.output
        assert drift.report["held"] == 1
    finally:
        drift.hand("web-01", "rm -r /etc/webstack && ufw delete allow 9999/tcp")


def test_outside_of_its_window_nothing_is_corrected(drift: Drift) -> None:
    drift.hand("web-01", "ufw allow 9999/tcp")
    try:
        # A window of one minute that was a moment ago, whenever this is run.
        closed = time.strftime("%H:%M", time.localtime(time.time() - 3600))
        ends = time.strftime("%H:%M", time.localtime(time.time() - 3000))
        windows = json.dumps({"drift_windows": [{"from": closed, "to": ends}]})
        run = drift("correct", "-e", windows)
        assert (run.code, drift.report["corrected"]) == (16, 0), run.tail
        assert "no maintenance window is open" in run.output
    finally:
        drift.hand("web-01", "ufw delete allow 9999/tcp")


def test_ssh_only_looks_at_nothing_else(drift: Drift) -> None:
    drift.hand("web-01", "ufw allow 9999/tcp; apt-mark hold nginx")
    try:
        run = drift("ssh_only")
        assert (run.code, drift.report["verdict"]) == (16, "corrected"), run.tail
        assert drift.found()["web-01"] == {"ufw:allow 9999/tcp": "extra"}
    finally:
        drift.hand("web-01", "apt-mark unhold nginx; ufw --force delete allow 9999/tcp || true")


def test_the_last_server_that_users_are_served_by_is_left_alone(drift: Drift) -> None:
    drift.hand("lb-01", haproxy("set server web/web-02 state drain"))
    drift.hand("web-01", "chmod 0600 /etc/nginx/nginx.conf; ufw allow 9999/tcp")
    try:
        run = drift("correct")
        assert run.code == 16, run.tail
        assert "nginx is not corrected: web-01 is the only server that users are served by" in run.words
        # The firewall and the guard of SSH cost nobody a server.
        assert drift.found(outcome="open")["web-01"] == {"file:/etc/nginx/nginx.conf": "drift"}
        assert drift.found(outcome="corrected")["web-01"] == {"ufw:allow 9999/tcp": "extra"}
    finally:
        drift.hand("lb-01", haproxy("set server web/web-02 state ready"))
    corrected = drift("correct")
    assert drift.found(outcome="open")["web-01"] == {}, corrected.tail


def test_a_host_that_does_not_get_well_is_the_last_that_is_touched(drift: Drift) -> None:
    for host in ("web-01", "web-02"):
        drift.hand(host, "chmod 0600 /etc/nginx/nginx.conf")
    drift.hand("web-01", "systemctl stop app.socket app.service")
    try:
        run = drift("correct")
        assert run.code == 18, run.tail
        assert "web-01 is not healthy after nginx corrected it; no other host was touched" in run.words
        assert drift.hand("web-02", "stat --format=%a /etc/nginx/nginx.conf").strip() == "600"
    finally:
        drift.hand("web-01", "systemctl start app.socket app.service")
    corrected = drift("correct")
    assert drift.found(outcome="open") == {host: {} for host in HOSTS}, corrected.tail


def test_what_comes_back_again_and_again_is_corrected_no_more(drift: Drift) -> None:
    for _time in range(3):
        drift.hand("web-02", "ufw allow 9998/tcp")
        assert drift("correct").code == 16
        assert drift.found(outcome="corrected")["web-02"] == {"ufw:allow 9998/tcp": "extra"}
    drift.hand("web-02", "ufw allow 9998/tcp")
    try:
        run = drift("correct")
        assert drift.found(outcome="open")["web-02"] == {"ufw:allow 9998/tcp": "flapping"}, run.tail
        assert "9998" in drift.hand("web-02", "ufw status")
    finally:
        drift.hand("web-02", "ufw delete allow 9998/tcp")
    assert drift().code == 0


def test_a_dump_that_is_old_or_damaged_is_told(drift: Drift) -> None:
    folder = "/var/backups/webstack/mysql"
    try:
        drift.story.play("back_up_database", {"back_up_hosts": "web-02"}).require_success()
        run = drift()
        assert (run.code, drift.found()["web-02"]) == (0, {}), run.tail
        drift.hand("web-02", f'sed -i \'s/\\("snapshot_at": "\\)[0-9]*/\\12020/\' {folder}/*/manifest.json')
        run = drift()
        assert (run.code, drift.found()["web-02"]) == (16, {"dump": "probe"}), run.tail
        drift.hand("web-02", f"truncate --size=-1 {folder}/*/*.schema.sql.zst")
        run = drift()
        assert sorted(key[:5] for key in drift.found()["web-02"]) == ["dump", "dump:"], run.tail
    finally:
        drift.hand("web-02", f"rm -rf {folder}/*")


def test_a_host_that_nobody_gets_in_to_hides_no_other(drift: Drift) -> None:
    drift.hand("web-02", "apt-mark hold nginx")
    try:
        with drift.story.ssh_shut("web-01"):
            run = drift()
        assert run.code == 20, run.tail
        assert {"ssh:login": "probe", "ssh:web-01": "probe"}.items() <= drift.found()["web-01"].items()
        assert drift.found()["web-02"] == {"package:nginx": "drift"}
    finally:
        drift.hand("web-02", "apt-mark unhold nginx")


def test_a_full_disk_loses_no_report(drift: Drift, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("takes root to make a disk that is full")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], check=True)
    try:
        run = drift.story.play("drift", {"drift_directory": disk / "drift"})
        assert run.code == 1, run.tail
        assert "No space left on device" in run.words
        (place,) = {Path(word) for word in run.words.split() if "webstack-drift-" in word}
        jsonschema.validate(json.loads(place.read_text(encoding="utf-8")), SCHEMA)
        place.unlink()
        assert [path.name for path in disk.rglob("*") if path.name.startswith(".")] == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_without_the_callback_the_run_is_refused(drift: Drift) -> None:
    running = drift.story.start_command(
        "env",
        "ANSIBLE_CALLBACKS_ENABLED=ansible.posix.timer",
        "ansible-playbook",
        "phoenix.webstack.drift",
        "-e",
        "drift_mode=check",
    )
    run = running.wait()
    assert run.code == 2, run.tail
    assert "callbacks_enabled = phoenix.webstack.drift" in run.words


def test_no_secret_is_told_anywhere(drift: Drift) -> None:
    secrets = {"app_environment": {"APP_DATABASE": "sakila", "TOKEN": CANARY}}
    users = [
        {"name": "app", "privileges": {"sakila.*": ["SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE"]}},
        {"name": "shop", "password": f"{CANARY}-word"},
    ]
    metrics, junit = drift.directory / "drift.prom", drift.directory / "drift.xml"
    drift.hand("web-01", f"echo OTHER={CANARY} >> /etc/default/app")
    try:
        run = drift(
            "check",
            "-vvv",
            "--diff",
            "-e",
            json.dumps({**secrets, "mysql_users": users}),
            drift_metrics=metrics,
            drift_junit=junit,
        )
    finally:
        drift.hand("web-01", "sed -i '$d' /etc/default/app")
    assert run.code == 16, run.tail
    assert drift.found()["web-01"]["file:/etc/default/app"] == "pending"
    assert drift.found()["web-01"]["account:shop@localhost"] == "pending"
    written = [path for path in drift.directory.rglob("*") if path.is_file()]
    assert {metrics, junit, drift.directory / "latest.html"} <= set(written)
    told = {str(path): CANARY in path.read_text(encoding="utf-8") for path in written}
    assert not any(told.values()), told
    # What was said on the command line itself is shown by Ansible at -vvv, and by nothing of ours.
    lines = [line for line in run.output.splitlines() if CANARY in line and "ansible-playbook" not in line]
    assert lines == []
