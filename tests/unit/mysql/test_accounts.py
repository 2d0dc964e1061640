from __future__ import annotations

import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import accounts
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Server

MARIADB, MYSQL = Server("mariadb", "10.11.14"), Server("mysql", "9.7.4")


def user(**given: t.Any) -> t.Any:
    return {"name": "app", "host": "localhost", "socket": True, "password": None, "privileges": None, **given}


def steps(
    *, databases: t.Any = (), users: t.Any = (), server: t.Any = MARIADB, existing: t.Any = None, **observed: t.Any
) -> t.Any:
    seen = accounts.Observed(
        server=server,
        databases=existing or {},
        **{"empty_test_database": False, "accounts": {}, "anonymous": (), **observed},
    )
    return [step.statement for step in accounts.plan(observed=seen, databases=databases, users=users)]


@pytest.mark.parametrize(
    ("line", "grants"),
    [
        ("GRANT USAGE ON *.* TO `app`@`localhost` IDENTIFIED VIA unix_socket", {}),
        ("GRANT SELECT, INSERT ON `shop`.* TO `app`@`localhost`", {"shop.*": {"SELECT", "INSERT"}}),
        ("GRANT ALL PRIVILEGES ON `it``s odd.name`.* TO `app`@`%`", {"it`s odd.name.*": {"ALL PRIVILEGES"}}),
        ("GRANT SELECT ON `shop`.`orders` TO `a`@`b` WITH GRANT OPTION", {"shop.orders": {"SELECT", "GRANT OPTION"}}),
        ("GRANT EXECUTE ON PROCEDURE `shop`.`total` TO `a`@`b`", {"PROCEDURE shop.total": {"EXECUTE"}}),
        ("GRANT SELECT (`a`, `b`), INSERT ON `shop`.`t` TO `a`@`b`", {"shop.t": {"SELECT (`a`, `b`)", "INSERT"}}),
        ("GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION", {}),
        ("GRANT `role` TO `a`@`b`", {}),
    ],
)
def test_grants_are_read(line: t.Any, grants: t.Any) -> None:
    assert accounts.parse_grants(lines=[line], engine="mariadb") == grants


def test_mysql_says_all_word_by_word() -> None:
    words = ", ".join(sorted(accounts._MYSQL_ALL))
    lines = [
        f"GRANT {words} ON *.* TO `a`@`b` WITH GRANT OPTION",
        "GRANT BACKUP_ADMIN,CLONE_ADMIN ON *.* TO `a`@`b` WITH GRANT OPTION",
    ]
    assert accounts.parse_grants(lines=lines, engine="mysql") == {"*.*": {"ALL PRIVILEGES", "GRANT OPTION"}}


def test_nothing_to_do() -> None:
    account = accounts.Account(
        "CREATE USER `app`@`localhost` IDENTIFIED VIA unix_socket", {"shop.*": frozenset({"SELECT"})}
    )
    assert (
        steps(
            databases=[{"name": "shop", "encoding": "utf8"}],
            existing={"shop": ("utf8mb3", "utf8mb3_general_ci")},
            users=[user(privileges={"shop.*": "select"})],
            accounts={("app", "localhost"): account},
        )
        == []
    )


@pytest.mark.parametrize(
    ("server", "clause"),
    [(MARIADB, "IDENTIFIED VIA unix_socket"), (MYSQL, "IDENTIFIED WITH auth_socket")],
)
def test_accounts_enter_by_the_socket(server: t.Any, clause: t.Any) -> None:
    assert steps(users=[user(privileges={"shop.*": ["ALL"]})], server=server) == [
        f"CREATE USER 'app'@'localhost' {clause}",
        "GRANT ALL PRIVILEGES ON `shop`.* TO 'app'@'localhost'",
    ]


def test_an_account_with_a_password_is_brought_to_the_socket() -> None:
    existing = accounts.Account("CREATE USER `app`@`localhost` IDENTIFIED BY PASSWORD '*A'", {})
    assert steps(users=[user()], accounts={("app", "localhost"): existing}) == [
        "ALTER USER 'app'@'localhost' IDENTIFIED VIA unix_socket",
    ]


def test_surplus_privileges_are_revoked() -> None:
    existing = accounts.Account(
        "unix_socket", {"shop.*": frozenset({"SELECT", "DROP"}), "old.*": frozenset({"SELECT"})}
    )
    assert steps(users=[user(privileges={"shop.*": "SELECT,INSERT"})], accounts={("app", "localhost"): existing}) == [
        "REVOKE SELECT ON `old`.* FROM 'app'@'localhost'",
        "REVOKE DROP ON `shop`.* FROM 'app'@'localhost'",
        "GRANT INSERT ON `shop`.* TO 'app'@'localhost'",
    ]


def test_privileges_that_are_not_listed_at_all_are_left() -> None:
    existing = accounts.Account("unix_socket", {"shop.*": frozenset({"SELECT"})})
    assert steps(users=[user()], accounts={("app", "localhost"): existing}) == []


def test_passwords_are_quoted_and_not_shown() -> None:
    seen = accounts.Observed(server=MARIADB, databases={}, empty_test_database=False, accounts={}, anonymous=())
    (step,) = accounts.plan(observed=seen, databases=[], users=[user(socket=False, password="it's\\")])
    assert step.statement == "CREATE USER 'app'@'localhost' IDENTIFIED BY 'it''s\\\\'"
    assert step.shown == "CREATE USER 'app'@'localhost' IDENTIFIED BY '********'"


def test_an_account_that_anybody_could_use_is_refused() -> None:
    with pytest.raises(WebstackError, match="neither `socket: true` nor a password"):
        steps(users=[user(socket=False)])


def test_what_should_never_be_there_is_removed() -> None:
    assert steps(anonymous=("localhost",), empty_test_database=True) == [
        "DROP USER ''@'localhost'",
        "DROP DATABASE `test`",
    ]
    assert steps(empty_test_database=True, databases=[{"name": "test"}], existing={"test": ("utf8mb4", "x")}) == []


@pytest.mark.parametrize(
    ("wanted", "statements"),
    [
        ({"encoding": "utf8mb4"}, []),
        (
            {"encoding": "utf8mb4", "collation": "utf8mb4_bin"},
            ["ALTER DATABASE `shop` CHARACTER SET `utf8mb4` COLLATE `utf8mb4_bin`"],
        ),
        ({"encoding": "latin1"}, ["ALTER DATABASE `shop` CHARACTER SET `latin1`"]),
        ({}, []),
    ],
)
def test_databases_get_their_character_set(wanted: t.Any, statements: t.Any) -> None:
    assert (
        steps(
            databases=[{"name": "shop", **wanted}],
            existing={"shop": ("utf8mb4", "utf8mb4_general_ci")},
        )
        == statements
    )


@pytest.mark.parametrize("level", ["shop", "", ".x", "shop."])
def test_places_that_are_none_are_refused(level: t.Any) -> None:
    with pytest.raises(WebstackError, match="is no place for privileges"):
        accounts.wanted_grants(user(privileges={level: ["ALL"]}), server=MARIADB)


@pytest.mark.parametrize("privilege", ["SELECT; DROP", "ALL ON *.*", "a'b"])
def test_privileges_that_are_none_are_refused(privilege: t.Any) -> None:
    with pytest.raises(WebstackError, match="is no privilege"):
        accounts.wanted_grants(user(privileges={"shop.*": [privilege]}), server=MARIADB)
