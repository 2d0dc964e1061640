"""Misspelt variables are found, the user's own are left alone."""

from __future__ import annotations

from ansible_collections.phoenix.webstack.plugins.filter.backend_servers import backend_servers
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
