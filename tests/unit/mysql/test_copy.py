from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    dump,
    files,
    physical,
    preflight,
    restore,
    scratch,
    server_restore,
    state,
    verify,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Server

from .conftest import FakeSession


def test_a_copy_is_described_in_the_manifest(manifest: t.Any) -> None:
    copy = {"file": "server.zst", "size": 4, "sha256": "0" * 64, "bytes": 9}
    whole = {**manifest, "method": "physical", "server": copy}
    assert manifests.files_of(manifests.parse_manifest(text=json.dumps(whole), origin="m"))[:2] == [
        "manifest.json",
        "server.zst",
    ]
    with pytest.raises(WebstackError, match="the copy of the server is not described"):
        manifests.parse_manifest(text=json.dumps({**manifest, "method": "physical"}), origin="m")


def test_files_go_into_their_own_series(manifest: t.Any) -> None:
    assert preflight.judge_same_series(manifest=manifest, server=Server("mariadb", "10.11.2")) == []
    (problem,) = preflight.judge_same_series(manifest=manifest, server=Server("mariadb", "11.8.6"))
    assert "which only the same release series reads; this server is MariaDB 11.8.6." in problem


def test_a_copy_has_all_databases() -> None:
    session = FakeSession([("SCHEMATA", [("shop", "", ""), ("crm", "", ""), ("mysql", "", "")])])
    physical.refuse_part(session=session, databases=["crm", "shop"])
    with pytest.raises(WebstackError, match="missing: crm"):
        physical.refuse_part(session=session, databases=["shop"])


def test_a_damaged_copy_is_told(tmp_path: Path) -> None:
    path = tmp_path / "server.zst"
    assert verify.verify_copy(path=path, entry={}) == [f"{path} is missing."]
    path.write_bytes(b"1234")
    entry = {"size": 4, "sha256": files.hash_file(path)}
    assert verify.verify_copy(path=path, entry=entry) == []
    assert "cut off" in verify.verify_copy(path=path, entry={**entry, "size": 5})[0]
    path.write_bytes(b"1235")
    assert "its content is damaged" in verify.verify_copy(path=path, entry=entry)[0]


def paused_client(path: Path, *lines: str) -> dump.Stream:
    """A client that logs lines as fast as it can."""
    script = f"import sys; sys.stderr.write({chr(10).join(lines)!r}); sys.stderr.flush(); print('the end')"
    return dump.Stream(argv=["python3", "-u", "-c", script], path=path, level=1, pause_at=b"begin")


def test_a_client_is_stopped_where_it_logs_a_word(tmp_path: Path) -> None:
    stream = paused_client(tmp_path / "x.zst", "hello", "begin", *["and more"] * 2000, "end")
    assert stream.wait_for_pause(before=b"end")
    assert b"end" not in stream._logged()
    stream.resume()
    assert stream.finish(database="x")["size"] > 0


@pytest.mark.parametrize("lines", [("begin", "end"), ("hello",)])
def test_a_client_that_cannot_be_stopped_in_time_is_told(tmp_path: Path, lines: tuple[str, ...]) -> None:
    stream = paused_client(tmp_path / "x.zst", *lines)
    assert not stream.wait_for_pause(before=b"end")
    stream.kill()
    stream.abandon()


@pytest.mark.parametrize(
    ("free_kb", "used"), [(100, 128 << 20), (1 << 20, 1 << 29), (1 << 26, 4 << 30), (None, 128 << 20)]
)
def test_a_log_is_applied_with_half_of_the_free_memory(tmp_path: Path, free_kb: int | None, used: int) -> None:
    path = tmp_path / "meminfo"
    path.write_text(f"MemFree: 1 kB\nMemAvailable:   {free_kb} kB\n" if free_kb else "")
    assert server_restore.spare_memory(path) == used


class Service:
    """A service that starts unless the data it would start on says otherwise."""

    def __init__(self, datadir: Path) -> None:
        self.datadir = datadir
        self.said: list[str] = []

    def __call__(self, verb: str, _unit: str) -> None:
        self.said.append(verb)
        if verb == "start" and (self.datadir / "broken").exists():
            raise WebstackError("it does not start")


class TestSwap:
    @pytest.fixture
    def world(self, tmp_path: Path, monkeypatch: t.Any) -> t.Any:
        for name, content in (("mysql", "old"), ("mysql.incoming", "new")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "content").write_text(content)
        service = Service(tmp_path / "mysql")
        monkeypatch.setattr(server_restore, "_systemctl", service)
        monkeypatch.setattr(restore, "reopen_session", lambda _connect: FakeSession())
        store = state.StateStore(directory=tmp_path / "state")
        store.directory.mkdir()
        return tmp_path, service, store

    def journal(self, path: Path, store: state.StateStore, *, keep: bool) -> dict[str, t.Any]:
        journal = {
            "dump_id": "d",
            "databases": ["shop"],
            "datadir": str(path / "mysql"),
            "incoming": str(path / "mysql.incoming"),
            "kept": str(path / "mysql.before"),
            "keep": keep,
            "service": "mariadb",
        }
        files.write_json(path=store.directory / server_restore.JOURNAL_FILE, value=journal)
        return journal

    @pytest.mark.parametrize("keep", [True, False])
    def test_the_copy_takes_the_place(self, world: t.Any, keep: bool) -> None:
        path, service, store = world
        kept = server_restore.finish(journal=self.journal(path, store, keep=keep), store=store, connect=FakeSession)
        assert (path / "mysql" / "content").read_text() == "new"
        assert (kept == path / "mysql.before") == keep == (path / "mysql.before").exists()
        assert service.said == ["stop", "start"]
        assert store.read("shop")["dump_id"] == "d"
        assert server_restore.resume(store=store, connect=FakeSession) is None

    def test_a_copy_that_does_not_start_goes_away_again(self, world: t.Any) -> None:
        path, service, store = world
        (path / "mysql.incoming" / "broken").write_text("")
        with pytest.raises(WebstackError, match="did not start on the restored data"):
            server_restore.finish(journal=self.journal(path, store, keep=False), store=store, connect=FakeSession)
        assert (path / "mysql" / "content").read_text() == "old"
        assert service.said == ["stop", "start", "stop", "start"]
        assert store.read("shop") is None

    def test_a_kill_before_the_first_rename_is_taken_back(self, world: t.Any) -> None:
        path, _service, store = world
        self.journal(path, store, keep=True)
        assert "was put back" in str(server_restore.resume(store=store, connect=FakeSession))
        assert (path / "mysql" / "content").read_text() == "old"
        assert not (path / "mysql.incoming").exists()

    @pytest.mark.parametrize("renames", [1, 2])
    def test_a_kill_after_it_is_finished(self, world: t.Any, renames: int) -> None:
        path, _service, store = world
        self.journal(path, store, keep=True)
        (path / "mysql").rename(path / "mysql.before")
        if renames == 2:
            (path / "mysql.incoming").rename(path / "mysql")
        assert "was finished" in str(server_restore.resume(store=store, connect=FakeSession))
        assert (path / "mysql" / "content").read_text() == "new"
        assert (path / "mysql.before" / "content").read_text() == "old"

    def test_a_server_that_cannot_be_stopped_is_left_alone(self, world: t.Any, monkeypatch: t.Any) -> None:
        path, _service, store = world

        def refuse(_verb: str, unit: str) -> None:
            raise WebstackError(f"{unit} does not stop")

        monkeypatch.setattr(server_restore, "_systemctl", refuse)
        with pytest.raises(WebstackError, match="mariadb does not stop"):
            server_restore.finish(journal=self.journal(path, store, keep=True), store=store, connect=FakeSession)
        assert (path / "mysql" / "content").read_text() == "old"
        assert server_restore.resume(store=store, connect=FakeSession) is None


def test_definers_of_a_trial_cannot_log_in() -> None:
    session = FakeSession()
    scratch.make_accounts(session=session, accounts=["o'hara@10.%"])
    assert session.ran == ["CREATE USER IF NOT EXISTS 'o''hara'@'10.%' ACCOUNT LOCK"]
