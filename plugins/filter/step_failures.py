# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong on the hosts that have to take each step together."""

from __future__ import annotations

import typing as t


def step_failures(
    hosts: t.Sequence[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]], *, steps: t.Sequence[str], unreachable: str
) -> dict[str, str]:
    """Find the first step that failed on each host.

    :arg hostvars: Ansible's ``hostvars``.
    :arg steps: The names under which the steps' results were registered, in their order.
    :arg unreachable: What to say of a host that could not be reached.
    :returns: What each of them says, by host; hosts on which nothing failed are left out.
    """
    found: dict[str, str] = {}
    for host in hosts:
        for step in steps:
            result = hostvars[host].get(step) or {}
            if result.get("unreachable"):
                found.setdefault(str(host), unreachable)
            elif result.get("failed"):
                found.setdefault(str(host), str(result.get("msg", "")))
    return found


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter's public name."""
        return {"step_failures": step_failures}
