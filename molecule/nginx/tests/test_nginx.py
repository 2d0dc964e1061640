"""The site as visitors and balancers see it, over real HTTP.

Converge has served it plainly; side_effect has since changed it to redirect to https.
"""

from __future__ import annotations

import http.client
import json
import ssl
import typing as t

import pytest

if t.TYPE_CHECKING:
    from testinfra.host import Host


class Answer(t.NamedTuple):
    """One answer: status, headers, body."""

    status: int
    headers: dict[str, str]
    body: str


@pytest.fixture
def address(host: Host) -> str:
    return str(host.ansible.get_variables()["ansible_host"])


def ask(address: str, path: str, *, tls: ssl.SSLContext | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection(address, timeout=10)
    if tls:
        connection = http.client.HTTPSConnection(address, timeout=10, context=tls)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    answer = Answer(response.status, dict(response.getheaders()), response.read().decode())
    connection.close()
    return answer


def context(*, newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    tls.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    tls.maximum_version = newest
    tls.set_ciphers("ALL:@SECLEVEL=0")
    return tls


def test_plain_http_redirects(address: str) -> None:
    answer = ask(address, "/films?page=2")
    assert answer.status == 301
    assert answer.headers["Location"] == f"https://{address}/films?page=2"


def test_the_health_checks_answer_on_plain_http_all_the_same(address: str) -> None:
    healthz = ask(address, "/healthz")
    assert (healthz.status, healthz.body) == (200, "ok\n")
    assert json.loads(ask(address, "/readyz").body)["path"] == "/readyz"


def test_https_reaches_the_upstream(host: Host, address: str) -> None:
    answer = ask(address, "/films", tls=context())
    assert answer.status == 200
    asked = json.loads(answer.body)
    assert asked["path"] == "/films"
    assert asked["headers"]["Host"] == address
    assert asked["headers"]["X-Forwarded-Proto"] == "https"
    assert answer.headers["X-Served-By"] == host.check_output("hostname")
    assert answer.headers["Strict-Transport-Security"] == "max-age=86400"


def test_the_version_is_nobodys_business(address: str) -> None:
    assert ask(address, "/healthz").headers["Server"] == "nginx"


def test_a_stranger_cannot_claim_another_address(address: str) -> None:
    answer = ask(address, "/", tls=context(), X_Forwarded_For="203.0.113.9")
    assert json.loads(answer.body)["headers"]["X-Real-IP"] != "203.0.113.9"


def test_a_trusted_balancer_can(host: Host) -> None:
    body = host.check_output(
        "curl --silent --insecure --header 'X-Forwarded-For: 203.0.113.9' --header 'X-Forwarded-Proto: https' https://127.0.0.1/"
    )
    assert json.loads(body)["headers"]["X-Real-IP"] == "203.0.113.9"


def test_old_tls_is_refused(address: str) -> None:
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        ask(address, "/healthz", tls=context(newest=ssl.TLSVersion.TLSv1_1))
    assert ask(address, "/healthz", tls=context(newest=ssl.TLSVersion.TLSv1_2)).status == 200


def test_ipv6_is_served(host: Host) -> None:
    assert host.check_output("curl --silent http://[::1]/healthz") == "ok"


def test_it_serves_after_a_reboot(host: Host) -> None:
    assert host.service("nginx").is_enabled
    assert host.service("nginx").is_running


def test_the_file_in_place_is_the_one_nginx_accepts(host: Host) -> None:
    with host.sudo():
        assert host.run("nginx -t").rc == 0
        assert not host.file("/etc/nginx/nginx.conf").contains("servet_me_well")
