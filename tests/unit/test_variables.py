"""Misspelt variables are found, the user's own are left alone."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.phoenix.webstack.plugins.filter.backend_servers import backend_servers
from ansible_collections.phoenix.webstack.plugins.filter.step_failures import step_failures
from ansible_collections.phoenix.webstack.plugins.module_utils._variables import Misspelling, find_misspelt

KNOWN = ["nginx_http_port", "nginx_server_name", "app_name", "rebuild_address"]
PREFIXES = ["nginx_", "app_", "rebuild_"]


def test_a_misspelt_name_is_told_with_the_likely_one() -> None:
    found = find_misspelt(names=["nginx_htp_port", "rebuild_adress", "nginx_http_port"], known=KNOWN, prefixes=PREFIXES)
    assert found == [
        Misspelling("nginx_htp_port", "nginx_http_port"),
        Misspelling("rebuild_adress", "rebuild_address"),
    ]


def test_names_without_our_prefix_are_not_ours() -> None:
    assert find_misspelt(names=["my_nginx_http_port", "__nginx_x"], known=KNOWN, prefixes=PREFIXES) == []


def test_a_general_prefix_needs_likeness() -> None:
    assert find_misspelt(names=["app_release_channel"], known=KNOWN, prefixes=PREFIXES) == []
    assert find_misspelt(names=["app_names"], known=KNOWN, prefixes=PREFIXES) == [Misspelling("app_names", "app_name")]


def test_the_balancers_servers_come_from_the_inventory_alone() -> None:
    hostvars: dict[str, dict[str, str | dict[str, str]]] = {
        "web-01": {"ansible_host": "192.0.2.11", "ansible_default_ipv4": {"address": "10.0.0.1"}},
        "web-02": {"ansible_host": "203.0.113.2", "webstack_address": "192.0.2.12", "nginx_http_port": "8080"},
        "web-03": {},
    }
    assert backend_servers(list(hostvars), hostvars) == [
        {"name": "web-01", "address": "192.0.2.11", "port": 80},
        {"name": "web-02", "address": "192.0.2.12", "port": 8080},
        {"name": "web-03", "address": "web-03", "port": 80},
    ]


PAIR = {"web-01": {"ansible_host": "192.0.2.11", "webstack_weight": "5"}, "web-02": {"ansible_host": "192.0.2.12"}}


@pytest.mark.parametrize(
    ("drain", "restore", "states"),
    [
        ("web-01", (), ["drain", None]),
        ("web-01, web-02", "", ["drain", "drain"]),
        (["web-02"], "web-01", ["ready", "drain"]),
        ([], [], [None, None]),
    ],
)
def test_servers_are_drained_and_restored_by_name(drain: t.Any, restore: t.Any, states: list[str | None]) -> None:
    servers = backend_servers(list(PAIR), PAIR, drain=drain, restore=restore)
    assert [server.get("state") for server in servers] == states
    assert [server.get("weight") for server in servers] == [5, None]


def test_a_name_that_there_is_not_is_no_server_to_drain() -> None:
    with pytest.raises(AnsibleFilterError, match=r"`web-1` is no web server of the inventory .* Did you mean web-01\?"):
        backend_servers(list(PAIR), PAIR, drain="web-1")


def test_a_server_is_not_drained_and_restored_at_once() -> None:
    with pytest.raises(AnsibleFilterError, match="`web-01` cannot be drained and restored at once"):
        backend_servers(list(PAIR), PAIR, drain="web-01", restore="web-01")


def test_the_first_failure_of_each_host_is_what_it_says() -> None:
    hostvars: dict[str, dict[str, t.Any]] = {
        "lb-01": {"lease": {"failed": False}, "prepared": {"way": "runtime"}},
        "lb-02": {"prepared": {"failed": True, "msg": "No."}, "committed": {"failed": True, "msg": "Nor that."}},
        "lb-03": {"lease": {}, "prepared": {"unreachable": True, "msg": "ssh"}},
        "lb-04": {},
    }
    found = step_failures(list(hostvars), hostvars, steps=["lease", "prepared", "committed"], unreachable="is gone.")
    assert found == {"lb-02": "No.", "lb-03": "is gone."}
