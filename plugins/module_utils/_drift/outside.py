# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others show: answers of services, and SSH ports. Looking at them needs nothing of the host that does."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._drift import ports, web
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.judge import findings_of, unique
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.record import Record

Roles = t.Sequence[t.Mapping[str, t.Any]]
KINDS = ("answers", "ssh_ports")


def is_all(roles: Roles) -> bool:
    """Tell whether nothing else is wanted."""
    return all(set(wanted) <= {"role", *KINDS} for wanted in roles)


def about(roles: Roles) -> list[str]:
    """Name the other hosts that are looked at."""
    answers = [entry["host"] for wanted in roles for entry in wanted["answers"] or ()]
    names = [entry["name"] for wanted in roles for entry in wanted["ssh_ports"] or ()]
    return sorted({*answers, *names} - {""})


def look(roles: Roles, *, accepted: t.Sequence[str], wait: float) -> dict[str, t.Any]:
    """Look, and return what the module `drift_info` returns."""
    items = [
        (wanted["role"], item)
        for wanted in roles
        for found in (
            web.observe_answers(wanted["answers"] or (), wait=wait),
            ports.observe_ssh_ports(wanted["ssh_ports"] or ()),
        )
        for item in found
    ]
    nothing = Record()
    findings = unique(
        finding for role, item in items for finding in findings_of(item, role=role, record=nothing, accepted=accepted)
    )
    return {
        "changed": False,
        "findings": findings,
        "about": about(roles),
        "data": {},
        "looked_at": len(items),
        "applied": False,
        "hold": None,
    }
