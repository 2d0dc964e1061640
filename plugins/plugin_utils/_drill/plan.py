# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning a drill: from what was asked and what the hosts show to a plan, or to every problem at once.

Pure functions. A ``Looked`` is the registered result of the module that looked at a host; a host that could not be
asked has ``failed`` or ``unreachable`` and a ``msg`` instead.
"""

from __future__ import annotations

import difflib
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

Looked = t.Mapping[str, t.Any]
BACK_UP = "ansible-playbook phoenix.webstack.back_up_database"


class Asked(t.NamedTuple):
    """What the admin asked for, and what the inventory says of it.

    ``addresses`` are those of the hosts in service, by name; ``own_addresses`` those of the scratch host (for SSH, and
    for the balancer); ``databases`` are those of ``like``, the web server that it is provisioned as.
    """

    host: str
    source: str
    like: str
    own_addresses: t.Sequence[str]
    known_hosts: t.Sequence[str]
    web_hosts: t.Sequence[str]
    balancers: t.Sequence[str]
    addresses: t.Mapping[str, t.Sequence[str]]
    databases: t.Sequence[str]

    @property
    def sources(self) -> list[str]:
        """The web servers whose dumps count."""
        return [self.source] if self.source else list(self.web_hosts)


class Dump(t.NamedTuple):
    """The dump that is to be proven."""

    source: str
    id: str
    path: str
    snapshot_at: str
    manifest: t.Mapping[str, t.Any]


def problems_of_request(asked: Asked) -> list[str]:
    """What is wrong with the request by itself, before any host is asked."""
    problems = _problems_of_host(asked)
    if not asked.web_hosts:
        problems.append("The inventory has no web server, so that there is no backup. See: ansible-inventory --graph")
    elif asked.source and asked.source not in asked.web_hosts:
        problems.append(
            f"drill_source=`{asked.source}` is no web server of the inventory (it has {', '.join(asked.web_hosts)})."
            f"{_hint(asked.source, asked.web_hosts)} Name one, or leave it out: then the newest dump of all is taken."
        )
    elif not asked.databases:
        problems.append(
            f"mysql_databases of {asked.like} is empty, so that a dump proves nothing. Set it for the web servers."
        )
    return problems


def _problems_of_host(asked: Asked) -> list[str]:
    if not asked.host:
        return ["No host was named. Say which host may be overwritten: -e drill_host=spare."]
    if asked.host not in asked.known_hosts:
        return [
            f"`{asked.host}` is no host of the inventory.{_hint(asked.host, asked.known_hosts)} Add it to the group"
            " `drill`, beside the web servers (docs/recovery.md has an example)."
        ]
    for names, group in ((asked.web_hosts, "webservers"), (asked.balancers, "balancers")):
        if asked.host in names:
            return [
                f"{asked.host} is in the group `{group}`, so that it is or will be in service; a drill overwrites its"
                " host. Name one that is in neither `webservers` nor `balancers`: -e drill_host=spare"
            ]
    return [
        f"{asked.host} has the address of {name} ({address}), which is in service. Give it its own in the inventory;"
        f" see: ansible-inventory --host {asked.host}"
        for name, addresses in asked.addresses.items()
        for address in addresses
        if address in asked.own_addresses
    ]


def _hint(word: str, names: t.Sequence[str]) -> str:
    close = difflib.get_close_matches(word, names, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def problems_of_scratch(asked: Asked, looked: Looked) -> list[str]:
    """Whether the scratch host may be overwritten, from the registered result of ``drill_host``."""
    if fault := fault_of(looked, needs="leftovers"):
        return [f"{asked.host} {fault} Try it: ansible {asked.host} --become -m ansible.builtin.ping"]
    if looked["claimed"] or not looked["leftovers"]:
        return []
    return [
        f"{asked.host} is not bare, and no drill has left that there: {', '.join(looked['leftovers'])}. A drill would"
        " remove it. Name a bare host, or remove it yourself if it is nobody's."
    ]


def problems_of_balancers(asked: Asked, balancers: t.Mapping[str, Looked]) -> list[str]:
    """Whether a balancer sends users to the scratch host, from the registered results of ``haproxy_backend_info``."""
    problems = []
    for name, looked in balancers.items():
        if fault := fault_of(looked, needs="backends"):
            problems.append(
                f"{name} {fault} So it cannot be ruled out that it sends users to {asked.host}."
                f" See: ansible-playbook phoenix.webstack.check_access -e check_access_hosts={name}"
            )
            continue
        for backend in looked["backends"]:
            problems += [
                f"{name} has the address of {asked.host} as server {server['name']} of backend {backend['name']}:"
                " it is in service, or will be. Take it out there, or name another host."
                for server in backend["servers"]
                if {_bare(server["file_address"]), _bare(server["runtime_address"])} & set(asked.own_addresses)
            ]
    return problems


def _bare(endpoint: str | None) -> str:
    """An address without its port: ``192.0.2.11`` of ``192.0.2.11:80``, ``::1`` of ``[::1]:80``."""
    return (endpoint or "").rpartition(":")[0].strip("[]")


def fault_of(looked: Looked, *, needs: str) -> str:
    """Why a host could not be looked at, as the end of a sentence; empty if it could."""
    if looked.get("unreachable"):
        return f"cannot be reached by SSH: {looked.get('msg', 'no reason was given')}".rstrip(". ") + "."
    if looked.get("failed") or needs not in looked:
        reason = looked.get("msg") or looked.get("module_stderr") or "it was not asked"
        return f"could not be looked at: {reason}".rstrip(". ") + "."
    return ""


def last_dump(asked: Asked, sources: t.Mapping[str, Looked]) -> Dump:
    """Choose the newest dump of the sources, from the registered results of ``mysql_dump_info``.

    The newest, not the newest that is good: whether the last backup can be restored is the question.

    :raises WebstackError: There is none, or it is not whole, or databases are missing in it.
    """
    faults = {name: fault for name, looked in sources.items() if (fault := fault_of(looked, needs="sets"))}
    found = [(name, each) for name, looked in sources.items() if name not in faults for each in looked["sets"]]
    if not found:
        reasons = "".join(f" {name} {fault}" for name, fault in faults.items())
        raise WebstackError(
            f"There is no dump on {', '.join(asked.sources)}, so nothing could be restored.{reasons}"
            f" Take one: {BACK_UP} -e back_up_hosts={asked.sources[0]}"
        )
    source, newest = max(found, key=lambda each: (each[1]["manifest"] or {}).get("snapshot_at", each[1]["id"]))
    if not newest["valid"]:
        raise WebstackError(
            f"The last dump, {newest['path']} on {source}, is not whole: {' '.join(newest['problems'])}"
            f" Find out why, and take another: {BACK_UP} -e back_up_hosts={source}"
        )
    manifest = newest["manifest"]
    missing = sorted(set(asked.databases) - set(manifest["databases"]))
    if missing:
        raise WebstackError(
            f"The last dump, {newest['path']} on {source}, does not hold {', '.join(missing)}, which"
            f" mysql_databases lists. Take a whole one: {BACK_UP} -e back_up_hosts={source}"
        )
    return Dump(
        source=source,
        id=newest["id"],
        path=newest["path"],
        snapshot_at=manifest["snapshot_at"],
        manifest=manifest,
    )


def listed(problems: t.Sequence[str]) -> str:
    """All problems as one message that says that nothing was done."""
    count = "One thing stands" if len(problems) == 1 else f"{len(problems)} things stand"
    lines = ["  - " + each.replace("\n", "\n    ") for each in problems]
    return "\n".join([f"{count} in the way of the drill; nothing was changed:", *lines])


def describe(asked: Asked, dump: Dump) -> list[str]:
    """The plan as lines for a terminal."""
    gate = ", ".join(asked.balancers) or asked.host
    return [
        "Drill:",
        f"  scratch host  {asked.host} ({', '.join(asked.own_addresses)}), which is overwritten and made bare again",
        f"  backup        {dump.id} of {dump.source} (snapshot of {dump.snapshot_at})",
        f"  health gate   asked from {gate}; no balancer is changed",
    ]
