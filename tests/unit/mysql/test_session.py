from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import session


@pytest.mark.parametrize(
    ("version", "comment", "engine", "number", "series"),
    [
        ("10.11.18-MariaDB-0+deb12u1", "Debian 12", "mariadb", "10.11.18", (10, 11)),
        ("11.8.6-MariaDB-0+deb13u1-log", "-- Please help get to 10k stars", "mariadb", "11.8.6", (11, 8)),
        ("5.5.5-10.6.1-MariaDB", "", "mariadb", "10.6.1", (10, 6)),
        ("9.7.4-1", "(Debian)", "mysql", "9.7.4", (9, 7)),
        ("8.0.42-0ubuntu0.24.04.1", "(Ubuntu)", "mysql", "8.0.42", (8, 0)),
        ("11.4.2", "mariadb.org binary distribution", "mariadb", "11.4.2", (11, 4)),
    ],
)
def test_engine_and_version_are_told_apart(
    version: t.Any, comment: t.Any, engine: t.Any, number: t.Any, series: t.Any
) -> None:
    server = session.parse_server(version=version, comment=comment)
    assert (server.engine, server.version, server.series) == (engine, number, series)


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(WebstackError, match="no version number"):
        session.parse_server(version="unknown", comment="")


def test_titles_are_what_people_say() -> None:
    assert session.title_of(engine="mariadb", version="10.11.1") == "MariaDB 10.11.1"
    assert session.title_of(engine="mysql", version="9.7.0") == "MySQL 9.7.0"


@pytest.mark.parametrize(("name", "quoted"), [("a", "`a`"), ("it`s", "`it``s`"), ("a.b", "`a.b`")])
def test_names_are_quoted(name: t.Any, quoted: t.Any) -> None:
    assert session.identifier(name) == quoted


@pytest.mark.parametrize(("text", "quoted"), [("a", "'a'"), ("it's", "'it''s'"), ("a\\", "'a\\\\'")])
def test_texts_are_quoted(text: t.Any, quoted: t.Any) -> None:
    assert session.literal(text) == quoted


def test_a_missing_socket_names_the_next_command(tmp_path: t.Any, monkeypatch: t.Any) -> None:
    monkeypatch.setattr(session, "PYMYSQL_IMPORT_ERROR", None)
    with pytest.raises(WebstackError, match="systemctl status mariadb mysql"):
        session.connect(login_unix_socket=str(tmp_path / "none.sock"))


def test_a_socket_in_a_folder_that_may_not_be_looked_into_is_none(monkeypatch: t.Any) -> None:
    def refuse(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_socket", refuse)
    assert session.find_socket(login_unix_socket=None) is None


def test_a_missing_library_names_its_package(monkeypatch: t.Any) -> None:
    monkeypatch.setattr(session, "PYMYSQL_IMPORT_ERROR", "Traceback")
    with pytest.raises(WebstackError, match="apt-get install python3-pymysql"):
        session.connect(login_unix_socket=None)
