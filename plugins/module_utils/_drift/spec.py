# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role may want of a host, as an option of modules: all of it plain data, so that it can be handed over."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.options import SERVICE as BALANCER
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.options import ACCOUNTS as DATABASE

POLICY: dict[str, t.Any] = {"type": "str", "choices": ["allow", "deny", "reject"]}

# As the module `files` takes them from its action plugin.
FILES: dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "path": {"type": "path", "required": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str", "default": "0644"},
        "content": {"type": "str"},
        "secret_content": {"type": "str", "no_log": True},
        "sha256": {"type": "str"},
        "validate": {"type": "str"},
    },
    "mutually_exclusive": [("content", "secret_content", "sha256")],
    "required_one_of": [("content", "secret_content", "sha256")],
}
# The options of the module `ufw` that say what the firewall has to be; a contract test compares them.
FIREWALL: dict[str, t.Any] = {
    "rules": {"type": "list", "elements": "dict", "default": []},
    "service_rules": {"type": "list", "elements": "dict", "default": []},
    "purge": {"type": "bool", "default": True},
    "default_incoming": {**POLICY, "default": "deny"},
    "default_outgoing": {**POLICY, "default": "allow"},
    "default_routed": {**POLICY, "default": "deny"},
    "logging": {"type": "str", "choices": ["off", "low", "medium", "high", "full"], "default": "low"},
    "ipv6": {"type": "bool", "default": True},
    "ssh_ports": {"type": "list", "elements": "int", "default": []},
    "ssh_admin_cidrs": {"type": "list", "elements": "str", "default": []},
}
# Likewise of `ssh_lifeline`.
SSH_GUARD: dict[str, t.Any] = {
    "accounts": {"type": "list", "elements": "str", "default": []},
    "admin_cidrs": {"type": "list", "elements": "str", "default": []},
    "ports": {"type": "list", "elements": "int", "default": [22]},
    "port_thief": {"type": "str", "choices": ["stop", "report"], "default": "stop"},
    "check_seconds": {"type": "int", "default": 300},
    "metrics": {"type": "str", "default": ""},
}


def _dicts(**options: t.Any) -> dict[str, t.Any]:
    return {"type": "list", "elements": "dict", "options": options}


REQUIRED: dict[str, t.Any] = {"type": "str", "required": True}

# By role; each key beside `role` has its observer in `observe`.
WANTED: dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "role": REQUIRED,
        "packages": {"type": "list", "elements": "str"},
        "files": FILES,
        "folders": _dicts(path={"type": "path", "required": True}, pattern={"type": "str", "default": "*"}),
        "units": _dicts(name=REQUIRED),
        "system_users": _dicts(name=REQUIRED, home=REQUIRED, shell=REQUIRED),
        "watched": {"type": "list", "elements": "path"},
        "firewall": {"type": "dict", "options": FIREWALL},
        "ssh_guard": {"type": "dict", "options": SSH_GUARD},
        "balancer": {"type": "dict", "options": BALANCER},
        "database": {"type": "dict", "options": DATABASE},
        "accounts": DATABASE["users"],
        "certificates": _dicts(path={"type": "path", "required": True}, days={"type": "int", "required": True}),
        "backups": {
            "type": "dict",
            "options": {
                "directory": {"type": "path", "required": True},
                "hours": {"type": "int", "required": True},
                "service": {"type": "str", "default": ""},
            },
        },
        "answers": _dicts(
            url=REQUIRED,
            status={"type": "int", "default": 200},
            header={"type": "str"},
            value={"type": "str"},
            host={"type": "str", "default": ""},
        ),
        "ssh_ports": _dicts(
            name=REQUIRED,
            address=REQUIRED,
            port={"type": "int", "default": 22},
            admitted={"type": "list", "elements": "str", "default": []},
        ),
    },
}
# The options of the module `drift_info`.
ARGUMENTS: dict[str, t.Any] = {
    "wanted": WANTED,
    "accepted": {"type": "list", "elements": "str", "default": []},
    "compare": {"type": "list", "elements": "str", "default": []},
    "wait": {"type": "int", "default": 0},
}
