from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import accounts, backup, dump, files, scheduled
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Server
from ansible_collections.phoenix.webstack.plugins.modules import mysql_backup_program

from .conftest import FakeSession

MARIADB = Server("mariadb", "10.11.14")


def write_set(directory: Path, manifest: manifests.Manifest) -> Path:
    """Lay a whole set down, and give its folder."""
    path = directory / manifest["id"]
    path.mkdir()
    for entry in manifests.entries_of(manifest):
        (path / entry["file"]).write_bytes(b"1234")
    files.write_json(path=path / manifests.MANIFEST_FILE, value=manifest)
    return path


def test_settings_are_options_of_the_module(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"databases": ["shop"], "user": "u", "directory": "/d", "keep": "7"}))
    settings = scheduled.read_settings(path)
    assert {**settings, "databases": ["shop"]} == {
        **{name: option.get("default") for name, option in backup.ARGUMENTS.items()},
        "databases": ["shop"],
        "user": "u",
        "directory": "/d",
        "keep": 7,
        "metrics": "",
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"databases": ["shop"]}', '{"databases": 1, "user": "u"}'])
def test_settings_that_are_none_are_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(WebstackError, match=r"settings.json cannot be used: .+ The role mysql_backup writes it"):
        scheduled.read_settings(path)


def test_metrics_are_of_the_newest_whole_dump(manifest: t.Any) -> None:
    newest = {"manifest": {**manifest, "lock_seconds": 0.25}}
    lines = scheduled.metrics(newest=newest, succeeded=True, now="2026-11-23T09:00:00.000Z").splitlines()
    assert {line for line in lines if not line.startswith("#")} == {
        "phoenix_mysql_backup_last_run_timestamp_seconds 1795424400",
        "phoenix_mysql_backup_last_run_success 1",
        "phoenix_mysql_backup_last_success_timestamp_seconds 1795420800",
        "phoenix_mysql_backup_duration_seconds 1.000",
        "phoenix_mysql_backup_lock_seconds 0.250",
        "phoenix_mysql_backup_size_bytes 8",
        "phoenix_mysql_backup_tables 2",
        "phoenix_mysql_backup_rows 2",
    }
    assert sum(line.startswith("# TYPE") for line in lines) == 8


def test_without_any_dump_nothing_is_told_of_one() -> None:
    lines = scheduled.metrics(newest=None, succeeded=False, now="2026-11-23T09:00:00.000Z").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "phoenix_mysql_backup_last_run_timestamp_seconds 1795424400",
        "phoenix_mysql_backup_last_run_success 0",
    ]


def test_metrics_that_cannot_be_written_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scheduled.write_metrics(tmp_path / "m.prom", "x 1\n")
    assert (tmp_path / "m.prom").read_text() == "x 1\n"
    scheduled.write_metrics(tmp_path / "none" / "m.prom", "x 1\n")
    assert "The metrics could not be written to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (("success", "exited", "0"), []),
        (
            ("signal", "killed", "KILL"),
            ["the service ended by signal killed KILL", "x.partial", "The last good dump is"],
        ),
    ],
)
def test_the_end_is_told_and_remains_are_cleared(
    how: tuple[str, ...],
    told: list[str],
    manifest: t.Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(tmp_path, manifest)
    (tmp_path / "x.partial").mkdir()
    for name, value in zip(scheduled.HOW, how):
        monkeypatch.setenv(name, value)
    scheduled.conclude({"directory": str(tmp_path), "metrics": str(tmp_path / "m.prom")})
    lines = capsys.readouterr().err.splitlines()
    assert [part in line for part, line in zip(told, lines)] == [True] * len(told)
    assert len(lines) == len(told)
    assert (tmp_path / "x.partial").exists() == (how[0] == "success")
    assert f"last_run_success {int(how[0] == 'success')}" in (tmp_path / "m.prom").read_text()


def test_a_line_of_the_journal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    scheduled.say(scheduled.ERROR, "one\n  two")
    assert capsys.readouterr().err == "<3>one two\n"


def test_the_program_is_whole() -> None:
    folder = "ansible_collections/phoenix/webstack/plugins/module_utils"
    sources = mysql_backup_program.PROGRAM.sources()
    assert {f"{folder}/_mysql/{name}.py" for name in ("scheduled", "backup", "dump", "physical")} <= set(sources)
    imports = [line for text in sources.values() for line in text.splitlines() if line.startswith("from ansible.")]
    assert imports == []


def options(directory: Path) -> dump.DumpOptions:
    return dump.DumpOptions(databases=("shop", "crm"), directory=directory, host="web-02")


@pytest.mark.parametrize(("filled", "refused"), [(["shop"], False), (["crm"], True), ([], True)])
def test_a_database_that_was_emptied_is_not_dumped(
    filled: list[str], refused: bool, manifest: t.Any, tmp_path: Path
) -> None:
    write_set(tmp_path, manifest)
    session = FakeSession([("TABLE_SCHEMA", [(name,) for name in filled])])
    if refused:
        with pytest.raises(WebstackError, match=r"No table is left in: shop\. The last dump, 20261123T080000Z-web-02"):
            backup.refuse_emptied(session=session, options=options(tmp_path))
    else:
        backup.refuse_emptied(session=session, options=options(tmp_path))


def test_a_database_that_never_had_tables_is_dumped(tmp_path: Path) -> None:
    backup.refuse_emptied(session=FakeSession(), options=options(tmp_path))


def test_the_newest_whole_set_is_found(manifest: t.Any, tmp_path: Path) -> None:
    assert backup.newest_whole(directory=tmp_path / "none") is None
    write_set(tmp_path, manifest)
    younger = {**manifest, "id": "20261124T080000Z-web-01", "host": "web-01", "snapshot_at": "2026-11-24T08:00:00.100Z"}
    broken = {**younger, "id": "20261125T080000Z-web-01", "snapshot_at": "2026-11-25T08:00:00.100Z"}
    write_set(tmp_path, younger)
    (write_set(tmp_path, broken) / "shop.schema.sql.zst").unlink()
    newest = [backup.newest_whole(directory=tmp_path, host=host) for host in (None, "web-02", "web-03")]
    assert [each and each["id"] for each in newest] == [younger["id"], manifest["id"], None]


@pytest.mark.parametrize(
    ("server", "grants"),
    [
        (
            MARIADB,
            {
                "*.*": {"RELOAD", "BINLOG MONITOR"},
                "mysql.proc": {"SELECT"},
                "shop.*": {"SELECT", "SHOW VIEW", "TRIGGER", "EVENT"},
            },
        ),
        (
            Server("mariadb", "11.8.6"),
            {
                "*.*": {"RELOAD", "BINLOG MONITOR"},
                "shop.*": {"SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "SHOW CREATE ROUTINE"},
            },
        ),
        (
            Server("mysql", "9.7.4"),
            {
                "*.*": {"FLUSH_TABLES", "REPLICATION CLIENT", "SHOW_ROUTINE"},
                "shop.*": {"SELECT", "SHOW VIEW", "TRIGGER", "EVENT"},
            },
        ),
    ],
)
def test_a_dump_needs_few_privileges(server: Server, grants: dict[str, set[str]]) -> None:
    assert accounts.dump_grants(databases=["shop"], server=server) == grants
    assert accounts.dump_grants(databases=[], server=server) == {}


def test_privileges_add_up() -> None:
    user = {"privileges": {"shop.*": ["INSERT"], "crm.*": ["SELECT"]}, "dumps": ["shop"]}
    grants = accounts.wanted_grants(user, server=MARIADB)
    assert grants is not None
    assert grants["shop.*"] == {"SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "INSERT"}
    assert grants["crm.*"] == {"SELECT"}


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        ([], "BINLOG MONITOR on *.*, RELOAD on *.*, SELECT on mysql.proc, EVENT on shop.*, SELECT on shop.*"),
        (["GRANT ALL PRIVILEGES ON *.* TO `b`@`localhost`"], ""),
        (
            [
                "GRANT RELOAD, BINLOG MONITOR, SELECT ON *.* TO `b`@`localhost` IDENTIFIED VIA unix_socket",
                "GRANT SHOW VIEW, EVENT ON `shop`.* TO `b`@`localhost`",
            ],
            "lacks TRIGGER on shop.*, and",
        ),
    ],
)
def test_an_account_that_does_not_see_all_is_refused(lines: list[str], missing: str) -> None:
    session = FakeSession([("SHOW GRANTS", [(line,) for line in lines])])
    if not missing:
        accounts.refuse_blind(session=session, databases=["shop"])
        return
    with pytest.raises(WebstackError, match="Nothing was dumped") as caught:
        accounts.refuse_blind(session=session, databases=["shop"])
    assert missing in caught.value.message


def test_no_link_is_followed_to_what_is_given_or_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").touch()
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(files.os, "chown", lambda path, *_numbers, **_how: given.append(Path(path).name))
    files.give(tmp_path / "set", uid=1, gid=1)
    assert given == ["set", "link"]
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere" / "secret")
    with pytest.raises(OSError, match="symbolic links"), files.exclusive_lock(path=tmp_path / ".lock", what="x"):
        pass


def test_what_root_writes_among_somebodys_is_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file").touch()
    monkeypatch.setattr(files.os, "chown", lambda path, *_numbers, **_how: given.append(Path(path).name))
    files.hand_over(tmp_path / "set", like=tmp_path)
    assert given == []
    monkeypatch.setattr(files.os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    files.hand_over(tmp_path / "set", like=tmp_path)
    assert given == ["set", "file"]
