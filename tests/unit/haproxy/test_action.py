"""What the controller adds: who runs, whether they still do, and what is waited for."""

from __future__ import annotations

import subprocess
import sys

from ansible_collections.phoenix.webstack.plugins.action import haproxy_backend


def test_a_run_knows_itself_alive() -> None:
    holder, owner = haproxy_backend.this_run()
    assert ", process " in holder
    assert not haproxy_backend.is_dead(owner)


def test_a_run_that_has_ended_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = f"{haproxy_backend.controller()} {process.pid} {haproxy_backend.started(process.pid)}"
        assert not haproxy_backend.is_dead(owner)
        process.communicate(b"\n")
    assert haproxy_backend.is_dead(owner)


def test_another_process_of_the_same_number_is_not_taken_for_the_run() -> None:
    controller, number, _started = haproxy_backend.this_run()[1].rsplit(" ", 2)
    assert haproxy_backend.is_dead(f"{controller} {number} 1")


def test_nobody_knows_of_a_run_elsewhere() -> None:
    assert not haproxy_backend.is_dead("elsewhere/5b1c 1 1")
    assert not haproxy_backend.is_dead("pid 17")


def test_what_is_waited_for() -> None:
    waiting = {"sessions": {"web-01": 2, "web-01:6d05a4fd": 1, "web-02": 4}, "seconds": 28.4}
    assert haproxy_backend.progress(waiting) == "sessions left: web-01 3, web-02 4 (waiting 28 s at most)"
