# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of a host in one go: each kind of thing that a role may want has its observer."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._drift import (
    balancer,
    database,
    files,
    firewall,
    ports,
    ssh,
    system,
    web,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.around import Around
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import PROBE, Difference, Item
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.record import Record

Observer = t.Callable[[t.Any, Around], t.Iterator[Item]]
Roles = t.Sequence[t.Mapping[str, t.Any]]

# By the keys of what a role wants, in the order in which things are told.
OBSERVERS: dict[str, Observer] = {
    "packages": system.observe_packages,
    "system_users": system.observe_system_users,
    "files": files.observe_files,
    "folders": files.observe_folders,
    "watched": files.observe_watched,
    "units": system.observe_units,
    "firewall": firewall.observe_firewall,
    "ssh_guard": ssh.observe_ssh_guard,
    "database": database.observe_database,
    "accounts": database.observe_accounts,
    "balancer": balancer.observe_balancer,
    "certificates": system.observe_certificates,
    "backups": database.observe_backups,
    "answers": lambda entries, around: web.observe_answers(entries, wait=around.wait),
    "ssh_ports": lambda entries, _around: ports.observe_ssh_ports(entries),
}


def observe(roles: Roles, *, runner: CommandRunner, record: Record, wait: float = 0) -> t.Iterator[tuple[str, Item]]:
    """Look at everything that roles want of this host, and yield each thing with the name of its role.

    What cannot be looked at is told as such, and keeps nothing else from being looked at.
    """
    around = Around(
        runner=runner,
        record=record,
        managed=frozenset(_managed(roles)),
        wait=wait,
        accounts=frozenset(_accounts(roles)),
    )
    for wanted in roles:
        for kind, observer in OBSERVERS.items():
            if not wanted.get(kind):
                continue
            try:
                for item in observer(wanted[kind], around):
                    yield wanted["role"], item
            except (WebstackError, OSError) as error:
                what = f"{kind.replace('_', ' ')} of the role {wanted['role']} could not be looked at: {error}"
                yield wanted["role"], Item(key=f"{wanted['role']}:{kind}", differences=(Difference(what, PROBE),))
        if wanted.get("ssh_guard"):
            yield wanted["role"], ssh.observe_sshd(around)
            yield wanted["role"], system.observe_logins(around)


def _managed(roles: Roles) -> t.Iterator[str]:
    """Give the paths that are compared with what a role wants, so that nobody need watch them."""
    for wanted in roles:
        yield from (entry["path"] for entry in wanted.get("files") or ())
        if wanted.get("balancer"):
            yield f"{wanted['balancer']['config_directory']}/{wanted['balancer']['name']}.cfg"
        if wanted.get("ssh_guard"):
            yield from ssh.guard_paths()


def _accounts(roles: Roles) -> t.Iterator[tuple[str, str]]:
    """Give the database accounts that a role wants, so that another one does not take them for strangers."""
    for wanted in roles:
        users = [*((wanted.get("database") or {}).get("users") or ()), *(wanted.get("accounts") or ())]
        yield from ((user["name"], user["host"]) for user in users)
