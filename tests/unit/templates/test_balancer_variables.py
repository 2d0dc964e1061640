"""What the role haproxy_backend makes of its variables, by Ansible's own Templar."""

from __future__ import annotations

import pathlib
import typing as t

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = pathlib.Path(__file__).resolve().parents[3] / "roles" / "haproxy_backend"
TLS = {"haproxy_backend_tls_certificate": "/tls/www.pem"}


def trusted(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: trusted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [trusted(each) for each in value]
    return trust_as_template(value) if isinstance(value, str) else value


def value_of(name: str, **given: t.Any) -> t.Any:
    variables: dict[str, t.Any] = {"inventory_hostname": "lb-01"}
    for folder in ("defaults", "vars"):
        variables |= yaml.safe_load((ROLE / folder / "main.yml").read_text(encoding="utf-8"))
    templar = Templar(loader=DataLoader(), variables=trusted(variables | given))
    return templar.template(trust_as_template("{{ " + name + " }}"))


def test_without_a_certificate_there_is_no_https() -> None:
    assert value_of("__haproxy_backend_bind") == ["*:80"]
    assert value_of("__haproxy_backend_frontend_options") == []
    assert [rule["port"] for rule in value_of("haproxy_backend_firewall_rules")] == ["80"]


def test_with_one_plain_http_leads_to_it() -> None:
    assert value_of("__haproxy_backend_bind", **TLS) == ["*:80", "*:443 ssl crt /tls/www.pem alpn h2,http/1.1"]
    assert value_of("__haproxy_backend_frontend_options", **TLS, haproxy_backend_frontend_options=["option x"]) == [
        "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
        "http-request redirect scheme https code 308 unless { ssl_fc } or { path_beg /.well-known/acme-challenge/ }",
        "option x",
    ]
    assert [rule["port"] for rule in value_of("haproxy_backend_firewall_rules", **TLS)] == ["80,443"]


def test_the_redirect_can_be_left_out() -> None:
    found = value_of("__haproxy_backend_frontend_options", **TLS, haproxy_backend_tls_redirect=False)
    assert [line for line in found if "redirect" in line] == []
