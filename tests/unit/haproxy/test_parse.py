"""Saved output of HAProxy 2.6 (Debian 12) and 3.0 (Debian 13)."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "haproxy"
VERSIONS = ["2.6", "3.0"]


def saved(version: str, name: str) -> str:
    return (FIXTURES / version / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_servers_of_a_running_haproxy(version: str) -> None:
    found = parse.runtime_servers(states=saved(version, "servers_state.txt"), stat=saved(version, "stat.csv"))
    assert list(found) == ["web"]
    web_01, web_02, web_06 = found["web"].values()
    assert (web_01.name, web_01.endpoint, web_01.status, web_01.admin) == ("web-01", "127.0.9.1:8080", "UP", "ready")
    assert web_01.serving
    assert web_01.checked
    assert web_02.check == "L7OK 200"
    assert (web_06.endpoint, web_06.status, web_06.serving) == ("[::1]:8080", "DOWN", False)
    assert web_06.check == "L4CON Connection refused"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("bits", "admin"),
    [("0", "ready"), ("8", "drain"), ("16", "drain"), ("1", "maint"), ("9", "maint"), ("4", "ready"), ("5", "maint")],
)
def test_admin_states(version: str, bits: str, admin: str) -> None:
    states = saved(version, "servers_state.txt").replace("web-01 127.0.9.1 2 0", f"web-01 127.0.9.1 2 {bits}")
    server = parse.runtime_servers(states=states, stat=saved(version, "stat.csv"))["web"]["web-01"]
    assert server.admin == admin
    assert server.serving == (admin == "ready")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_without_a_finished_check_is_not_checked(version: str) -> None:
    stat = saved(version, "stat.csv").replace("L7OK,200", "INI,")
    found = parse.runtime_servers(states=saved(version, "servers_state.txt"), stat=stat)
    assert not found["web"]["web-01"].checked


@pytest.mark.parametrize("version", VERSIONS)
def test_info(version: str) -> None:
    assert parse.info(saved(version, "info.txt"))["Version"].startswith(version)


@pytest.mark.parametrize("answer", ["", "Permission denied\n", "Unknown command: 'show'\n"])
def test_another_answer_is_not_taken_for_no_servers(answer: str) -> None:
    good = saved("3.0", "servers_state.txt")
    with pytest.raises(WebstackError, match="show servers state"):
        parse.runtime_servers(states=answer, stat=saved("3.0", "stat.csv"))
    with pytest.raises(WebstackError, match="show stat"):
        parse.runtime_servers(states=good, stat=answer)
    with pytest.raises(WebstackError, match="show info"):
        parse.info(answer)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_reasons_of_a_refusal(version: str) -> None:
    reasons = parse.alerts(saved(version, "refusal.txt"))
    assert reasons.startswith("parsing [/tmp/bad.cfg:5] : unknown keyword 'servet' in 'backend' section")
    assert "; parsing [/tmp/bad.cfg:6] : balance only supports 'roundrobin'" in reasons
    assert "Fatal errors" not in reasons
    assert "NOTICE" not in reasons


def test_the_servers_a_file_names() -> None:
    text = """
    global
        stats socket /run/haproxy/admin.sock
    backend web  # ours
        default-server check
        server web-01 10.0.0.4:80
        server web-02 [2001:db8::2]:8080 weight 10 # the clone
        # server web-03 10.0.0.6:80
    peers mine
        server lb-01 10.0.0.1:10000
    listen database
        server db-01 db.example.org
    """
    assert parse.server_lines(text) == {
        "web": [Server("web-01", "10.0.0.4", 80), Server("web-02", "2001:db8::2", 8080, weight=10)],
        "database": [Server("db-01", "db.example.org", 0)],
    }
