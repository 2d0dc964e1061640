"""One round of looking whether a login works, and what becomes of a change in the middle of it."""

from __future__ import annotations

import types
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import guard, report

GOOD, OPEN_TO_ALL = {"/home/admin": "mode 755"}, {"/home/admin": "mode 777"}


class Store:
    """The host's files: good, until somebody changes one after so many looks at them."""

    def __init__(self, *, looks: int) -> None:
        self.good = dict(GOOD)
        self.looks = looks

    def refresh(self) -> bool:
        return False

    def scan(self, _tracked: object) -> dict[str, str]:
        self.looks -= 1
        return GOOD if self.looks >= 0 else OPEN_TO_ALL

    def differences(self, now: dict[str, str]) -> list[str]:
        return [path for path in now if now[path] != self.good[path]]


class Round(guard.Guard):
    """A guard on that host. Only a trial with the files finds fault with them, since the guard's own key lies apart."""

    def __init__(self, store: Store) -> None:
        self._store: t.Any = store
        self._tracked: t.Any = None
        self._voice = report.Report(quiet=True)
        self.closed: list[dict[int, str]] = []  # as of the next looks
        self._way_in: t.Any = types.SimpleNamespace(closed=lambda: self.closed.pop(0) if self.closed else {})
        self._logins: t.Any = types.SimpleNamespace(prepare=lambda: None)
        self.tried: list[str] = []
        self.kept: list[t.Any] = []
        self.online = ""  # what keeps accounts out of the server that runs
        self.started: list[str] = []
        self.calm = 99  # so many looks after it was mended it is changed again

    def _mounts_are_good(self) -> bool:
        return True

    def _settle_contested(self) -> None:
        pass

    def _look(self) -> guard.Seen:
        return guard.Seen(files=self._store.scan(None), network={}, mounts=[])

    def _is_stopping(self) -> bool:
        return False

    def _file_problem(self) -> str:
        return "/home/admin may be written by others" if self._store.scan(None) == OPEN_TO_ALL else ""

    def _restore_login(self, problem: str) -> bool:
        self.tried.append(problem)
        self._store.looks = self.calm
        return True

    def _hold_port(self) -> None:
        pass

    def _online_problem(self, *, one: bool = False) -> str:
        assert one in (True, False)
        return self.online

    def _restore_files(self, reason: str) -> list[str]:
        return [reason]

    def _start(self, reason: str, *, restart: bool = False) -> bool:
        assert restart
        self.started.append(reason)
        return True

    def _settle_logins(self, problem: str, seen: guard.Seen) -> None:
        if not problem and self._look() == seen:
            self.kept.append(seen.files)

    def run(self) -> None:
        self._hold_logins(due=True)


def test_a_change_between_two_looks_is_not_taken_for_good() -> None:
    for looks in range(4):
        host = Round(Store(looks=looks))
        host.run()
        assert OPEN_TO_ALL not in host.kept, f"changed after {looks} looks"


def test_a_change_that_was_there_before_is_put_back() -> None:
    host = Round(Store(looks=0))
    host.run()
    assert host.tried == ["/home/admin may be written by others"]


def test_a_change_that_is_made_again_once_it_was_put_back_is_not_taken_for_good() -> None:
    for calm in range(4):
        host = Round(Store(looks=0))
        host.calm = calm
        host.run()
        assert OPEN_TO_ALL not in host.kept, f"changed again after {calm} looks"


def test_a_server_that_lets_nobody_in_is_started_anew() -> None:
    host = Round(Store(looks=99))
    host.online = "no answer"
    host.run()
    assert host.started == ["a login failed: no answer"]


def test_a_server_is_let_be_where_its_network_was_taken_away_meanwhile() -> None:
    host = Round(Store(looks=99))
    host.online = "no connection"
    host.closed = [{}, {4: "silent"}]
    host.run()
    assert host.started == []
