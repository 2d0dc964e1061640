from __future__ import annotations

import dataclasses
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import observe
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import AdminSocket
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server, Service
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import render
from ansible_collections.phoenix.webstack.plugins.modules import haproxy_backend

from tests.unit.haproxy.world import running

A, B = Server("web-01", "10.0.0.1", 80), Server("web-02", "10.0.0.2", 80)
TEXT = render(Service(name="web", bind=("*:80",), servers=(A, B)))
FILES = {"web": observe.File(path="/etc/haproxy/conf.d/web.cfg", text=TEXT, servers=[A, B])}


def test_file_and_runtime_agree() -> None:
    running_now = {"web": {"web-01": running(A, checked=True, check="L7OK 200"), "web-02": running(B)}}
    (web,) = observe.compare(files=FILES, running=running_now)
    assert (web["name"], web["file"], web["drift"]) == ("web", "/etc/haproxy/conf.d/web.cfg", [])
    assert web["servers"][0] == {
        "name": "web-01",
        "address": "10.0.0.1",
        "port": 80,
        "weight": 1,
        "file_address": "10.0.0.1:80",
        "runtime_address": "10.0.0.1:80",
        "status": "UP",
        "healthy": True,
        "serving": True,
        "admin": "ready",
        "last_check": "L7OK 200",
        "sessions": 0,
    }


def test_every_kind_of_drift_is_named() -> None:
    elsewhere = Server("web-01", "10.0.0.9", 80)
    stranger = Server("web-03", "10.0.0.3", 80)
    running_now = {"web": {"web-01": running(elsewhere, admin="drain"), "web-03": running(stranger)}}
    (web,) = observe.compare(files=FILES, running=running_now)
    assert web["drift"] == [
        "web-01: 10.0.0.1:80 in the file, 10.0.0.9:80 in the running HAProxy",
        "web-01: set to drain by hand",
        "web-02: 10.0.0.2:80 in the file, unknown to the running HAProxy",
        "web-03: 10.0.0.3:80 in the running HAProxy, in no file",
    ]
    assert [server["serving"] for server in web["servers"]] == [False, False, True]


def test_a_server_drained_by_this_collection_is_no_drift_until_somebody_brings_it_back() -> None:
    resting = dataclasses.replace(A, state="drain")
    file = dataclasses.replace(FILES["web"], servers=[resting, B])
    for admin, drift in (("drain", []), ("maint", []), ("ready", ["web-01: set to ready by hand"])):
        running_now = {"web": {"web-01": running(A, admin=admin), "web-02": running(B)}}
        (web,) = observe.compare(files={"web": file}, running=running_now)
        assert web["drift"] == drift


def test_a_weight_and_a_guest_that_nobody_asked_for() -> None:
    guest = dataclasses.replace(A, port=81).guest
    running_now = {"web": {"web-01": running(A, weight=9), "web-02": running(B), guest.name: running(guest)}}
    (web,) = observe.compare(files=FILES, running=running_now)
    assert web["drift"] == [
        "web-01: weight 1 in the file, 9 in the running HAProxy",
        f"{guest.name}: 10.0.0.1:81 in the running HAProxy, left by a run that was cut off",
    ]


def test_a_file_edited_by_hand_is_named() -> None:
    file = dataclasses.replace(FILES["web"], text=TEXT.replace("roundrobin", "leastconn"))
    (web,) = observe.compare(files={"web": file}, running=None)
    assert web["drift"] == ["web.cfg: edited by hand"]


def test_what_is_found_can_be_given_back() -> None:
    (web,) = observe.compare(files=FILES, running=None)
    assert web["service"]["servers"] == [
        {"name": "web-01", "address": "10.0.0.1", "port": 80, "weight": 1},
        {"name": "web-02", "address": "10.0.0.2", "port": 80, "weight": 1},
    ]
    assert set(web["service"]) <= set(haproxy_backend.argument_spec())


def test_a_haproxy_that_does_not_run_is_no_drift() -> None:
    (web,) = observe.compare(files=FILES, running=None)
    assert web["drift"] == []
    assert [server["runtime_address"] for server in web["servers"]] == [None, None]
    assert web["servers"][0]["address"] == "10.0.0.1"


def test_a_host_without_haproxy(tmp_path: Path) -> None:
    assert observe.observe(
        runtime=AdminSocket(path=str(tmp_path / "admin.sock")),
        config_file=str(tmp_path / "haproxy.cfg"),
        config_directory=str(tmp_path / "conf.d"),
    ) == {"running": False, "pid": None, "master_pid": None, "loads_directory": False, "stale": False, "backends": []}


def test_all_files_are_read_but_the_hidden(tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text("listen db\n    server db-01 10.0.0.7:3306\n")
    for name in ("web.cfg", ".old.cfg", "notes.txt"):
        (tmp_path / name).write_text(f"backend {name}\n    server web-01 10.0.0.1:80\n")
    found = observe.read_files(config_file=str(tmp_path / "haproxy.cfg"), config_directory=str(tmp_path))
    assert {name: file.servers[0].endpoint for name, file in found.items()} == {
        "db": "10.0.0.7:3306",
        "web.cfg": "10.0.0.1:80",
    }
