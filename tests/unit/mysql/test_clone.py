"""Writers are held late in a clone, and before the moment that it shows, whatever it takes."""

from __future__ import annotations

import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import clone
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.clone import Stage

COPYING = [("FILE COPY", "In Progress", 49, 100), ("PAGE COPY", "Not Started", 0, 0)]
NEARLY = [("FILE COPY", "In Progress", 91, 100), ("PAGE COPY", "Not Started", 0, 0)]
TOO_LATE = [("FILE COPY", "Completed", 100, 100), ("PAGE COPY", "In Progress", 0, 10)]


class Server:
    """A server that clones: both sessions are this object.

    :arg shown: How far it says that it is, each time it is asked; each clone ends with the last of its list.
    """

    def __init__(self, place: Path, *shown: t.Sequence[list[tuple[str, str, int, int]]]) -> None:
        self.place, self.shown = place, [list(each) for each in shown]
        self.held, self.begun, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.events: list[str] = []
        self.problem = ""

    def rows(self, statement: str) -> list[t.Any]:
        if "clone_progress" not in statement:
            return [(42,)] if "CONNECTION_ID" in statement else [(1,)]
        assert "PID = 42" in statement
        assert self.begun.wait(10)
        answers = self.shown[0]
        answer = answers.pop(0)
        if not answers:
            self.shown.pop(0)
            self.begun.clear()
            self.ended.set()
        return answer

    def execute(self, statement: str) -> None:
        if statement.startswith("KILL"):
            self.events.append(statement)
            self.ended.set()
            return
        self.place.mkdir()
        self.events.append("cloned")
        self.begun.set()
        assert self.held.is_set() or self.ended.wait(10)
        self.ended.clear()
        if self.problem:
            raise WebstackError(self.problem)

    def hold(self) -> None:
        if not self.shown:  # nobody is asked any more
            self.held.set()
        self.events.append("held")

    def release(self) -> None:
        self.events.append("released")


def run(server: Server) -> list[str]:
    session = t.cast("t.Any", server)
    clone.clone(place=server.place, cloner=session, watcher=session, hold=server.hold, release=server.release)
    return server.events


def test_writers_are_held_when_most_of_the_files_are_copied(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", [[], COPYING, COPYING, NEARLY, NEARLY])
    assert run(server) == ["cloned", "held"]
    assert server.shown == []
    assert server.place.is_dir()


def test_a_clone_that_was_faster_is_made_again_with_a_larger_rest(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", [NEARLY, TOO_LATE], [[("FILE COPY", "In Progress", 50, 100)], COPYING])
    assert run(server) == ["cloned", "held", "released", "cloned", "held"]


def test_a_short_clone_is_made_under_the_lock_at_last(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", [NEARLY, TOO_LATE], [TOO_LATE, TOO_LATE])
    assert run(server) == ["cloned", "held", "released"] * 2 + ["held", "cloned"]


def test_a_clone_is_ended_where_writers_cannot_be_held(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", [NEARLY, NEARLY])
    server.problem = "the query was interrupted"

    def hold() -> None:
        raise WebstackError("a long statement is in the way")

    server.hold = hold  # type: ignore[method-assign]
    with pytest.raises(WebstackError, match="a long statement"):
        run(server)
    assert server.events == ["cloned", "KILL QUERY 42", "released"]


def test_a_clone_that_fails_says_so_and_lets_writers_go_on(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", [NEARLY, NEARLY])
    server.problem = "no space left"
    with pytest.raises(WebstackError, match="no space left"):
        run(server)
    assert server.events[-1] == "released"


@pytest.mark.parametrize(
    ("stage", "near"),
    [
        (Stage("Not Started", 0, 0), False),
        (Stage("In Progress", 0, 0), False),
        (Stage("In Progress", 89, 100), False),
        (Stage("In Progress", 90, 100), True),
        (Stage("Completed", 100, 100), True),
    ],
)
def test_near_the_end(stage: Stage, near: bool) -> None:
    assert clone.has_copied({"FILE COPY": stage}, part=0.9) == near
    assert not clone.has_copied({}, part=0.9)


def test_before_the_moment() -> None:
    assert clone.is_before_its_moment({"PAGE COPY": Stage("Not Started", 0, 0)})
    assert not clone.is_before_its_moment({"PAGE COPY": Stage("In Progress", 0, 0)})
    assert not clone.is_before_its_moment({})


def test_tables_that_a_clone_leaves_empty_are_refused() -> None:
    clone.refuse_others(tables=[])
    with pytest.raises(WebstackError, match=r"these would come empty: `shop`\.`old`"):
        clone.refuse_others(tables=["`shop`.`old`"])
