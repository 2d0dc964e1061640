"""The server as its users meet it."""

from __future__ import annotations

import typing as t

import pytest


def query(host: t.Any, statement: str) -> list[str]:
    """Run a statement as root; one line for each row."""
    with host.sudo():
        done = host.run("mysql --batch --skip-column-names -e %s", statement)
    assert done.rc == 0, done.stderr
    return done.stdout.splitlines()


def test_service_runs_now_and_after_a_reboot(host: t.Any) -> None:
    service = host.service("mysql" if host.backend.get_hostname() == "oracle" else "mariadb")
    assert service.is_running
    assert service.is_enabled


def test_settings_are_in_force(host: t.Any) -> None:
    assert query(host, "SELECT @@max_connections, @@skip_name_resolve, @@event_scheduler") == ["77\t1\tON"]


def test_listens_on_this_host_alone(host: t.Any) -> None:
    assert host.socket("tcp://127.0.0.1:3306").is_listening
    assert not host.socket("tcp://0.0.0.0:3306").is_listening


def test_databases_are_as_listed(host: t.Any) -> None:
    rows = query(
        host,
        "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA"
        " WHERE SCHEMA_NAME IN ('shop', 'it`s odd-name', 'test') ORDER BY 1",
    )
    assert rows == ["it`s odd-name\tlatin1", "shop\tutf8mb4"]


def test_nobody_is_anonymous_and_root_has_no_password(host: t.Any) -> None:
    assert query(host, "SELECT COUNT(*) FROM mysql.user WHERE User = ''") == ["0"]
    assert "_socket" in query(host, "SHOW CREATE USER root@localhost")[0]


def test_account_enters_by_the_socket_alone(host: t.Any) -> None:
    with host.sudo():
        host.run_expect([0, 9], "useradd --system app")
        assert host.run("runuser -u app -- mysql -u app -e 'SELECT 1' shop").rc == 0
        assert host.run("runuser -u nobody -- mysql -u app -e 'SELECT 1' shop").rc != 0


@pytest.mark.parametrize(
    ("account", "grant"),
    [
        ("app@localhost", "GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.* TO"),
        ("report@`10.%`", "GRANT ALL PRIVILEGES ON `it``s odd-name`.* TO"),
    ],
)
def test_privileges_are_as_listed(host: t.Any, account: t.Any, grant: t.Any) -> None:
    assert grant in "\n".join(query(host, f"SHOW GRANTS FOR {account}"))


def test_dump_sets_are_for_root_alone(host: t.Any) -> None:
    with host.sudo():
        found = host.run("find /var/backups/webstack/mysql -printf '%m %u %y\\n'").stdout.split("\n")
    assert {line for line in found if line} == {"700 root d", "600 root f"}
