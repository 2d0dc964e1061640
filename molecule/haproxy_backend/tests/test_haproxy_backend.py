"""After everything that side_effect did: no request was lost, and file and running HAProxy are one."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from testinfra.host import Host

testinfra_hosts = ["ansible://balancers"]


@pytest.fixture
def traffic(host: Host) -> dict[str, t.Any]:
    results = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    name = host.ansible.get_variables()["inventory_hostname"]
    found: dict[str, t.Any] = json.loads((results / f"traffic-{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def info(host: Host) -> dict[str, t.Any]:
    found: dict[str, t.Any] = host.ansible(
        "phoenix.webstack.haproxy_backend_info", "name=web", check=False, become=True
    )
    return found


def test_no_request_was_lost(traffic: dict[str, t.Any]) -> None:
    assert traffic["failed"] == 0, traffic["examples"]
    assert traffic["requests"] > 1000
    assert set(traffic["kinds"]) == {"keep_alive", "fresh", "idle", "post", "download"}


def test_the_users_really_met_every_server(traffic: dict[str, t.Any]) -> None:
    assert set(traffic["servers"]) == {"web12:80", "web13:80", "web13:8080", "web12:8080"}


def test_file_and_running_haproxy_agree(info: dict[str, t.Any]) -> None:
    (web,) = info["backends"]
    assert web["drift"] == []
    assert [server["name"] for server in web["servers"]] == ["web-01", "web-02"]
    for server in web["servers"]:
        assert server["file_address"] == server["runtime_address"]
        assert server["port"] == 80
        assert server["serving"], server
        assert server["last_check"] == "L7OK 200"


def test_nothing_is_left_beside_the_file(host: Host) -> None:
    with host.sudo():
        assert host.check_output("ls -A /etc/haproxy/conf.d") == "web.cfg"
        assert host.check_output("ls -A /tmp | grep -c webstack-haproxy || true") == "0"


def test_the_same_servers_are_there_after_a_restart(host: Host, info: dict[str, t.Any]) -> None:
    with host.sudo():
        host.run_test("systemctl restart haproxy")
    after = host.ansible("phoenix.webstack.haproxy_backend_info", "name=web", check=False, become=True)
    places = [[server["runtime_address"] for server in found["backends"][0]["servers"]] for found in (info, after)]
    assert places[0] == places[1]
