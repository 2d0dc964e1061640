"""The outage itself: web-01 is locked out, and one run brings it back while users go on."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path

import pytest
from outage import Rebuilt
from story import Story


def test_ssh_was_really_gone(rebuilt: Rebuilt) -> None:
    assert rebuilt.locked_out
    assert rebuilt.attempts_to_prove_it > 0, "the counter in the lost machine's kernel counts"


def test_lost_host_is_never_contacted(rebuilt: Rebuilt) -> None:
    assert rebuilt.attempts == 0


def test_no_request_fails(rebuilt: Rebuilt) -> None:
    assert rebuilt.requests.failed == 0, rebuilt.requests.examples
    assert {"web-01", "web-02", "spare"} <= set(rebuilt.requests.servers)


def test_hundred_of_hundred_requests_succeed(story: Story, rebuilt: Rebuilt) -> None:
    statuses, servers = [], set()
    for _request in range(100):
        connection = http.client.HTTPConnection(story.address("lb-01"), timeout=10)
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        statuses.append(answer.status)
        servers.add(answer.getheader("X-Served-By"))
    assert statuses == [200] * 100
    assert servers == {"spare", "web-02"}, rebuilt.new_address


@pytest.mark.usefixtures("rebuilt")
def test_data_is_the_survivors(same_data: Callable[[], None]) -> None:
    same_data()


@pytest.mark.usefixtures("rebuilt")
def test_checksums_are_equal(story: Story) -> None:
    shown = story.module("webservers", "mysql_checksum_info", {"databases": ["sakila"]})
    assert set(shown) == {"web-01", "web-02"}
    held = [each["databases"]["sakila"] for each in (shown["web-01"], shown["web-02"])]
    for part in ("tables", "objects", "definers", "charset", "collation"):
        assert held[0][part] == held[1][part]


def test_what_was_written_after_the_dump_is_there(story: Story, rebuilt: Rebuilt) -> None:
    assert story.query("web-01", "SELECT COUNT(*) FROM sakila.actor WHERE last_name = 'LATER'").strip() == "1"
    assert rebuilt.report["method"] == "physical"
    assert rebuilt.report["data_as_of"] == rebuilt.report["changes"]["until"]
    assert "binary log replayed up to" in rebuilt.run.output


def test_old_address_is_nowhere_on_the_balancer(story: Story, rebuilt: Rebuilt) -> None:
    assert story.balancer_knows(rebuilt.old_address) == []
    assert len(story.balancer_knows(rebuilt.new_address)) >= 2, "in a file and in the running HAProxy"


def test_report_tells_what_counts(story: Story, rebuilt: Rebuilt) -> None:
    report = rebuilt.report
    assert report["host"] == "web-01"
    assert report["address"] == {"old": rebuilt.old_address, "new": rebuilt.new_address}
    assert report["host_key"]["fingerprint"] == story.fingerprint("spare")
    assert 0 < report["rpo_seconds"] < report["rto_seconds"] <= rebuilt.run.seconds
    assert report["proof"]["tables"] == 16
    phases = [phase["name"] for phase in report["phases"]]
    assert phases == ["preflight", "provision", "restore", "gate", "repoint", "verify"]

    (markdown,) = (story.folder / ".webstack/rebuild/web-01").glob("report-*.md")
    for text in ("Recovery time (RTO)", "Age of the data (RPO)", rebuilt.new_address, story.fingerprint("spare")):
        assert text in markdown.read_text(encoding="utf-8")
        assert text in rebuilt.run.output


def test_new_host_key_is_known(story: Story, rebuilt: Rebuilt) -> None:
    known = story.lab.known_hosts.read_text()
    assert f"web-01 {story.host_key('spare')}" in known
    assert rebuilt.old_key not in known
    assert story.lets_in("web-01", version=4)
    assert story.lets_in("web-01", version=6)


def test_inventory_has_the_new_address(story: Story, rebuilt: Rebuilt) -> None:
    shown = Path(story.inventory, "host_vars/web-01/rebuilt.yml").read_text()
    assert f"ansible_host: {rebuilt.new_address}\n" in shown


@pytest.mark.usefixtures("rebuilt")
def test_dumps_that_were_handed_over_are_gone(story: Story) -> None:
    assert story.hand("spare", "find", "/var/lib/webstack", "-name", "*.zst") == ""
    assert list((story.folder / ".webstack").glob("**/*.zst")) == []


@pytest.mark.usefixtures("rebuilt")
def test_site_changes_nothing(story: Story) -> None:
    run = story.play("site").require_success()
    assert run.changed == {}


@pytest.mark.usefixtures("rebuilt")
def test_second_rebuild_changes_nothing(story: Story, same_data: Callable[[], None]) -> None:
    """The inventory has the address and the journal the key by now: no more is needed than the name."""
    wanted = {"rebuild_host": "web-01", "rebuild_confirm": "web-01"}
    run = story.play("rebuild_web", wanted).require_success()
    assert run.changed == {}
    assert "in place and proven by an earlier run; no data is moved" in run.words
    same_data()
