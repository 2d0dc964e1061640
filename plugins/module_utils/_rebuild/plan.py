# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning a rebuild: from what was asked and what the hosts show to a plan, or to every problem at once.

Pure functions. A ``Probe`` is what the module ``rebuild_probe`` returns, a ``Balancer`` what `balancer_of`
makes of the module ``haproxy_backend_info``; a host that could not be asked has ``{"error": "why"}`` instead.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import method as methods

Probe = t.Mapping[str, t.Any]
Balancer = t.Mapping[str, t.Any]

SUPPORTED = {"debian": ("12", "13")}
# Room on the replacement, of the size of the source's data: the data, the dump, and work space.
DISK_FACTOR = 2.5
DISK_RESERVE_BYTES = 1 << 30


class Asked(t.NamedTuple):
    """What the admin asked for, and what the inventory says of it.

    SSH reaches the replacement at ``address``, the balancer at ``service_address``; ``addresses``
    are the service addresses of all web servers.
    """

    host: str
    address: str
    service_address: str
    source: str
    in_place: bool
    web_hosts: t.Sequence[str]
    balancers: t.Sequence[str]
    addresses: t.Mapping[str, str]
    databases: t.Sequence[str]


class Plan(t.NamedTuple):
    """What a rebuild will do. ``source``, ``method`` and its reason are None where no data has to be moved any more."""

    host: str
    old_address: str | None
    address: str
    url: str
    source: str | None
    databases: t.Sequence[str]
    method: str | None
    method_reason: str | None
    balancers: t.Sequence[str]


def probe_of(registered: t.Mapping[str, t.Any]) -> Probe:
    """What a web server showed, from the registered result of ``rebuild_probe``."""
    return _fault_of(registered, needs="probe") or registered["probe"]


def balancer_of(registered: t.Mapping[str, t.Any]) -> Balancer:
    """What a balancer showed, from the registered result of ``haproxy_backend_info``.

    :returns: ``running`` and ``servers``: those of all backends, with bare addresses.
    """
    servers = [
        {
            "name": server["name"],
            "addresses": [_bare(each) for each in (server["file_address"], server["runtime_address"]) if each],
            "healthy": bool(server["healthy"]),
            "serving": bool(server["serving"]),
            "status": server["status"] or "unknown",
        }
        for backend in registered.get("backends", [])
        for server in backend["servers"]
    ]
    return _fault_of(registered, needs="backends") or {"running": registered["running"], "servers": servers}


def _fault_of(registered: t.Mapping[str, t.Any], *, needs: str) -> dict[str, str]:
    if registered.get("unreachable"):
        return {"error": f"SSH does not get in: {registered.get('msg', 'unreachable')}".rstrip(". ") + "."}
    if registered.get("failed") or needs not in registered:
        reason = registered.get("msg") or registered.get("module_stderr") or "it was not asked"
        return {"error": f"could not be looked at: {reason}".rstrip(". ") + "."}
    return {}


def _bare(endpoint: str) -> str:
    """An address without its port: ``192.0.2.11`` of ``192.0.2.11:80``, ``::1`` of ``[::1]:80``."""
    return endpoint.rpartition(":")[0].strip("[]")


def problems_of_request(asked: Asked) -> list[str]:
    """What is wrong with the request by itself, before any host is asked."""
    problems = []
    if not asked.host:
        problems.append("No host was named. Say which server is lost: -e rebuild_host=web-01.")
    elif asked.host not in asked.web_hosts:
        close = difflib.get_close_matches(asked.host, asked.web_hosts, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        problems.append(
            f"`{asked.host}` is no web server of the inventory (it has {', '.join(asked.web_hosts) or 'none'}).{hint}"
            " See: ansible-inventory --graph"
        )
    if asked.source and asked.source not in asked.web_hosts:
        problems.append(f"rebuild_source=`{asked.source}` is no web server of the inventory.")
    if asked.source and asked.source == asked.host:
        problems.append(f"rebuild_source is the lost host {asked.host} itself; name a server that survived.")
    if not asked.balancers:
        problems.append("The inventory has no balancer, so the rebuilt server could not be put into service.")
    problems += _problems_of_address(asked)
    return problems


def _problems_of_address(asked: Asked) -> list[str]:
    if not all(re.fullmatch(r"[\w.:%-]+", each) for each in (asked.address, asked.service_address)):
        return [f"`{asked.address}` (for the balancer `{asked.service_address}`) is no address."]
    taken = [name for name, each in asked.addresses.items() if each == asked.service_address and name != asked.host]
    if taken:
        return [f"{asked.service_address} is the address of {', '.join(taken)}, not of a replacement for {asked.host}."]
    try:
        address = ipaddress.ip_address(asked.service_address)
    except ValueError:
        return []
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return [f"{asked.service_address} cannot be a replacement's address: the balancer could not reach it."]
    return []


def old_addresses(*, host: str, balancers: t.Mapping[str, Balancer]) -> list[str]:
    """The addresses under which balancers know a server, in their files or at run time."""
    found: list[str] = []
    for balancer in balancers.values():
        for server in balancer.get("servers", []):
            if server["name"] == host:
                found += server["addresses"]
    return sorted(set(found))


def problems_before_contact(
    asked: Asked, *, balancers: t.Mapping[str, Balancer], earlier: t.Mapping[str, t.Any]
) -> list[str]:
    """Whether the address may be contacted at all: the lost host never is.

    :arg earlier: The journal of the last rebuild of this host; its address is a replacement already.
    """
    in_use = old_addresses(host=asked.host, balancers=balancers)
    if asked.in_place or asked.service_address not in in_use or earlier.get("address") == asked.address:
        return []
    return [
        f"{asked.service_address} is where the balancer looks for {asked.host}: that is the lost server, and it is"
        f" never contacted. Put the replacement's address under {asked.host} in the inventory, or pass"
        " -e rebuild_address=ADDRESS; if the machine was reinstalled at the same address, -e rebuild_in_place=true."
    ]


def problems_of_balancers(asked: Asked, *, balancers: t.Mapping[str, Balancer]) -> list[str]:
    """Balancers that cannot be repointed, or that would be left with no healthy server."""
    problems = []
    for name, balancer in balancers.items():
        if "error" in balancer:
            problems.append(
                f"Balancer {name}: {balancer['error']} Every balancer is repointed, or none."
                f" Look: ansible-playbook phoenix.webstack.check_access -e check_access_hosts={name}"
            )
        elif not balancer.get("running"):
            problems.append(f"Balancer {name}: HAProxy is not running. On {name}: sudo systemctl status haproxy")
        elif asked.host in asked.web_hosts and not any(
            server["serving"] and server["name"] != asked.host for server in balancer["servers"]
        ):
            problems.append(
                f"{asked.host} is the last healthy server behind {name}: with it, the service would go."
                f" First bring another server back: ansible-playbook phoenix.webstack.check_access"
            )
    return problems


def choose_source(
    asked: Asked, *, sources: t.Mapping[str, Probe], balancers: t.Mapping[str, Balancer]
) -> tuple[str | None, list[str]]:
    """Choose the surviving server whose data is copied.

    :returns: The first candidate in inventory order that is whole, or None with every candidate's fault.
    """
    candidates = [asked.source] if asked.source else [name for name in asked.web_hosts if name != asked.host]
    faults = []
    for name in candidates:
        fault = _fault_of_source(name, sources.get(name, {"error": "was not asked."}), asked, balancers)
        if fault is None:
            return name, []
        faults.append(f"{name} cannot give the data: {fault}")
    return None, faults or ["No other web server is in the inventory that could give the data."]


def _fault_of_source(name: str, probe: Probe, asked: Asked, balancers: t.Mapping[str, Balancer]) -> str | None:
    if "error" in probe:
        return str(probe["error"])
    if not probe["database_server"]["running"]:
        return f"its database server is not running. On {name}: sudo systemctl status mysql mariadb"
    missing = [database for database in asked.databases if database not in probe["databases"]]
    if missing:
        return f"it has no database {', '.join(missing)}."
    down = [
        balancer
        for balancer, shown in balancers.items()
        if "servers" in shown and not any(each["healthy"] and each["name"] == name for each in shown["servers"])
    ]
    if down:
        return f"{', '.join(down)} does not find it healthy."
    return None


def problems_of_target(asked: Asked, *, target: Probe, source: Probe | None, engine: str, http_port: int) -> list[str]:
    """What speaks against the replacement: unreachable, not empty, too small, not able to take the data."""
    if "error" in target:
        return [f"The replacement at {asked.address}: {target['error']}"]
    problems = []
    supported = target["os"]["version"] in SUPPORTED.get(target["os"]["id"], ())
    if not supported:
        problems.append(
            f"The replacement runs {target['os']['id']} {target['os']['version']}; Debian 12 and 13 are supported."
        )
    ours = {**target["restored"], **target["cut_off"]}
    foreign = [name for name, held in target["databases"].items() if not held["empty"] and name not in ours]
    if foreign:
        problems.append(
            f"The replacement already holds data: database {', '.join(foreign)}, not restored by this collection."
            f" It is never overwritten. Is {asked.address} the right machine? Look there: sudo ls -l /var/lib/mysql."
            " If so, move the data away and run again."
        )
    stranger = target["listeners"].get(str(http_port))
    if stranger not in (None, "nginx"):
        problems.append(f"Port {http_port} of the replacement is held by `{stranger}`. Stop it there and run again.")
    if supported and source is not None and "error" not in source:
        problems += _problems_of_data(asked, target=target, source=source, engine=engine)
    return problems


def _problems_of_data(asked: Asked, *, target: Probe, source: Probe, engine: str) -> list[str]:
    problems = []
    offered = source["database_server"]["engine"]
    if offered != engine:
        problems.append(f"The source runs {offered}, but mysql_engine of {asked.host} is {engine}; make them the same.")
    elif offered == "mariadb" and int(source["os"]["version"]) > int(target["os"]["version"]):
        problems.append(
            f"The source's Debian {source['os']['version']} has a newer MariaDB than the replacement's Debian"
            f" {target['os']['version']}, which cannot take its dump. Install Debian {source['os']['version']} there."
        )
    size = sum(source["databases"][name]["bytes"] for name in asked.databases if name in source["databases"])
    wanted = int(size * DISK_FACTOR) + DISK_RESERVE_BYTES
    if target["disk_free_bytes"] < wanted:
        problems.append(
            f"The replacement has {_gib(target['disk_free_bytes'])} GiB free on /var/lib; {_gib(wanted)} GiB are needed"
            f" for {_gib(size)} GiB of data, the dump and work space."
        )
    return problems


def waiting_databases(asked: Asked, *, target: Probe) -> list[str]:
    """The databases that have to be brought: all but those that are in place and proven."""
    in_place = [name for name in target["restored"] if not target["databases"].get(name, {"empty": True})["empty"]]
    return [name for name in asked.databases if name not in in_place]


def make_plan(
    asked: Asked,
    *,
    target: Probe,
    source: str | None,
    choice: methods.Choice,
    balancers: t.Mapping[str, Balancer],
    http_port: int,
) -> Plan:
    """The plan of a request that has no problem; nothing is moved where the data is in place and proven."""
    known = old_addresses(host=asked.host, balancers=balancers)
    others = [address for address in known if address != asked.service_address]
    waiting = waiting_databases(asked, target=target)
    return Plan(
        host=asked.host,
        old_address=others[0] if others else None,
        address=asked.service_address,
        url=f"http://{_in_url(asked.service_address)}:{http_port}",
        source=source if waiting else None,
        databases=waiting,
        method=choice.method if waiting else None,
        method_reason=choice.reason if waiting else None,
        balancers=list(balancers),
    )


def describe(plan: Plan, *, fingerprint: str, trusted_by: str) -> list[str]:
    """The plan as lines for a terminal."""
    data = ["  data       in place and proven by an earlier run; no data is moved"]
    if plan.source:
        what = "copy of the server's files" if plan.method == methods.PHYSICAL else "dump as text"
        data = [
            f"  data       {', '.join(plan.databases)} from {plan.source}, restored and proven table by table",
            f"  method     {plan.method}, a {what} ({plan.method_reason})",
        ]
    return [
        f"Plan: rebuild {plan.host}",
        f"  address    {plan.old_address or 'unchanged'} → {plan.address}",
        f"  host key   {fingerprint} (trusted by: {trusted_by})",
        "  provision  ufw with SSH open, database server, app, nginx",
        *data,
        f"  balancers  {', '.join(plan.balancers)}: repointed after {plan.host} has answered its deep health check",
    ]


def problems_of_service(*, host: str, address: str, balancers: t.Mapping[str, Balancer]) -> list[str]:
    """What is not yet as it must be at the end: every balancer, in its file and at run time, points at the new address.

    :arg balancers: What the balancers show after they were repointed.
    """
    problems = []
    for name, balancer in balancers.items():
        servers = [server for server in balancer["servers"] if server["name"] == host]
        if not servers:
            problems.append(f"{name} has no server {host}.")
        for server in servers:
            if set(server["addresses"]) != {address}:
                known = " and ".join(sorted(set(server["addresses"])))
                problems.append(f"{name} points at {known} for {host} (file and running HAProxy), not at {address}.")
            elif not server["serving"]:
                problems.append(f"{name} finds {host} at {address} {server['status']}, not UP.")
    return problems


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f}"


def listed(problems: t.Sequence[str]) -> str:
    """All problems as one message that says that nothing was done."""
    count = "One thing stands" if len(problems) == 1 else f"{len(problems)} things stand"
    return f"{count} in the way of the rebuild; nothing was changed:\n" + "\n".join(
        "  - " + each.replace("\n", "\n    ") for each in problems
    )
