"""A rebuild that is cut off in every phase in turn, and started again with the same command."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from outage import PAUSE, USERS, Rebuilt
from story import Running, Story, wait_for
from traffic import Traffic

STATE = "/var/lib/webstack/mysql_restore"
KILL_WHILE_PROVING = f"""
until grep --quiet --no-messages '"phase": "prove"' {STATE}/.progress.json; do sleep 0.005; done
kill -9 "$(cat {STATE}/.lock)" && echo killed
"""
# What is a machine's own, or tells when something was done.
OWN = re.compile(
    r"/etc/(ssh/ssh_host_|ssh/ssh-lifeline/|hostname|hosts|machine-id|resolv\.conf|\.updated|ufw/)"
    r"|/var/lib/webstack/(mysql_|applied\.json)"  # the latter has the digests of the former
    # The numbers of system users: the packages and the application make theirs at the same time.
    r"|/etc/(passwd|shadow|group|gshadow)-?$"
)
# The restore runs beside the provisioning: it is killed there, once, and the run with it.
LOADING = "loading"
CUTS = (
    ("provision", signal.SIGKILL),
    (LOADING, signal.SIGINT),
    ("restore", signal.SIGKILL),
    ("gate", signal.SIGINT),
    ("repoint", signal.SIGKILL),
    ("verify", signal.SIGINT),
)


def journal(story: Story) -> dict[str, Any]:
    """Read the journal of web-01's rebuild."""
    found: dict[str, Any] = json.loads((story.folder / ".webstack/rebuild/web-01/journal.json").read_text())
    return found


def cut_off(story: Story, running: Running, phase: str, number: signal.Signals, attempt: int) -> None:
    """Send a signal to a rebuild and all its processes when it enters a phase."""

    def entered() -> bool:
        assert running.process.poll() is None, f"the rebuild ended before the phase {phase}:\n{running.output[-3000:]}"
        noted = journal(story)
        wanted = "provision" if phase == LOADING else phase
        ours = noted["address"] == story.address("spare-02") and noted["attempts"] == attempt
        return bool(ours and any(each["name"] == wanted for each in noted["phases"]))

    wait_for(f"the phase {phase}", entered, seconds=300)
    if phase == LOADING:
        kill_the_restore(story)
    running.send(number)
    running.process.wait(60)
    assert running.process.returncode != 0


def kill_the_restore(story: Story) -> None:
    """Kill the restore on the replacement as well, with the data in place beside that of the server, and not proven."""
    assert story.hand("spare-02", "timeout", "120", "sh", "-c", KILL_WHILE_PROVING) == "killed\n"


def test_rebuild_cut_off_in_every_phase(story: Story, rebuilt: Rebuilt, same_data: Callable[[], None]) -> None:
    variables = story.rebuild_variables("web-01", "spare-02")
    with Traffic(story.url, mix=USERS, pause=PAUSE) as traffic:
        for attempt, (phase, number) in enumerate(CUTS, start=1):
            running = story.start("rebuild_web", variables)
            try:
                cut_off(story, running, phase, number, attempt)
            finally:
                running.send(signal.SIGKILL)
            assert story.lets_in("spare-02"), f"SSH to the replacement, after {number.name} in {phase}"
        story.play("rebuild_web", variables).require_success()
        requests = traffic.stop()

    assert requests.failed == 0, requests.examples
    assert journal(story)["attempts"] == len(CUTS) + 1
    assert list((story.folder / ".webstack").glob("**/*.zst")) == [], "no copy of the data, of whichever attempt"
    story.machines["web-01"] = "spare-02"
    same_data()
    assert story.balancer_knows(rebuilt.new_address) == []
    assert len(story.balancer_knows(story.address("spare-02"))) >= 2


def test_end_state_is_that_of_an_uninterrupted_run(story: Story) -> None:
    if story.machines["web-01"] != "spare-02":
        pytest.skip("the interrupted rebuild did not end")
    whole, resumed = (story.snapshot(machine) for machine in ("spare", "spare-02"))
    assert resumed["packages"] == whole["packages"]
    assert resumed["databases"] == whole["databases"]
    accounts = [
        sorted(story.hand(machine, "cut", "-d:", "-f1,6,7", "/etc/passwd").splitlines())
        for machine in ("spare", "spare-02")
    ]
    assert accounts[0] == accounts[1]
    files = [
        {path: digest for path, digest in each["files"].items() if not OWN.match(path)} for each in (whole, resumed)
    ]
    assert {path for path in {*files[0], *files[1]} if files[0].get(path) != files[1].get(path)} == set()


def test_nothing_is_left_to_do(story: Story) -> None:
    if story.machines["web-01"] != "spare-02":
        pytest.skip("the interrupted rebuild did not end")
    run = story.play("site").require_success()
    assert run.changed == {}
