"""What the restored databases are to their users, and what the restore left on the host."""

from __future__ import annotations

import json
import typing as t

import pytest

COUNTS = {"actor": 200, "film": 1000, "rental": 16044, "payment": 16049, "film_text": 1000}


def query(host: t.Any, statement: str) -> list[str]:
    """Run a statement as root; one line for each row."""
    with host.sudo():
        done = host.run("mysql --batch --skip-column-names --default-character-set=utf8mb4 -e %s", statement)
    assert done.rc == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("table", sorted(COUNTS))
def test_rows_are_there(host: t.Any, table: t.Any) -> None:
    assert query(host, f"SELECT COUNT(*) FROM sakila.{table}") == [str(COUNTS[table])]


def test_views_answer(host: t.Any) -> None:
    assert query(host, "SELECT COUNT(*) FROM sakila.customer_list") == ["599"]
    assert query(host, "SELECT * FROM kinds.a_view") == ["2\t2/none"]


def test_routines_answer(host: t.Any) -> None:
    assert query(host, "SELECT sakila.inventory_in_stock(1), kinds.twice(21)") == ["1\t42"]


def test_triggers_fire(host: t.Any) -> None:
    lines = query(
        host,
        "START TRANSACTION; INSERT INTO kinds.child VALUES (77, NULL); SELECT what FROM kinds.log; ROLLBACK",
    )
    assert "child 77" in lines


def test_comments_inside_of_bodies_survive(host: t.Any) -> None:
    assert "-- a comment that must survive" in "\n".join(query(host, "SHOW CREATE TRIGGER kinds.child_log"))


def test_events_are_there_and_keep_their_status(host: t.Any) -> None:
    assert query(
        host,
        "SELECT EVENT_NAME, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'kinds'",
    ) == ["nightly\tDISABLED"]


def test_values_are_what_they_were(host: t.Any) -> None:
    assert query(host, "SELECT a FROM kinds.texts WHERE f = 'x,z'") == ["emoji 🐘🔥"]
    assert query(host, "SELECT dt, HEX(LEFT(d, 4)) FROM kinds.times WHERE y = 1901") == [
        "0000-00-00 00:00:00.000\t30303030",
    ]
    assert query(host, "SELECT exact, flags + 0 FROM kinds.numbers WHERE id = 1") == [
        "12345678901234567890.0123456789\t682",
    ]


def test_types_of_mariadb_alone(host: t.Any) -> None:
    if host.backend.get_hostname() == "oracle":
        pytest.skip("MySQL has neither sequences nor UUID and INET6 columns")
    assert query(host, "SELECT net FROM kinds.addresses") == ["2001:db8::1"]
    assert query(host, "SELECT NEXT VALUE FOR kinds.tickets > 100") == ["1"]


def test_state_is_for_root_alone(host: t.Any) -> None:
    with host.sudo():
        directory = host.file("/var/lib/webstack/mysql_restore")
        assert (directory.user, directory.mode) == ("root", 0o700)
        state = host.file("/var/lib/webstack/mysql_restore/sakila.json")
        assert state.mode == 0o600
        assert json.loads(state.content_string)["state"] == "restored"
    assert host.file("/var/lib/webstack").mode == 0o755


testinfra_hosts = ["ansible://targets"]
