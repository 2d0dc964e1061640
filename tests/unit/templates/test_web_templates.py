"""The templates of nginx and app, rendered by Ansible's own Templar with the roles' own variables."""

from __future__ import annotations

import pathlib
import re
import shlex
import typing as t

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = pathlib.Path(__file__).resolve().parents[3]


def trusted(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: trusted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [trusted(each) for each in value]
    return trust_as_template(value) if isinstance(value, str) else value


def templar(role: str, **given: t.Any) -> Templar:
    """Ansible's templar as a task of the role has it."""
    variables: dict[str, t.Any] = {"ansible_managed": "Ansible managed", "inventory_hostname": "web-01"}
    for folder in ("defaults", "vars"):
        variables |= yaml.safe_load((ROOT / "roles" / role / folder / "main.yml").read_text(encoding="utf-8"))
    # The digest renders the template from within itself, which molecule's scenario tests.
    variables["__nginx_digest"] = "0123456789abcdef"
    return Templar(loader=DataLoader(), variables=trusted(variables | given))


def render(role: str, template: str, **given: t.Any) -> str:
    text = (ROOT / "roles" / role / "templates" / template).read_text(encoding="utf-8")
    # As the module `template` does: it leaves the backslashes of a template alone.
    source = trust_as_template("#jinja2: trim_blocks: True\n" + text)
    return str(templar(role, **given).template(source, escape_backslashes=False))


def directives(text: str, name: str) -> list[str]:
    return re.findall(rf"^ *{name} (.*);$", text, re.MULTILINE)


TLS = {"nginx_tls_certificate": "/tls/site.pem", "nginx_tls_certificate_key": "/tls/site.key"}


def test_a_site_without_anything_serves_files() -> None:
    text = render("nginx", "nginx.conf.j2")
    assert directives(text, "listen") == ["80 default_server", "[::]:80 default_server"]
    assert directives(text, "root") == ["/var/www/html"]
    assert "proxy_pass" not in text
    assert "ssl_" not in text
    assert directives(text, "server_tokens") == ["off"]


@pytest.mark.parametrize("given", [{}, TLS, TLS | {"nginx_tls_redirect": True}])
def test_both_health_checks_are_on_plain_http(given: dict[str, t.Any]) -> None:
    plain = render("nginx", "nginx.conf.j2", nginx_upstream="unix:/run/app/app.sock", **given).split(
        "listen 443", maxsplit=1
    )[0]
    if given.get("nginx_tls_redirect"):
        assert "return 301 https://$host$request_uri;" in plain
    assert "listen 80 default_server;" in plain


@pytest.mark.parametrize("redirect", [True, False])
def test_every_port_is_listened_on_once(*, redirect: bool) -> None:
    text = render("nginx", "nginx.conf.j2", nginx_tls_redirect=redirect, nginx_listen_ipv6=False, **TLS)
    assert sorted(directives(text, "listen")) == ["443 default_server ssl", "80 default_server"]
    assert text.count("location = /healthz {") == text.count("location = /readyz {") == (2 if redirect else 1)


def test_one_path_for_both_health_checks_is_one_location() -> None:
    assert render("nginx", "nginx.conf.j2", nginx_readyz_path="/healthz").count("location = ") == 1


def test_a_redirect_keeps_an_unusual_port() -> None:
    text = render("nginx", "nginx.conf.j2", nginx_tls_redirect=True, nginx_https_port=8443, **TLS)
    assert "return 301 https://$host:8443$request_uri;" in text


def test_the_scheme_is_believed_from_trusted_proxies_only() -> None:
    alone = render("nginx", "nginx.conf.j2", nginx_upstream="127.0.0.1:8000")
    behind = render("nginx", "nginx.conf.j2", nginx_upstream="127.0.0.1:8000", nginx_trusted_proxies=["192.0.2.10"])
    assert "proxy_set_header X-Forwarded-Proto $scheme;" in alone
    assert "set_real_ip_from" not in alone
    assert "proxy_set_header X-Forwarded-Proto $forwarded_proto;" in behind
    assert directives(behind, "set_real_ip_from") == ["192.0.2.10"]


@pytest.mark.parametrize("given", [{}, TLS | {"nginx_tls_redirect": True, "nginx_trusted_proxies": ["::1"]}])
def test_braces_are_balanced(given: dict[str, t.Any]) -> None:
    text = render("nginx", "nginx.conf.j2", nginx_upstream="127.0.0.1:8000", nginx_served_by_header=True, **given)
    assert text.count("{") == text.count("}")
    assert "{{" not in text


def test_the_firewall_rules_name_the_ports_that_are_served() -> None:
    expression = trust_as_template("{{ nginx_firewall_rules }}")
    assert [rule["port"] for rule in templar("nginx").template(expression)] == ["80"]
    assert [rule["port"] for rule in templar("nginx", **TLS).template(expression)] == ["80", "443"]


@pytest.mark.parametrize("value", ["plain", "two words", 'say "hi"', "back\\slash", "$HOME", "it's", "`id`", 7])
def test_the_environment_keeps_every_value(value: str | int) -> None:
    line = render("app", "environment.j2", app_environment={"APP_VALUE": value}).splitlines()[-1]
    # systemd reads double quotes as a shell does, but expands nothing.
    assert shlex.split(line) == [f"APP_VALUE={value}"]


def test_only_a_unix_socket_has_an_owner() -> None:
    assert "SocketGroup=www-data" in render("app", "socket.j2")
    port = render("app", "socket.j2", app_bind="127.0.0.1:8000")
    assert "ListenStream=127.0.0.1:8000" in port
    assert "SocketGroup" not in port


def test_a_project_holds_the_files_that_the_role_lists() -> None:
    role = ROOT / "roles" / "project"
    listed = yaml.safe_load((role / "vars" / "main.yml").read_text(encoding="utf-8"))["__project_files"]
    folder = role / "files" / "project"
    kept = [str(path.relative_to(folder)).replace("/variables/", "/group_vars/") for path in folder.rglob("*.*")]
    assert sorted(listed) == sorted(kept)
