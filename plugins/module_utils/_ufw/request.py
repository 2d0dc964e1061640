# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules' options checked against the host, and what the modules return."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.listeners import (
    Listener,
    find_listeners,
    reachable_ports,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.procfs import Proc
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.session import Session, find_session
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.checks import (
    check_controller,
    check_families,
    find_closing,
    make_probes,
    refuse,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.plan import Wanted
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import (
    MAX_PORT,
    LabelledRule,
    Problem,
    merge_rules,
    parse_networks,
    parse_rules,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.state import Settings, State
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import read_rules

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

SSH_PORT = 22


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What the host tells about SSH: where it listens, and the session that the module runs in."""

    listeners: tuple[Listener, ...]
    session: Session | None

    def ports(self, *, extra: t.Iterable[int] = ()) -> tuple[int, ...]:
        """Return every port that the guard opens; port 22 where no sshd was found at all."""
        ports = set(reachable_ports(listeners=self.listeners)) | set(extra)
        if self.session and not ipaddress.ip_address(self.session.server_address).is_loopback:
            ports.add(self.session.server_port)
        return tuple(sorted(ports)) or (SSH_PORT,)

    def as_dict(self) -> dict[str, t.Any]:
        """Return the part of a module's result that is about SSH."""
        return {
            "ssh_listeners": [dataclasses.asdict(listener) for listener in self.listeners],
            "controller": dataclasses.asdict(self.session) if self.session else None,
        }


def look_around(*, runner: CommandRunner) -> Surroundings:
    """Find out where sshd listens and whose session this is."""
    proc = Proc()
    return Surroundings(
        listeners=tuple(find_listeners(runner=runner, proc=proc)),
        session=find_session(environment=os.environ, proc=proc, pid=os.getpid()),
    )


def check_request(*, params: t.Mapping[str, t.Any], surroundings: Surroundings) -> Wanted:
    """Turn the module's options into the wanted firewall.

    :raises WebstackError: naming every problem at once.
    """
    labelled, problems = _parse_lists(params)
    networks, found = parse_networks(name="ssh_admin_cidrs", items=params["ssh_admin_cidrs"])
    problems += found
    problems += [
        Problem(f"ufw_ssh_ports: {port} is not between 1 and {MAX_PORT}", "Correct it.")
        for port in params["ssh_ports"]
        if not 1 <= port <= MAX_PORT
    ]
    ports = surroundings.ports(extra=params["ssh_ports"])
    probes = make_probes(ports=ports, networks=networks, session=surroundings.session)
    problems += find_closing(rules=labelled, probes=probes)
    problems += check_families(rules=labelled, networks=networks, ipv6=params["ipv6"])
    problems += check_controller(session=surroundings.session, networks=networks, ipv6=params["ipv6"])
    refuse(problems)
    return Wanted(
        rules=tuple(item.rule for item in labelled),
        settings=Settings(
            incoming=params["default_incoming"],
            outgoing=params["default_outgoing"],
            routed=params["default_routed"],
            logging=params["logging"],
            ipv6=params["ipv6"],
        ),
        purge=params["purge"],
        ports=ports,
        networks=tuple(networks),
    )


def _parse_lists(params: t.Mapping[str, t.Any]) -> tuple[list[LabelledRule], list[Problem]]:
    labelled: list[LabelledRule] = []
    problems: list[Problem] = []
    # The problems name the role's variables, which is where the rules are written.
    for option in ("service_rules", "rules"):
        good, found = parse_rules(name=f"ufw_{option}", items=params[option])
        labelled += good
        problems += found
    labelled, found = merge_rules(labelled)
    return labelled, problems + found


def describe_state(state: State) -> dict[str, t.Any]:
    """Return a firewall in the shape of the role's variables."""
    rules, others = read_rules(stored={family: file.stored for family, file in state.user.items()})
    settings = state.settings
    return {
        "installed": state.installed,
        "enabled": state.enabled,
        "default_incoming": settings.incoming if settings else None,
        "default_outgoing": settings.outgoing if settings else None,
        "default_routed": settings.routed if settings else None,
        "logging": settings.logging if settings else None,
        "ipv6": settings.ipv6 if settings else None,
        "rules": [rule.as_dict() for rule in rules],
        "other_rules": others,
    }
