"""Writers are held late in a clone, and before the moment that it shows, whatever it takes."""

from __future__ import annotations

import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import clone
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.clone import Stage

COPYING = [("FILE COPY", "In Progress", 50, 100), ("REDO COPY", "Not Started", 0, 0)]
NEARLY = [("FILE COPY", "In Progress", 96, 100), ("REDO COPY", "Not Started", 0, 0)]
AT_ITS_MOMENT = [("FILE COPY", "Completed", 100, 100), ("REDO COPY", "In Progress", 0, 10)]


class Server:
    """A server that clones: both sessions are this object."""

    def __init__(self, place: Path, shown: t.Sequence[list[tuple[str, str, int, int]]]) -> None:
        self.place, self.shown = place, list(shown)
        self.held, self.begun = threading.Event(), threading.Event()
        self.events: list[str] = []
        self.problem = ""

    def rows(self, statement: str) -> list[t.Any]:
        if "clone_progress" in statement:
            assert "PID = 42" in statement
            assert self.begun.wait(10)
            return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        return [(42,)] if "CONNECTION_ID" in statement else [(1,)]

    def execute(self, statement: str) -> None:
        if statement.startswith("KILL"):
            self.events.append(statement)
            self.held.set()
            return
        self.place.mkdir()
        self.events.append("cloned under the lock" if self.held.is_set() else "cloned")
        self.begun.set()
        assert self.held.wait(10)
        if self.problem:
            raise WebstackError(self.problem)

    def hold(self) -> None:
        self.events.append("held")
        self.held.set()


def run(server: Server) -> list[str]:
    session = t.cast("t.Any", server)
    clone.clone(place=server.place, cloner=session, watcher=session, hold=server.hold)
    return server.events


def test_writers_are_held_when_most_of_the_files_are_copied(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", [[], COPYING, COPYING, NEARLY])
    server.hold = lambda: server.events.append("held")  # type: ignore[method-assign]

    def rows(statement: str) -> list[t.Any]:
        found = Server.rows(server, statement)
        if server.events[-1:] == ["held"] and "clone_progress" in statement:
            server.held.set()  # it goes on to its end only once it was asked
        return found

    server.rows = rows  # type: ignore[method-assign]
    assert run(server) == ["cloned", "held"]
    assert server.shown == [NEARLY]


def test_a_clone_that_was_faster_is_made_again_under_the_lock(tmp_path: Path) -> None:
    assert run(Server(tmp_path / "data", [NEARLY, AT_ITS_MOMENT])) == ["cloned", "held", "cloned under the lock"]


def test_a_clone_is_ended_where_writers_cannot_be_held(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", [NEARLY])
    server.problem = "the query was interrupted"

    def hold() -> None:
        raise WebstackError("a long statement is in the way")

    server.hold = hold  # type: ignore[method-assign]
    with pytest.raises(WebstackError, match="a long statement"):
        run(server)
    assert server.events == ["cloned", "KILL QUERY 42"]


def test_a_clone_that_fails_says_so(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", [NEARLY])
    server.problem = "no space left"
    with pytest.raises(WebstackError, match="no space left"):
        run(server)


@pytest.mark.parametrize(
    ("stage", "near"),
    [
        (Stage("Not Started", 0, 0), False),
        (Stage("In Progress", 0, 0), False),
        (Stage("In Progress", 94, 100), False),
        (Stage("In Progress", 95, 100), True),
        (Stage("Completed", 100, 100), True),
    ],
)
def test_near_the_end(stage: Stage, near: bool) -> None:
    assert clone.is_near_its_end({"FILE COPY": stage}) == near
    assert not clone.is_near_its_end({})


def test_before_the_moment() -> None:
    assert clone.is_before_its_moment({"REDO COPY": Stage("Not Started", 0, 0)})
    assert not clone.is_before_its_moment({"REDO COPY": Stage("In Progress", 0, 0)})
    assert not clone.is_before_its_moment({})


def test_tables_that_a_clone_leaves_empty_are_refused() -> None:
    clone.refuse_others(tables=[])
    with pytest.raises(WebstackError, match=r"these would come empty: `shop`\.`old`"):
        clone.refuse_others(tables=["`shop`.`old`"])
