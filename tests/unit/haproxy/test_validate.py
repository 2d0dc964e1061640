from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import validate
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import Server, Service

SERVICE = Service(name="web", bind=("*:80",), servers=(Server("web-01", "10.0.0.5", 80),))


def problems(**changes: object) -> list[str]:
    with pytest.raises(WebstackError) as caught:
        validate.check_service(dataclasses.replace(SERVICE, **changes))  # type: ignore[arg-type]
    assert caught.value.message.startswith(f"The service {changes.get('name', 'web')} cannot be published: ")
    assert "Nothing was changed." in caught.value.message
    return list(caught.value.data["problems"])


def test_a_good_service_passes() -> None:
    validate.check_service(SERVICE)
    validate.check_service(dataclasses.replace(SERVICE, servers=(Server("web-01", "web-01.example.org", 80),)))


def test_an_empty_list_is_refused() -> None:
    assert problems(servers=()) == ["the list of servers is empty, which would take the service away from its users"]


def test_every_problem_is_named_at_once() -> None:
    found = problems(
        servers=(
            Server("web 01", "10.0.0.999", 80),
            Server("web-02", "10.0.0.2", 0),
            Server("web-02", "10.0.0.3", 80),
            Server("web-04", "10.0.0.3", 80),
        ),
        bind=(),
        check_path="healthz",
    )
    assert found == [
        "there is no address to bind",
        "the check path 'healthz' does not begin with a slash",
        "server 'web 01': a name may hold letters, digits, dots, hyphens and underscores only",
        "server web 01: '10.0.0.999' is neither an IP address nor a host name",
        "server web-02: port 0 is not between 1 and 65535",
        "server web-02 is listed more than once",
        "10.0.0.3:80 is listed for web-02 and web-04",
    ]


@pytest.mark.parametrize("name", ["", "../web", ".web", "web/x", "web x"])
def test_a_name_cannot_lead_out_of_the_directory(name: str) -> None:
    assert len(problems(name=name)) == 1


def test_a_line_break_cannot_smuggle_another_line_in() -> None:
    assert problems(backend_options=("option x\n    server evil 10.6.6.6:80",)) == [
        "'option x\\n    server evil 10.6.6.6:80' holds a line break or another control character"
    ]


def test_host_names_become_addresses() -> None:
    service = dataclasses.replace(
        SERVICE, servers=(Server("web-02", "b.example.org", 80), Server("web-01", "2001:DB8::1", 80))
    )
    found = validate.resolve(service, known={}, lookup=lambda _: ["2001:db8::2", "10.0.0.9", "10.0.0.8"])
    assert [server.endpoint for server in found.servers] == ["[2001:db8::1]:80", "10.0.0.8:80"]


def test_an_address_in_use_is_kept_while_it_belongs_to_the_name() -> None:
    service = dataclasses.replace(SERVICE, servers=(Server("web-01", "a.example.org", 80),))
    found = validate.resolve(
        service, known={"web-01": Server("web-01", "10.0.0.9", 80)}, lookup=lambda _: ["10.0.0.8", "10.0.0.9"]
    )
    assert found.servers[0].address == "10.0.0.9"


def test_a_name_without_an_address_is_refused() -> None:
    service = dataclasses.replace(SERVICE, servers=(Server("web-01", "a.example.org", 80),))
    with pytest.raises(WebstackError, match=r"server web-01: the host name a\.example\.org has no address here"):
        validate.resolve(service, known={}, lookup=lambda _: [])


def test_two_names_of_one_place_are_refused() -> None:
    service = dataclasses.replace(
        SERVICE, servers=(Server("web-01", "a.example.org", 80), Server("web-02", "b.example.org", 80))
    )
    with pytest.raises(WebstackError, match=r"10\.0\.0\.8:80 is listed for web-01 and web-02"):
        validate.resolve(service, known={}, lookup=lambda _: ["10.0.0.8"])
