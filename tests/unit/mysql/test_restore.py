from __future__ import annotations

import json
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import dump, files, preflight, restore, state

from .conftest import FakeSession

HEADER = b"-- MariaDB dump\n/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;\n"


def test_the_data_of_a_failed_statement_is_not_repeated() -> None:
    text = (
        "--------------\nINSERT INTO `people` VALUES (1,'secret')\n--------------\n\n"
        "ERROR 2013 (HY000) at line 35: Lost connection to server during query\n"
    )
    assert restore.client_errors(text) == "ERROR 2013 (HY000) at line 35: Lost connection to server during query"


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
def test_the_client_cannot_run_programs_and_keeps_comments(engine: str, monkeypatch: t.Any) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    argv = restore.load_argv(engine=engine, database="shop", socket="/run/s")
    assert argv[0] == f"/usr/bin/{engine}"
    assert argv[1] == "--no-defaults"
    assert {"--binary-mode", "--comments", "--init-command=SET SESSION sql_log_bin = 0", "--socket=/run/s"} <= set(argv)
    assert argv[-2:] == ["--", "shop"]


def test_a_missing_client_names_its_package(monkeypatch: t.Any) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(WebstackError, match="apt-get install mariadb-client"):
        restore.load_argv(engine="mariadb", database="shop", socket=None)
    with pytest.raises(WebstackError, match="apt-get install mysql-client"):
        dump.dump_argv(engine="mysql", database="shop", socket=None)


def test_the_dump_client_writes_everything_and_names_no_schema(monkeypatch: t.Any) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    argv = dump.dump_argv(engine="mysql", database="-x", socket=None)
    assert {"--single-transaction", "--routines", "--triggers", "--events", "--hex-blob"} <= set(argv)
    assert "--set-gtid-purged=OFF" in argv
    assert not {"--databases", "--all-databases"} & set(argv)
    assert argv[-2:] == ["--", "-x"]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
class TestStream:
    def start(self, tmp_path: Path, script: str) -> dump.Stream:
        return dump.Stream(argv=["python3", "-c", script], path=tmp_path / "shop.sql.zst", level=1)

    def test_what_goes_in_comes_out(self, tmp_path: Path) -> None:
        stream = self.start(tmp_path, f"import sys; sys.stdout.buffer.write({HEADER!r} + b'x' * 3_000_000)")
        stream.wait_for_snapshot(timeout=20)
        entry = stream.finish(database="shop")
        assert entry["sha256"] == files.hash_file(stream.path)
        assert entry["size"] == stream.path.stat().st_size
        text = subprocess.run(["zstd", "-dc", stream.path], check=True, capture_output=True).stdout
        assert text == HEADER + b"x" * 3_000_000
        assert [path.name for path in tmp_path.iterdir()] == ["shop.sql.zst"]

    def test_the_header_alone_is_no_snapshot(self, tmp_path: Path) -> None:
        stream = self.start(
            tmp_path, f"import sys, time; sys.stdout.buffer.write({HEADER!r}); sys.stdout.flush(); time.sleep(60)"
        )
        with pytest.raises(WebstackError, match="wrote nothing within"):
            stream.wait_for_snapshot(timeout=0.5)
        stream.kill()

    def test_a_client_that_fails_is_not_hidden_by_the_pipe(self, tmp_path: Path) -> None:
        stream = self.start(tmp_path, "import sys; print('half a dump'); sys.exit('Got error: 1412')")
        stream.wait_for_snapshot(timeout=20)
        with pytest.raises(WebstackError) as caught:
            stream.finish(database="shop")
        assert caught.value.message == (
            "Dumping database `shop` failed: the dump client ended with exit code 1. Got error: 1412 "
            "The unfinished set was removed."
        )


def options(tmp_path: Path) -> restore.RestoreOptions:
    return restore.RestoreOptions(
        path=tmp_path / "set", databases=(), state_directory=tmp_path / "state", host="web-01"
    )


def write_set(tmp_path: Path, manifest: dict[str, t.Any]) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "manifest.json").write_text(json.dumps(manifest))


def test_all_reasons_are_listed_at_once(tmp_path: Path, manifest: t.Any) -> None:
    write_set(tmp_path, {**manifest, "version": "99.1.0"})
    session = FakeSession([("@@datadir", [("/",)]), ("mysql.user", [("other", "localhost")])])
    with pytest.raises(WebstackError) as caught:
        restore.make_plan(options=options(tmp_path), session=session)
    assert [problem.split()[0] for problem in caught.value.data["problems"]] == [
        "The",
        f"{tmp_path}/set/shop.sql.zst",
        "Views,",
    ]
    assert caught.value.message.startswith(
        f"Restoring {tmp_path}/set on web-01 is refused, nothing was changed:\n- The"
    )
    assert not any(word in statement for statement in session.ran for word in ("CREATE", "DROP", "ALTER"))


def test_a_done_restore_reads_no_files(tmp_path: Path, manifest: t.Any) -> None:
    write_set(tmp_path, manifest)
    store = state.StateStore(directory=tmp_path / "state")
    store.write({"database": "shop", "state": "restored", "dump_id": manifest["id"], "finished_at": "then"})
    session = FakeSession(
        [
            ("SCHEMATA", [("shop", "utf8mb4", "utf8mb4_general_ci")]),
            ("information_schema.TABLES", [("orders", "InnoDB", "BASE TABLE", 10)]),
            ("@@datadir", [("/",)]),
        ]
    )
    plan = restore.make_plan(options=options(tmp_path), session=session)
    assert plan.actions == {"shop": preflight.DONE}
    assert plan.to_load == []
    assert restore.summary(plan=plan, loaded={})["shop"]["state"] == "already_restored"


def test_a_database_that_the_dump_lacks_is_named(tmp_path: Path, manifest: t.Any) -> None:
    write_set(tmp_path, manifest)
    chosen = restore.RestoreOptions(
        path=tmp_path / "set", databases=("nowhere",), state_directory=tmp_path / "state", host="web-01"
    )
    with pytest.raises(WebstackError, match="The dump has no database `nowhere`; it has: shop"):
        restore.make_plan(options=chosen, session=FakeSession())
