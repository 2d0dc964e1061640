"""The application as nginx sees it, through its socket, with the sample data loaded."""

from __future__ import annotations

import json
import typing as t

import pytest

if t.TYPE_CHECKING:
    from testinfra.host import Host

SOCKET = "/run/app/app.sock"
ASK = f"curl --silent --fail --max-time 10 --unix-socket {SOCKET} http://localhost"


@pytest.fixture(autouse=True)
def root(host: Host) -> t.Iterator[None]:
    with host.sudo():
        yield


def test_it_is_ready(host: Host) -> None:
    answer = json.loads(host.check_output(f"{ASK}/readyz"))
    assert answer == {"status": "ready", "host": host.check_output("hostname"), "database": "sakila"}


def test_it_shows_the_films(host: Host) -> None:
    assert "1000 films in sakila" in host.check_output(f"{ASK}/")
    assert len(json.loads(host.check_output(f"{ASK}/films"))) == 1000


def test_it_names_its_host(host: Host) -> None:
    assert json.loads(host.check_output(f"{ASK}/whoami")) == {"host": host.check_output("hostname")}


def test_the_socket_is_for_the_web_server_only(host: Host) -> None:
    socket = host.file(SOCKET)
    assert (socket.user, socket.group, socket.mode) == ("app", "www-data", 0o660)
    assert host.run(f"setpriv --reuid=www-data --regid=www-data --clear-groups {ASK}/whoami").rc == 0
    assert host.run(f"setpriv --reuid=nobody --regid=nogroup --clear-groups {ASK}/whoami").rc == 7


def test_a_restart_refuses_nobody(host: Host) -> None:
    ask_on_and_on = f"for n in $(seq 40); do {ASK}/whoami >/dev/null || exit 1; sleep 0.03; done"
    assert host.run(f"(sleep 0.2; systemctl restart app) & {ask_on_and_on}; wait").rc == 0


def test_it_comes_back_when_killed(host: Host) -> None:
    before = host.check_output("systemctl show --property=MainPID --value app")
    host.check_output(f"kill -KILL {before}")
    assert host.run(f"{ASK}/whoami").rc == 0
    assert host.check_output("systemctl show --property=MainPID --value app") not in {before, "0"}


def test_the_environment_arrives_as_it_was_written(host: Host) -> None:
    file = host.file("/etc/default/app")
    assert (file.user, file.group, file.mode) == ("root", "app", 0o640)
    pid = host.check_output("systemctl show --property=MainPID --value app")
    environment = host.file(f"/proc/{pid}/environ").content_string.split("\0")
    assert 'APP_MOTTO=say "all\'s $HOME \\ well" `twice`' in environment


def test_no_secret_is_in_a_unit_or_on_a_command_line(host: Host) -> None:
    assert host.run("grep -r canary-9a1c /etc/systemd/system").rc == 1
    assert "canary-9a1c" not in host.check_output("ps -e -o args")


def test_it_runs_unprivileged_and_cannot_write_its_code(host: Host) -> None:
    assert {process.user for process in host.process.filter(comm="gunicorn")} == {"app"}
    assert host.run("runuser -u app -- test -w /srv/app/wsgi.py").rc == 1
    assert host.user("app").shell == "/usr/sbin/nologin"
    assert host.check_output("getent shadow app").split(":")[1].startswith("!")


def test_it_serves_after_a_reboot(host: Host) -> None:
    assert host.service("app.socket").is_enabled
    assert host.service("app.service").is_enabled
