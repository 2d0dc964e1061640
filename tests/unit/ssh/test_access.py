"""The summary of what hinders SSH."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.filter.ssh_access_summary import ssh_access_summary
from ansible_collections.phoenix.webstack.plugins.filter.ssh_targets import ssh_targets
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh import access

CHANGED = """Task failed: Failed to connect to the host via ssh: @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Host key for web-01 has changed and you have requested strict checking.
Host key verification failed."""


def found(name: str, status: str, detail: str = "") -> dict[str, t.Any]:
    return {
        "name": name, "address": "192.0.2.11", "port": 22, "status": status, "detail": detail, "meaning": "So it is.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (CHANGED, "host key changed"),
        ("No ED25519 host key is known for web-01\r\nHost key verification failed.", "host key not known"),
        ("admin@192.0.2.11: Permission denied (publickey).", "login refused"),
        ("ssh: connect to host 192.0.2.11 port 22: Connection timed out", "no answer to the login"),
        ("ssh: connect to host 192.0.2.11 port 22: Connection refused", "nothing takes the login"),
        ("one\r\ntwo\r\n\r\n", "login failed: two"),
        ("", "login failed: no reason was given"),
    ],
)
def test_the_words_of_ssh_become_a_reason(words: str, start: str) -> None:
    assert str(access.login_hindrance({"unreachable": True, "msg": words})).startswith(start)


def test_a_login_that_worked_hinders_nothing() -> None:
    assert access.login_hindrance({"rc": 0, "changed": False}) is None


def test_a_login_that_was_never_tried_is_no_success() -> None:
    assert access.login_hindrance(None) == "login was not tried"


def test_every_view_counts_and_the_unreachable_one_is_silent() -> None:
    summary = ssh_access_summary(
        ["web-01", "web-02"],
        here={"hosts": [found("web-01", "refused", "Connection refused"), found("web-02", "open")]},
        there=[
            {"results": [{"item": "lb-01", "hosts": [found("web-01", "timeout")]}]},
            {"results": [{"item": "lb-01", "unreachable": True}]},
            {"results": [{"item": "lb-02", "hosts": [found("web-02", "not_admitted")]}]},
        ],
        logins=[{"unreachable": True, "msg": CHANGED}, {"rc": 0}],
    )  # fmt: skip
    assert summary[0]["hindrances"][:2] == [
        "from here, 192.0.2.11 port 22: refused (Connection refused). So it is.",
        "from lb-01, 192.0.2.11 port 22: timeout. So it is.",
    ]
    assert len(summary[0]["hindrances"]) == 3
    assert summary[1] == {"name": "web-02", "address": "192.0.2.11", "hindrances": []}


def test_the_ports_come_from_the_inventory() -> None:
    hostvars = {
        "web-01": {"ansible_host": "192.0.2.11", "ansible_port": 2222},
        "web-02": {
            "ansible_host": "203.0.113.2", "ansible_port": "22002", "webstack_address": "10.0.0.2",
            "webstack_ssh_port": 22, "ssh_admin_cidrs": ["10.0.0.0/8"],
        },
        "web-03": {},
    }  # fmt: skip
    assert ssh_targets(list(hostvars), hostvars) == [
        {"name": "web-01", "address": "192.0.2.11", "port": 2222, "admitted": []},
        {"name": "web-02", "address": "203.0.113.2", "port": 22002, "admitted": []},
        {"name": "web-03", "address": "web-03", "port": 22, "admitted": []},
    ]
    assert ssh_targets(["web-02"], hostvars, inner=True) == [
        {"name": "web-02", "address": "10.0.0.2", "port": 22, "admitted": ["10.0.0.0/8"]}
    ]
