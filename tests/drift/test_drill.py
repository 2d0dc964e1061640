"""The drill: a scratch host becomes a web server of the last backup, and nothing of that is left, whatever happens."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.drift.playbook import HOSTS, Drift

SPARE = "spare"
BACKUPS = "/var/backups/webstack/mysql"
# What belongs to the drill and to nothing else, asked around it.
LEFT = """
ls -d /var/lib/mysql /etc/mysql /srv/app /etc/nginx /var/www/html /etc/default/app /etc/systemd/system/app.* \
  /var/lib/webstack/{incoming,drill.json,mysql_restore,applied.json} 2>/dev/null
dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\\n' | grep -E 'mariadb|nginx|gunicorn|flask| zstd'
getent passwd app
ss -Hltn | grep -vE ':22 '
grep --recursive --files-with-matches --fixed-strings 'ACADEMY DINOSAUR' /var/lib /var/log /var/tmp /srv /tmp /root
true
"""


class Drills:
    """The playbook `drill` on the lab, and its last report."""

    def __init__(self, lab: Drift) -> None:
        self.lab = lab
        self.story = lab.story
        self.directory = self.story.folder / "drill"
        self.metrics_file = self.story.folder / "metrics" / "drill.prom"

    def __call__(self, *arguments: str, **variables: Any) -> Any:
        given = {
            "drill_host": SPARE,
            "drill_directory": self.directory,
            "drill_metrics": self.metrics_file,
            **variables,
        }
        return self.story.play("drill", given, *arguments)

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "latest.json").read_text(encoding="utf-8"))
        return found

    @property
    def metrics(self) -> dict[str, float]:
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines()
        return {name: float(value) for name, value in (line.split() for line in lines if line[0] != "#")}

    def left(self) -> list[str]:
        """What is on the scratch host that should not be, and on the controller."""
        return [*self.lab.hand(SPARE, LEFT).splitlines(), *map(str, self.directory.glob("dumps/*"))]

    def in_service(self) -> dict[str, Any]:
        """The hosts in service: their files, packages, data, and the running balancer."""
        return {host: self.story.snapshot(host) for host in HOSTS}


@pytest.fixture(scope="module")
def drill(drift: Drift) -> Iterator[Drills]:
    """A scratch host in the inventory, and a backup of real data."""
    story = drift.story
    story.machines[SPARE] = SPARE
    drill = Drills(drift)
    shutil.rmtree(drill.directory, ignore_errors=True)  # a lab that was kept
    entry = story.inventory / "drill.yml"
    entry.write_text(yaml.safe_dump({"drill": {"hosts": {SPARE: {"ansible_host": story.address(SPARE)}}}}))
    tables = story.query("web-02", "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'sakila'")
    if tables.strip() == "0":
        for clone in ("web-01", "web-02"):
            story.load_sample(clone)
    story.play("back_up_database", {"back_up_hosts": "web-02"}).require_success()
    yield drill
    entry.unlink()
    drift.hand("web-02", f"rm -rf {BACKUPS}/*")


def test_a_server_in_service_is_refused(drill: Drills) -> None:
    before = drill.in_service()
    run = drill(drill_host="web-01")
    assert run.code == 2, run.tail
    assert "web-01 is in the group `webservers`, so that it is or will be in service" in run.words
    assert "nothing was changed" in run.words
    assert drill.in_service() == before
    assert not drill.directory.exists()


def test_check_shows_the_plan_and_changes_nothing(drill: Drills) -> None:
    before = drill.story.snapshot(SPARE)
    run = drill("--check").require_success()
    assert "no balancer is changed" in run.words
    assert run.changed == {}
    assert drill.story.snapshot(SPARE) == before
    assert not drill.directory.exists()


def test_a_host_with_data_of_others_is_refused(drill: Drills) -> None:
    drill.lab.hand(SPARE, "mkdir -p /var/lib/mysql/shop && touch /var/lib/mysql/shop/orders.ibd")
    try:
        run = drill()
        assert run.code == 2, run.tail
        assert "spare is not bare, and no drill has left that there: /var/lib/mysql." in run.words
        assert drill.lab.hand(SPARE, "ls /var/lib/mysql/shop").split() == ["orders.ibd"]
        assert drill.metrics["phoenix_drill_success"] == 0
    finally:
        drill.lab.hand(SPARE, "rm -r /var/lib/mysql")


def test_the_last_backup_is_proven_twice(drill: Drills) -> None:
    before = drill.in_service()
    packages = drill.lab.hand(SPARE, "dpkg-query --show --showformat '${Package}\\n'").split()
    for _time in range(2):
        run = drill().require_success()
        assert "The drill on spare passed" in run.words
        report = drill.report
        assert (report["verdict"], report["problems"]) == ("passed", [])
        assert report["proof"]["tables"] == 16
        assert report["proof"]["rows"] > 40_000
        assert report["gate_from"] == ["lb-01"]
        names = [phase["name"] for phase in report["phases"]]
        assert names == ["preflight", "collect", "provision", "restore", "gate", "clean up"]
        to_gate = sum(phase["seconds"] for phase in report["phases"][:-1])
        assert report["rto_seconds"] == pytest.approx(to_gate, abs=0.1)
        assert report["rpo_seconds"] > report["rto_seconds"]
        assert drill.metrics["phoenix_drill_success"] == 1
        assert drill.metrics["phoenix_drill_rto_seconds"] == report["rto_seconds"]
        assert drill.metrics["phoenix_drill_rpo_seconds"] == report["rpo_seconds"]
        assert drill.left() == []
        assert drill.story.lets_in(SPARE)
    assert drill.in_service() == before
    gone = set(packages) - set(drill.lab.hand(SPARE, "dpkg-query --show --showformat '${Package}\\n'").split())
    assert gone == set()
    assert len(list((drill.directory / "reports").glob("*.json"))) >= 2


def test_a_damaged_backup_fails_the_drill_and_nothing_is_left(drill: Drills) -> None:
    passed_at = drill.metrics["phoenix_drill_last_success_timestamp_seconds"]
    newest = drill.lab.hand("web-02", f"ls -d {BACKUPS}/*/ | tail -1").strip()
    # Its size stays, so that only its checksum tells.
    keep = f"f=$(ls -S {newest}*.data*.zst | head -1) && cp -p $f /root/whole && echo $f > /root/which"
    drill.lab.hand("web-02", f"{keep} && printf x | dd of=$f bs=1 seek=200 conv=notrunc 2>/dev/null")
    before = drill.in_service()
    try:
        run = drill()
    finally:
        drill.lab.hand("web-02", "mv /root/whole $(cat /root/which); rm /root/which")
    assert run.code == 2, run.tail
    assert re.search(r"The drill on spare FAILED", run.words)
    assert drill.report["verdict"] == "failed"
    assert [problem["phase"] for problem in drill.report["problems"]] == ["collect"]
    assert "its content is damaged" in drill.report["problems"][0]["reason"]
    assert drill.report["rto_seconds"] is None
    assert drill.metrics["phoenix_drill_success"] == 0
    assert drill.metrics["phoenix_drill_last_success_timestamp_seconds"] == passed_at
    assert drill.left() == []
    assert drill.story.lets_in(SPARE)
    assert before["lb-01"] == drill.in_service()["lb-01"]


def test_two_at_once_and_one_that_is_killed(drill: Drills) -> None:
    running = drill.story.start("drill", {"drill_host": SPARE, "drill_directory": drill.directory})

    def wait_for(task: str) -> None:
        while task not in running.output and running.process.poll() is None:
            time.sleep(0.05)

    wait_for("collect | Enter the phase that follows")
    second = drill()
    assert second.code == 2, second.tail
    assert "Another drill is under way" in second.words
    wait_for("restore | Restore the dump and prove it")
    running.send(signal.SIGKILL)
    running.process.wait()
    assert drill.report["verdict"] == "unfinished"
    assert drill.left() != []
    drill().require_success()
    assert drill.left() == []


def test_without_a_backup_the_drill_fails(drill: Drills) -> None:
    drill.lab.hand("web-02", f"mv {BACKUPS} {BACKUPS}.away")
    try:
        run = drill(drill_source="web-02")
    finally:
        drill.lab.hand("web-02", f"mv {BACKUPS}.away {BACKUPS}")
    assert run.code == 2, run.tail
    assert "There is no dump on web-02" in run.words
    assert "ansible-playbook phoenix.webstack.back_up_database -e back_up_hosts=web-02" in run.words
    assert drill.metrics["phoenix_drill_success"] == 0
    assert (drill.directory / "latest.md").read_text(encoding="utf-8").startswith("# Drill on spare: failed")


def test_the_reports_are_the_owners_alone(drill: Drills) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in (drill.directory, drill.directory / "latest.json")}
    assert all(mode & 0o007 == 0 for mode in modes.values()), modes
    assert Path(drill.metrics_file).stat().st_mode & 0o777 == 0o644
