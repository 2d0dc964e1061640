# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancer's servers from the inventory, its one source of truth."""

from __future__ import annotations

import typing as t

DEFAULT_PORT = 80


def backend_servers(hosts: t.Sequence[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Compute a backend's servers from inventory variables alone.

    Gathered facts are never used: a run with ``--limit``, or with a host down, must not shrink a backend.

    :arg hosts: Inventory names, in the order of the servers.
    :arg hostvars: Ansible's ``hostvars``.
    :returns: ``{"name", "address", "port"}`` for each host.
    """
    servers = []
    for name in hosts:
        variables = hostvars[name]
        address = variables.get("webstack_address") or variables.get("ansible_host") or name
        servers.append(
            {"name": str(name), "address": str(address), "port": int(variables.get("nginx_http_port", DEFAULT_PORT))}
        )
    return servers


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter's public name."""
        return {"backend_servers": backend_servers}
