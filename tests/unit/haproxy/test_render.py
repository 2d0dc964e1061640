from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server, Service
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import is_edited, read_back, render

SERVICE = Service(
    name="web",
    bind=("*:80", "[::]:443 ssl crt /etc/haproxy/web.pem"),
    servers=(Server("web-01", "10.0.0.5", 80), Server("web-02", "2001:db8::6", 8080)),
    check_interval=0.5,
    server_options="maxconn 100",
    frontend_options=("http-request redirect scheme https unless { ssl_fc }",),
    backend_options=("compression algo gzip",),
)


def test_the_whole_file() -> None:
    assert (
        render(SERVICE)
        == """\
# Managed by Ansible (phoenix.webstack.haproxy_backend).
# The running HAProxy holds the same servers; edits by hand are undone.
# Checksum: ad9d1a8aacf85406

frontend web
    bind *:80
    bind [::]:443 ssl crt /etc/haproxy/web.pem
    option idle-close-on-response
    http-request redirect scheme https unless { ssl_fc }
    default_backend web

backend web
    balance roundrobin
    option forwardfor
    option httpchk
    http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host localhost
    http-check expect status 200-299
    http-request disable-l7-retry unless METH_GET or METH_OPTIONS
    compression algo gzip
    default-server check inter 500ms fastinter 125ms downinter 125ms \
fall 2 rise 2 observe layer4 on-error mark-down maxconn 100
    server web-01 10.0.0.5:80
    server web-02 [2001:db8::6]:8080
"""
    )


@pytest.mark.parametrize(
    "service",
    [
        SERVICE,
        dataclasses.replace(
            SERVICE, server_options="", slowstart=2.5, balance="random(2)", check_host="www.example.org"
        ),
        dataclasses.replace(
            SERVICE,
            servers=(Server("web-01", "10.0.0.5", 80, weight=9), Server("web-02", "10.0.0.6", 80, state="drain")),
        ),
    ],
)
def test_the_service_is_read_back_from_its_file(service: Service) -> None:
    assert read_back(render(service), service.name) == service


def test_a_file_with_somebody_elses_lines_is_no_service_of_ours() -> None:
    text = render(SERVICE).replace("option forwardfor", "")
    assert is_edited(text)
    assert read_back(text, "web") is None
    assert not is_edited(render(SERVICE))
    assert not is_edited("backend web\n")


def test_what_is_written_is_read_again() -> None:
    assert tuple(parse.server_lines(render(SERVICE))["web"]) == SERVICE.servers
