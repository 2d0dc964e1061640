from __future__ import annotations

import json
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    catalog,
    dump,
    files,
    load,
    preflight,
    restore,
    state,
    switch,
)

from .conftest import FakeSession

HEADER = b"-- MariaDB dump\n/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;\n"
NEW_HEADER = b"-- MariaDB dump\n/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;\n\n"
PART = dump.Part(name="data", label="data-01", options=("--no-create-info",), tables=("--force", "b"))


def test_the_data_of_a_failed_statement_is_not_repeated() -> None:
    text = (
        "--------------\nINSERT INTO `people` VALUES (1,'secret')\n--------------\n\n"
        "ERROR 2013 (HY000) at line 35: Lost connection to server during query\n"
    )
    assert load.client_errors(text) == "ERROR 2013 (HY000) at line 35: Lost connection to server during query"


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
def test_the_client_cannot_run_programs_and_keeps_comments(engine: str, monkeypatch: t.Any) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    argv = load.load_argv(engine=engine, database="shop", socket="/run/s")
    assert argv[0] == f"/usr/bin/{engine}"
    assert argv[1] == "--no-defaults"
    assert {"--binary-mode", "--comments", "--socket=/run/s"} <= set(argv)
    assert "--init-command=SET SESSION sql_log_bin = 0, foreign_key_checks = 0, unique_checks = 0" in argv
    assert argv[-2:] == ["--", "shop"]


def test_a_missing_client_names_its_package(monkeypatch: t.Any) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(WebstackError, match="apt-get install mariadb-client"):
        load.load_argv(engine="mariadb", database="shop", socket=None)
    with pytest.raises(WebstackError, match="apt-get install mysql-client"):
        dump.dump_argv(engine="mysql", database="shop", socket=None, part=PART)


def test_the_dump_client_writes_everything_and_names_no_schema(monkeypatch: t.Any) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    argv = dump.dump_argv(engine="mysql", database="-x", socket=None, part=PART)
    assert {"--single-transaction", "--no-create-info", "--hex-blob"} <= set(argv)
    assert "--set-gtid-purged=OFF" in argv
    assert not {"--databases", "--all-databases"} & set(argv)
    assert argv[-4:] == ["--", "-x", "--force", "b"]


def database(*tables: t.Any, views: t.Sequence[str] = ()) -> catalog.Database:
    return catalog.Database(
        name="shop",
        charset="utf8mb4",
        collation="utf8mb4_general_ci",
        tables=tables,
        objects={**{kind: {} for kind in catalog.KINDS}, "views": dict.fromkeys(views, "")},
        definers=(),
    )


def table(name: str, size: int, *, structure: str = "s", versioned: bool = False) -> catalog.Table:
    return catalog.Table(name=name, engine="InnoDB", size=size, columns=(), structure=structure, versioned=versioned)


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("tables", "shares"),
    [
        ([], []),
        ([table("a", 0), table("b", 0)], [["a", "b"]]),
        ([table("a", 15 * MIB), table("b", 15 * MIB)], [["a", "b"]]),
        ([table("a", 16 * MIB), table("b", 16 * MIB)], [["a"], ["b"]]),
        ([table("a", 60 * MIB), table("b", 20 * MIB), table("c", 30 * MIB), table("d", 1)], [["a"], ["c", "b", "d"]]),
        ([table("a", 900 * MIB)], [["a"]]),
    ],
)
def test_tables_are_shared_by_size(tables: t.Any, shares: t.Any) -> None:
    assert dump.share_tables(tables=tables, workers=2) == shares


def test_views_are_dumped_once_and_last() -> None:
    parts = dump.split_database(database=database(table("t", 1), views=["v"]), engine="mariadb", workers=2)
    assert [part.label for part in parts] == ["schema", "data-01", "routines", "views"]
    assert all("--ignore-table=shop.v" in part.options for part in (parts[0], parts[2]))
    assert parts[3].tables == ("v",)
    without = dump.split_database(database=database(), engine="mariadb", workers=2)
    assert [part.label for part in without] == ["schema", "routines"]


def test_the_history_of_versioned_tables_is_dumped_too() -> None:
    parts = dump.split_database(database=database(table("t", 1, versioned=True)), engine="mariadb", workers=1)
    assert "--dump-history" in parts[1].options


def test_a_schema_that_changes_beside_the_dump_is_refused() -> None:
    before = database(table("a", 1), table("b", 1), views=["v"])
    dump.refuse_changed_schema(before=[before], after=[database(table("a", 5), table("b", 9), views=["v"])])
    with pytest.raises(WebstackError, match=r"changed: shop\.a, shop\.c, view shop\.v\. A dump of one moment"):
        dump.refuse_changed_schema(
            before=[before], after=[database(table("a", 1, structure="new"), table("b", 1), table("c", 1))]
        )


CREATED = """CREATE TABLE `t` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `a``b` varchar(10) DEFAULT 'KEY `x` (`y`),',
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`a``b`),
  KEY `plain` (`a``b`(5),`id`),
  KEY `again` (`id`),
  KEY `odd ``key``` (`a``b`) COMMENT 'x, y',
  FULLTEXT KEY `words` (`a``b`),
  CONSTRAINT `ref` FOREIGN KEY (`id`) REFERENCES `p` (`id`) ON DELETE CASCADE,
  CONSTRAINT `c` CHECK (`id` > 0)
) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4"""


def test_plain_indexes_and_references_wait() -> None:
    found = load.plan_deferral(table="t", created=CREATED)
    assert found is not None
    assert found.removals == ("DROP FOREIGN KEY `ref`", "DROP KEY `odd ``key```", "DROP KEY `plain`")
    assert found.additions == (
        "ADD KEY `plain` (`a``b`(5),`id`)",
        "ADD KEY `odd ``key``` (`a``b`) COMMENT 'x, y'",
        "ADD CONSTRAINT `ref` FOREIGN KEY (`id`) REFERENCES `p` (`id`) ON DELETE CASCADE",
    )
    assert "AUTO_INCREMENT=7" not in found.created


def test_nothing_waits_where_nothing_is_gained() -> None:
    assert load.plan_deferral(table="t", created="CREATE TABLE `t` (\n  `a` int,\n  KEY `a` (`a`)\n)") is None
    assert load.plan_deferral(table="t", created="CREATE TABLE `t` (\n  `a` int,\n  PRIMARY KEY (`a`)\n)") is None


def test_moves_are_one_statement() -> None:
    assert switch.move_statement([("shop", "a`b", "old"), ("new", "a`b", "shop")]) == (
        "RENAME TABLE `shop`.`a``b` TO `old`.`a``b`, `new`.`a``b` TO `shop`.`a``b`"
    )


def test_names_beside_fit() -> None:
    assert switch.beside("shop", "__incoming") == "shop__incoming"
    long = [switch.beside("x" * 63 + end, "__before_20261123T080000Z") for end in "ab"]
    assert len(set(long)) == 2
    assert all(len(name) <= 64 for name in long)


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

    @pytest.mark.parametrize("header", [HEADER, NEW_HEADER])
    def test_the_snapshot_is_seen_before_the_end(self, tmp_path: Path, header: bytes) -> None:
        text = header + b"-- Dumping data"
        script = f"import sys, time; sys.stdout.buffer.write({text!r}); sys.stdout.flush(); time.sleep(60)"
        stream = self.start(tmp_path, script)
        stream.wait_for_snapshot(timeout=20)
        stream.kill()

    @pytest.mark.parametrize("header", [HEADER, NEW_HEADER])
    def test_the_header_alone_is_no_snapshot(self, tmp_path: Path, header: bytes) -> None:
        stream = self.start(
            tmp_path, f"import sys, time; sys.stdout.buffer.write({header!r}); sys.stdout.flush(); time.sleep(60)"
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
        f"{tmp_path}/set/shop.schema.sql.zst",
        f"{tmp_path}/set/shop.data-01.sql.zst",
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
