# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hinders SSH, host by host."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._ssh import access


def ssh_access_summary(
    hosts: t.Sequence[str],
    *,
    here: t.Mapping[str, t.Any],
    there: t.Iterable[t.Mapping[str, t.Any]],
    logins: t.Iterable[t.Mapping[str, t.Any]],
) -> list[dict[str, t.Any]]:
    """Put together, host by host, what hinders SSH; see the filter's documentation."""
    views = [{"from": "here", "hosts": here["hosts"]}]
    for result in there:
        views += [{"from": view["item"], "hosts": view["hosts"]} for view in result["results"] if "hosts" in view]
    summary = access.summarise(hosts, views=views, logins=dict(zip(hosts, logins)))
    return [{**dataclasses.asdict(host), "hindrances": list(host.hindrances)} for host in summary]


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter's public name."""
        return {"ssh_access_summary": ssh_access_summary}
