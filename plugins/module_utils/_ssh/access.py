# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hinders SSH to a host, from what several points of view and one real login saw."""

from __future__ import annotations

import dataclasses
import typing as t

DEFAULT_PORT = 22
FINE = frozenset({"open", "not_admitted"})

# What ssh says about a login that failed, the most telling first; {words} are its own.
LOGIN_FAILURES = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "host key changed: it is another machine than before, or somebody is in between."
        " Compare the fingerprint out of band before you replace the known one",
    ),
    (
        "Host key verification failed",
        "host key not known: compare its fingerprint out of band, then accept it once (the project's README says how)",
    ),
    ("Permission denied", "login refused: the server answers, but does not accept this user with this key"),
    ("Too many authentication failures", "login refused: the agent offers too many keys, name one in the inventory"),
    ("This account is currently not available", "login refused: the account has no shell"),
    ("System is booting up", "login refused: the system is booting, or /run/nologin was left behind"),
    ("Connection timed out", "no answer to the login: a firewall drops, or the host is down"),
    ("Connection refused", "nothing takes the login: nothing listens on the port, or a firewall rejects"),
    ("Could not resolve hostname", "the name has no address"),
    ("No route to host", "the network has no way to the host"),
    ("sudo: a password is required", "login works, sudo asks for a password"),
)


@dataclasses.dataclass(frozen=True)
class HostAccess:
    """What hinders SSH to one host; nothing when it is reachable."""

    name: str
    address: str
    hindrances: tuple[str, ...]


def targets(
    hosts: t.Sequence[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]], *, inner: bool
) -> list[dict[str, t.Any]]:
    """Compute where the hosts' SSH ports are, from inventory variables alone.

    :arg inner: As the other hosts see it (``webstack_address``, ``webstack_ssh_port``), where only the networks in
        ``ssh_admin_cidrs`` are admitted; else as the controller does.
    """
    found = []
    for name in hosts:
        variables = hostvars[name]
        addresses = [variables.get("ansible_host"), name]
        ports = [variables.get("ansible_port"), DEFAULT_PORT]
        if inner:
            addresses.insert(0, variables.get("webstack_address"))
            ports.insert(0, variables.get("webstack_ssh_port"))
        found.append(
            {
                "name": str(name),
                "address": str(next(address for address in addresses if address)),
                "port": int(next(port for port in ports if port)),
                "admitted": [str(network) for network in variables.get("ssh_admin_cidrs") or []] if inner else [],
            }
        )
    return found


def login_hindrance(login: t.Mapping[str, t.Any] | None) -> str | None:
    """Tell why a login failed, None when it worked.

    :arg login: The registered result of a task on the host; None when the task never came to the host.
    """
    if login is None:
        return "login was not tried"
    if not login.get("unreachable") and not login.get("failed"):
        return None
    words = " ".join(str(login.get(key) or "") for key in ("msg", "module_stderr", "stderr"))
    for phrase, meaning in LOGIN_FAILURES:
        if phrase in words:
            return meaning
    return f"login failed: {last_line(words)}"


def last_line(words: str) -> str:
    """The last line of ``words`` that says something."""
    lines = [line.strip() for line in words.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no reason was given"


def port_hindrances(views: t.Sequence[t.Mapping[str, t.Any]], name: str) -> list[str]:
    """Tell what each point of view found at the port of ``name``, where it was not an SSH server."""
    found = []
    for view in views:
        for host in view.get("hosts", []):
            if host["name"] == name and host["status"] not in FINE:
                said = f" ({host['detail']})" if host["detail"] else ""
                where = f"{host['address']} port {host['port']}"
                found.append(f"from {view['from']}, {where}: {host['status']}{said}. {host['meaning']}")
    return found


def summarise(
    hosts: t.Sequence[str],
    *,
    views: t.Sequence[t.Mapping[str, t.Any]],
    logins: t.Mapping[str, t.Mapping[str, t.Any]],
) -> list[HostAccess]:
    """Put together, host by host, what hinders SSH.

    :arg hosts: Inventory names, in the order of the summary.
    :arg views: The controller's first. For each point of view ``from`` (its name) and ``hosts`` (what
        ``ssh_banner_info`` found there).
    :arg logins: The result of a task on each host, over a connection of its own.
    """
    addresses = {host["name"]: host["address"] for view in reversed(views) for host in view["hosts"]}
    summary = []
    for name in hosts:
        login = login_hindrance(logins.get(name))
        hindrances = port_hindrances(views, name) + ([login] if login else [])
        summary.append(HostAccess(name=name, address=addresses.get(name, name), hindrances=tuple(hindrances)))
    return summary
