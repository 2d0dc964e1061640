"""A host that was never provisioned: a look at it comes to its end, changes nothing, and says what is to be done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.drift.playbook import ROOT, Drift, new_story

HOST = "web-01"
# sudo leaves a note of its own at somebody's first call.
FOREIGN = "! -path '/var/lib/systemd/*' ! -name .sudo_as_admin_successful"
CHANGED = f"find /etc /var/lib /usr /home /root -xdev -type f -newermt @{{since}} {FOREIGN} | sort"


@pytest.fixture(scope="module")
def bare() -> Iterator[Drift]:
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
    story = new_story(f"bare-{checkout}", log=ROOT / ".cache" / "log" / "drift-bare.log")
    try:
        story.begin((HOST,))
        yield Drift(story)
    finally:
        story.end()


def test_a_look_at_a_bare_host(bare: Drift) -> None:
    since = bare.hand(HOST, "sleep 1; date +%s").strip()
    run = bare()
    assert run.code == 16, run.tail
    (host,) = bare.report["hosts"]
    assert (host["state"], host["applied"]) == ("looked_at", False)
    kinds = {each["class"] for each in host["findings"]}
    assert kinds == {"pending", "probe"}, bare.found()
    packages = {each["id"] for each in host["findings"] if each["id"].startswith("package:")}
    assert {"package:nginx", "package:ufw", "package:mariadb-server"} <= packages
    assert bare.hand(HOST, CHANGED.format(since=since)) == ""
