# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which roles have to run to correct what was found on a host."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import DRIFT, EXTRA, PENDING

# What the roles take away that is not theirs: rules of ufw's list, and servers of the balancer.
PURGED = ("ufw:", "balancer:")


def drift_to_correct(findings: t.Sequence[t.Mapping[str, t.Any]], run: t.Mapping[str, t.Any], host: str) -> list[str]:
    """Return the roles to run, in the order of the list of those that may be.

    A role that has a change pending is left out: it would apply more than the correction.

    :arg findings: What ``drift_info`` has found.
    :arg run: What ``drift_begin`` has worked out.
    """
    flapping = run["flapping"].get(host, [])
    mendable = {
        finding["role"]
        for finding in findings
        if not finding["held"]
        and finding["id"] not in flapping
        and (finding["class"] == DRIFT or (finding["class"] == EXTRA and finding["id"].startswith(PURGED)))
    }
    pending = {finding["role"] for finding in findings if finding["class"] == PENDING}
    return [role for role in run["correct"] if role in mendable - pending]


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter's public name."""
        return {"drift_to_correct": drift_to_correct}
