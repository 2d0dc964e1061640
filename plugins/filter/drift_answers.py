# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What web servers have to answer to whoever asks them directly."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.filter.backend_servers import backend_servers


def drift_answers(
    hosts: t.Sequence[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]], paths: t.Sequence[str]
) -> list[dict[str, str]]:
    """Compute the option ``answers`` of ``drift_info``: each path of each web server, at the balancers' addresses."""
    found = []
    for server in backend_servers(hosts, hostvars):
        address = f"[{server['address']}]" if ":" in server["address"] else server["address"]
        port = "" if server["port"] == 80 else f":{server['port']}"
        found += [{"url": f"http://{address}{port}{path}", "host": server["name"]} for path in paths]
    return found


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter's public name."""
        return {"drift_answers": drift_answers}
