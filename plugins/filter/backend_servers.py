# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancer's servers from the inventory, its one source of truth."""

from __future__ import annotations

import difflib
import typing as t

from ansible.errors import AnsibleFilterError

DEFAULT_PORT = 80


def backend_servers(
    hosts: t.Sequence[str],
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
    *,
    drain: str | t.Sequence[str] = (),
    restore: str | t.Sequence[str] = (),
) -> list[dict[str, t.Any]]:
    """Compute a backend's servers from inventory variables alone.

    Gathered facts are never used: a run with ``--limit``, or with a host down, must not shrink a backend.

    :arg hosts: Inventory names, in the order of the servers.
    :arg hostvars: Ansible's ``hostvars``.
    :arg drain: Those to take out of service; a list, or names with commas between them.
    :arg restore: Those to bring back.
    :returns: ``{"name", "address", "port"}`` for each host, and its ``weight`` and ``state`` where they are given.
    :raises AnsibleFilterError: when a name to drain or to restore is none of the hosts, or is given for both.
    """
    states = {**dict.fromkeys(_names(drain), "drain"), **dict.fromkeys(_names(restore), "ready")}
    _check(states, hosts=hosts, both=set(_names(drain)) & set(_names(restore)))
    servers = []
    for name in hosts:
        variables = hostvars[name]
        address = variables.get("webstack_address") or variables.get("ansible_host") or name
        server = {
            "name": str(name),
            "address": str(address),
            "port": int(variables.get("nginx_http_port", DEFAULT_PORT)),
        }
        if "webstack_weight" in variables:
            server["weight"] = int(variables["webstack_weight"])
        if name in states:
            server["state"] = states[name]
        servers.append(server)
    return servers


def _names(given: str | t.Sequence[str]) -> list[str]:
    words = given.split(",") if isinstance(given, str) else given
    return [str(word).strip() for word in words if str(word).strip()]


def _check(states: t.Collection[str], *, hosts: t.Sequence[str], both: t.Collection[str]) -> None:
    for name in states:
        if name not in hosts:
            close = difflib.get_close_matches(name, hosts, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise AnsibleFilterError(f"`{name}` is no web server of the inventory (it has {', '.join(hosts)}).{hint}")
    if both:
        raise AnsibleFilterError(f"`{min(both)}` cannot be drained and restored at once; name it once.")


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter's public name."""
        return {"backend_servers": backend_servers}
