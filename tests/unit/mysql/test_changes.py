"""What came after a dump: where it can be had, and where it may be replayed."""

from __future__ import annotations

import json
import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import changes, state
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.load import Loader

from .conftest import FakeSession

BEGINS = {"file": "binlog.000002", "position": 400, "gtid": ""}
LOGS = ("SHOW BINARY LOGS", [("binlog.000001", 900), ("binlog.000002", 900), ("binlog.000003", 50)])


def collect(
    tmp_path: Path, manifest: dict[str, t.Any], *answers: tuple[str, list[tuple[t.Any, ...]]], **more: t.Any
) -> str:
    """The reason why nothing could be had."""
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "binlog": BEGINS, **more}), encoding="utf-8")
    known = [*answers, ("@@log_bin", [(1,)]), LOGS, ("SCHEMATA", [("shop", "utf8mb4", "c"), ("mysql", "utf8mb4", "c")])]
    session = FakeSession(known)
    found = changes.collect(options=changes.ChangesOptions(path=tmp_path), connect=lambda: session)
    assert found["available"] is False
    assert session.closed
    assert not any("READ LOCK" in each for each in session.ran), "nobody is held for nothing"
    return str(found["reason"])


def test_why_there_is_nothing_to_be_had(tmp_path: Path, manifest: dict[str, t.Any]) -> None:
    assert collect(tmp_path, manifest, binlog=None) == "web-02 kept no binary log when the dump was taken (log_bin)"
    purged = ("SHOW BINARY LOGS", [("binlog.000003", 50)])
    gone = "web-02 no longer has the binary log binlog.000002, at which the dump ends"
    assert collect(tmp_path, manifest, purged) == gone
    assert collect(tmp_path, manifest, ("@@log_bin", [(0,)])) == gone
    filtered = ("SHOW MASTER STATUS", [("binlog.000003", 50, "", "log")])
    assert collect(tmp_path, manifest, filtered).startswith("web-02 leaves databases out of its binary log")
    others = ("SCHEMATA", [("shop", "utf8mb4", "c"), ("blog", "utf8mb4", "c"), ("mysql", "utf8mb4", "c")])
    said = "the binary log of web-02 is about databases too that were not dumped: blog"
    assert collect(tmp_path, manifest, others) == said


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
def test_the_log_is_read_from_the_dump_to_the_moment(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    session = FakeSession(
        [("@@log_bin_basename", [("/var/lib/mysql/binlog",)]), ("@@log_bin", [(1,)]), LOGS], engine=engine
    )
    argv = changes._argv(session=session, moment={"from": BEGINS, "to": {"file": "binlog.000003", "position": 40}})
    assert argv[0] == ("/usr/bin/mariadb-binlog" if engine == "mariadb" else "/usr/bin/mysqlbinlog")
    assert {"--disable-log-bin", "--start-position=400", "--stop-position=40"} <= set(argv)
    assert ("--skip-gtids" in argv) == (engine == "mysql")
    assert argv[-2:] == ["/var/lib/mysql/binlog.000002", "/var/lib/mysql/binlog.000003"]


class Sink(Loader):
    """Remembers what was loaded."""

    def __init__(self) -> None:
        self.loaded: list[Path] = []

    def load(self, *, database: str, named: str, path: Path) -> None:
        assert database == named
        self.loaded.append(path)


def replay(tmp_path: Path, **states: dict[str, t.Any]) -> tuple[changes.Replay, Sink]:
    store = state.StateStore(directory=tmp_path)
    for name, known in states.items():
        store.write({"database": name, "state": state.RESTORED, "dump_id": "d1", **known})
    sink = Sink()
    manifest = {"dump_id": "d1", "snapshot_at": "now", "server": {"file": "binlog.zst"}, "databases": {"shop": {}}}
    session = FakeSession([("SCHEMATA", [("shop", "utf8mb4", "c"), ("mysql", "utf8mb4", "c")])])
    made = changes.Replay(manifest=manifest, directory=tmp_path, session=session, store=store, loader=sink)
    return made, sink


def test_what_was_replayed_is_not_replayed_again(tmp_path: Path) -> None:
    made, sink = replay(tmp_path, shop={"changes_until": "now"})
    assert made.run(sessions=[]) is False
    assert sink.loaded == []


@pytest.mark.parametrize("known", [{}, {"dump_id": "d2"}, {"state": state.REPLAYING}, {"changes_until": "before"}])
def test_only_what_the_dump_was_restored_into_takes_it(tmp_path: Path, known: dict[str, t.Any]) -> None:
    made, sink = replay(tmp_path, **({"shop": known} if known else {}))
    with pytest.raises(WebstackError, match="shop is not as it was restored from it"):
        made.run(sessions=[])
    assert sink.loaded == []


def test_damaged_changes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WebstackError, match="no dump set, or only a part of one"):
        changes.read_changes(directory=tmp_path)
    (tmp_path / "manifest.json").write_text('{"server": {}}', encoding="utf-8")
    with pytest.raises(WebstackError, match="it has no dump_id, engine, version, from, to, snapshot_at, databases"):
        changes.read_changes(directory=tmp_path)
    (tmp_path / "manifest.json").write_text("[]", encoding="utf-8")
    with pytest.raises(WebstackError, match="no JSON object"):
        changes.read_changes(directory=tmp_path)
