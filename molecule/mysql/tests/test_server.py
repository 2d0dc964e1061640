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


def test_dump_sets_are_for_the_timers_user_alone(host: t.Any) -> None:
    with host.sudo():
        found = host.run("find /var/backups/webstack/mysql -printf '%m %u %y\\n'").stdout.split("\n")
    assert {line for line in found if line} == {"700 webstack-backup d", "600 webstack-backup f"}


def test_what_went_wrong_is_seen(host: t.Any) -> None:
    with host.sudo():
        told = host.run("journalctl --unit webstack-mysql-backup --output cat --no-pager").stdout
        metrics = dict(
            line.split() for line in host.file("/run/mysql_backup.prom").content_string.splitlines() if "#" not in line
        )
        sets = host.run("ls /var/backups/webstack/mysql").stdout.split()
        assert host.run("systemctl is-failed webstack-mysql-backup.service").rc == 0
    assert "Dumped 2" in told
    assert "The account webstack-backup lacks TRIGGER on shop.*, and a dump would not have what it cannot see." in told
    assert "There is no new dump: the service ended by signal killed KILL" in told
    assert ".partial, which the dump that was cut off has left" in told
    assert "No database server listens on /run/mysqld/mysqld.sock." in told
    assert any(f"The last good dump is {name}, of 2" in told for name in sets)
    assert not [name for name in sets if name.endswith(".partial")]
    assert metrics["phoenix_mysql_backup_last_run_success"] == "0"
    assert float(metrics["phoenix_mysql_backup_last_success_timestamp_seconds"]) > 0


def test_the_timer_runs_now_and_after_a_reboot(host: t.Any) -> None:
    timer = host.service("webstack-mysql-backup.timer")
    assert timer.is_running
    assert timer.is_enabled
