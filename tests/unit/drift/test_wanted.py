"""What roles publish is what their own modules take: neither can have an option that the other lacks."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.phoenix.webstack.plugins.filter.drift_answers import drift_answers
from ansible_collections.phoenix.webstack.plugins.filter.drift_published import drift_published
from ansible_collections.phoenix.webstack.plugins.filter.tree_files import tree_files
from ansible_collections.phoenix.webstack.plugins.module_utils._drift import spec
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.observe import OBSERVERS
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Service
from ansible_collections.phoenix.webstack.plugins.modules import (
    files,
    haproxy_backend,
    mysql_accounts,
    ssh_lifeline,
    ufw,
)

ROOT = Path(__file__).resolve().parents[3]
# How a change is made, not what is wanted.
MANNER = {"rollback_seconds", "rollback_within", "if_ready"}


def wanted_of(role: str) -> dict[str, t.Any]:
    """Read what a role publishes, as it is written."""
    tasks = yaml.safe_load((ROOT / "roles" / role / "tasks" / "wanted.yml").read_text(encoding="utf-8"))
    path = ROOT / "roles" / role / "vars" / "main.yml"
    variables = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    found: dict[str, t.Any] = {**variables, **tasks[0].get("vars", {})}[f"__{role}_wanted"]
    return found


def test_every_kind_of_thing_has_an_observer() -> None:
    assert set(OBSERVERS) == set(spec.WANTED["options"]) - {"role"}


def test_files_are_compared_by_all_options_of_their_module() -> None:
    theirs = files.ARGUMENTS["files"]
    assert {key: theirs[key] for key in spec.FILES if key in theirs} == spec.FILES


def test_the_firewall_is_compared_by_all_options_of_its_module() -> None:
    options = {name: each for name, each in ufw.argument_spec().items() if name not in MANNER}
    assert options == spec.FIREWALL
    assert set(wanted_of("ufw")["firewall"]) == set(options)


def test_the_guard_is_compared_by_all_options_of_its_module() -> None:
    options = {name: each for name, each in ssh_lifeline.argument_spec().items() if name not in MANNER}
    assert options == spec.SSH_GUARD
    assert set(wanted_of("ssh_lifeline")["ssh_guard"]) == set(spec.SSH_GUARD)


def test_accounts_are_compared_by_all_options_of_their_module() -> None:
    assert mysql_accounts.ARGUMENTS == spec.DATABASE


def test_the_balancer_is_compared_by_everything_that_makes_its_file() -> None:
    theirs = haproxy_backend.argument_spec()
    assert {name: theirs[name] for name in spec.BALANCER} == spec.BALANCER
    assert {field.name for field in dataclasses.fields(Service)} <= set(spec.BALANCER)
    assert {field.name for field in dataclasses.fields(Service)} <= set(wanted_of("haproxy_backend")["balancer"])


@pytest.mark.parametrize("role", sorted(path.parents[1].name for path in (ROOT / "roles").glob("*/tasks/wanted.yml")))
def test_what_a_role_publishes_is_what_the_module_takes(role: str) -> None:
    published = wanted_of(role)
    assert published["role"] == role
    assert set(published) <= set(spec.WANTED["options"])
    assert published["packages" if role != "haproxy_backend" else "balancer"]


def test_every_role_that_a_provisioning_runs_says_what_it_wants() -> None:
    publishing = {path.parents[1].name for path in (ROOT / "roles").glob("*/tasks/wanted.yml")}
    assert publishing == {
        "app",
        "haproxy",
        "haproxy_backend",
        "mysql",
        "mysql_backup",
        "nginx",
        "ssh_lifeline",
        "ufw",
    }


HOSTVARS: dict[str, dict[str, t.Any]] = {
    "web-01": {"ansible_host": "192.0.2.11"},
    "web-02": {"webstack_address": "2001:db8::12", "nginx_http_port": 8080},
}


def test_each_path_of_each_server_is_asked_for() -> None:
    assert drift_answers(["web-01", "web-02"], HOSTVARS, ["/", "/readyz"]) == [
        {"url": "http://192.0.2.11/", "host": "web-01"},
        {"url": "http://192.0.2.11/readyz", "host": "web-01"},
        {"url": "http://[2001:db8::12]:8080/", "host": "web-02"},
        {"url": "http://[2001:db8::12]:8080/readyz", "host": "web-02"},
    ]


@pytest.mark.parametrize(
    ("bind", "ports"),
    [
        (["*:80"], [80]),
        (["*:443 ssl crt /etc/ssl/site.pem"], []),
        (["192.0.2.1:8080 name x", ":::81", "[::]:82", ":83"], [8080, 81, 82, 83]),
        (["127.0.0.1:80", "unix@/run/x.sock", "/run/x.sock"], []),
        (["*:8000-8010"], [8000]),
    ],
)
def test_a_balancer_is_asked_where_it_listens_without_tls(bind: list[str], ports: list[int]) -> None:
    assert drift_published(bind, "lb-01", "192.0.2.10") == [
        {"url": f"http://192.0.2.10:{port}/", "host": "lb-01"} for port in ports
    ]


def test_given_urls_are_asked_instead() -> None:
    assert drift_published(["*:80"], "lb-01", "192.0.2.10", ["https://x/"]) == [{"url": "https://x/", "host": "lb-01"}]


def test_a_folder_is_told_by_its_files_without_byte_code(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "wsgi.pyc").write_text("x")
    (tmp_path / "pages" / "a.html").write_text("")
    tree = {"src": str(tmp_path), "dest": "/srv/shop", "group": "shop"}
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert tree_files([tree]) == [{"path": "/srv/shop/pages/a.html", "sha256": empty, "group": "shop"}]
