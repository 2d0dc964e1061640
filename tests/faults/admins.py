"""The admins outside: where they come from, and what they see of a host.

A host is looked at over four routes (IPv4 and IPv6, each from its own network and through its default
gateway) and by two accounts. Every attempt is a new connection.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import lab as labs

from tests.faults.model import FaultsError, answered

ACCOUNTS = ("root", labs.ADMIN)
# The hosts' own networks, where some admins live too; always the same, since guarded images know them.
NEAR = (ipaddress.ip_network("10.213.77.0/24"), ipaddress.ip_network("fdc6:7a1e:5eed::/64"))
# The admins who are not neighbours: networks kept for documentation and for private use.
DISTANT = (ipaddress.ip_network("198.51.100.0/24"), ipaddress.ip_network("fdc6:7a1e:5eed:1::/64"))
# Nobody's: addresses from which SSH has to stay closed.
OUTSIDERS = {4: "203.0.113.66", 6: "fdc6:7a1e:5eed:2::66"}
CARRIER = "lab-faults"  # the interface that holds their addresses; every Linux can make a bridge
BRIDGE_ADDRESS = "02:00:00:00:00:01"
FIRST_SOURCE = 200  # behind all addresses of hosts
# So many that an address which failed to log in is not needed again before sshd has forgiven it.
SOURCES = 32
BANNER_TIMEOUT = 2.0
LOGIN_TIMEOUT = 5.0  # a connection from the time of a lockout may hang for ever

Asked = TypeVar("Asked")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Route:
    """One way to a host: the version of IP, and the addresses to come from."""

    name: str
    version: int
    network: Network
    sources: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """A route and an account: where a login either works or does not."""

    route: Route
    account: str

    @property
    def name(self) -> str:
        """Name the view to a reader."""
        return f"{self.account} over {self.route.name}"


def routes() -> list[Route]:
    """Return the routes to every host."""
    named = [(network, "on-link") for network in NEAR] + [(network, "off-link") for network in DISTANT]
    found = []
    for network, where in named:
        sources = tuple(str(network[FIRST_SOURCE + number]) for number in range(SOURCES))
        found.append(Route(f"IPv{network.version} {where}", network.version, network, sources))
    return sorted(found, key=lambda route: route.name)


# -- addresses of this machine ---------------------------------------------------------


def move_in(bridge: str, ways: Sequence[Route]) -> None:
    """Give this machine the addresses of all admins: the near ones on the hosts' bridge, the distant on a carrier."""
    remove_devices([CARRIER])
    # A bridge takes the lowest hardware address of its ports, unless it has one of its own: it would change under
    # the hosts that use it as their gateway whenever another host comes or goes.
    lines = [f"link set {bridge} address {BRIDGE_ADDRESS}", f"link add {CARRIER} type bridge", f"link set {CARRIER} up"]
    for route in ways:
        device = CARRIER if route.network in DISTANT else bridge
        length, options = (32, "") if route.version == 4 else (128, " nodad")
        lines += [f"address add {source}/{length} dev {device}{options}" for source in route.sources]
    lines += [f"address add {address} dev {CARRIER}" for address in OUTSIDERS.values()]
    done = subprocess.run(
        [*as_root(), "ip", "-batch", "-"], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise FaultsError(f"the admins' addresses cannot be set on this machine: {done.stderr.strip()}")


def move_out() -> None:
    """Take the admins' addresses away, with the devices that hold them.

    podman leaves a bridge behind where a fault took a host's end of it away.
    """
    shown = subprocess.run(
        ["ip", "-json", "address", "show", "to", str(NEAR[0])], capture_output=True, text=True, check=True
    ).stdout
    remove_devices([CARRIER, *(each["ifname"] for each in json.loads(shown or "[]") if "ifname" in each)])


def remove_devices(names: Sequence[str]) -> None:
    """Remove those of these devices that there are."""
    for name in names:
        if Path("/sys/class/net", name).exists():
            subprocess.run([*as_root(), "ip", "link", "delete", name], check=True)


def as_root() -> list[str]:
    """Return what a command needs in front to run as root."""
    return [] if os.geteuid() == 0 else ["sudo"]


# -- looking ---------------------------------------------------------------------------


@dataclass
class Admins:
    """Those who want to log in to one host, over every route."""

    addresses: dict[int, str]  # the host's, by version of IP
    ways: Sequence[Route]
    private_key: Path
    known_hosts: Path
    alias: str  # the host's name in known_hosts
    one_source: bool = False
    asked_at: float = 0.0  # when the latest of the attempts was begun, by the monotonic clock
    _turns: dict[str, Iterator[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for route in self.ways:
            self._turns[route.name] = itertools.cycle(route.sources[:1] if self.one_source else route.sources)

    @property
    def views(self) -> list[View]:
        """Every view there is."""
        return [View(route, account) for account in ACCOUNTS for route in self.ways]

    def look(self, *, doubt: bool = True) -> dict[str, str]:
        """Return the views that are locked, with the reason; nothing when SSH is open.

        Where no answer came in time, a view is tried once more, at once and by itself: a busy machine is not a
        lockout. Without doubt, once is enough. An answer, such as a refusal, always counts.
        """
        failed = self.attempt(self.views)
        if not doubt or any(answered(reason) for reason in failed.values()):
            return failed
        for view in [view for view in self.views if view.name in failed]:
            if self.attempt([view]):
                return failed
            del failed[view.name]
        return failed

    def attempt(self, views: Sequence[View]) -> dict[str, str]:
        """Try some views once; return the failures. A login is left out where not even sshd's greeting arrives."""
        failed: dict[str, str] = {}
        silent = self.silent({view.route.name for view in views})
        for account in ACCOUNTS:
            mine = [view for view in views if view.account == account]
            failed |= {view.name: silent[view.route.name] for view in mine if view.route.name in silent}
            answering = [view for view in mine if view.route.name not in silent]
            for view, reason in self._at_once(self.log_in, answering):
                if reason:
                    failed[view.name] = reason
        return failed

    def silent(self, names: set[str] | None = None) -> dict[str, str]:
        """Return the routes over which sshd does not greet, with the reason."""
        asked = [route for route in self.ways if names is None or route.name in names]
        return {route.name: reason for route, reason in self._at_once(self.greet, asked) if reason}

    def _at_once(self, ask: Callable[[Asked], str], items: Sequence[Asked]) -> list[tuple[Asked, str]]:
        """Ask about all items at the same time."""
        with ThreadPoolExecutor(max_workers=len(self.ways)) as pool:
            return list(zip(items, pool.map(ask, items), strict=True))

    def greet(self, route: Route) -> str:
        """Return why sshd does not greet over a route; nothing when it does."""
        self.asked_at = time.monotonic()
        try:
            with socket.create_connection(
                (self.addresses[route.version], 22), timeout=BANNER_TIMEOUT, source_address=(self.source(route), 0)
            ) as connection:
                return "" if connection.recv(4) == b"SSH-" else "the connection ends without a greeting"
        except OSError as error:
            return str(error)

    def log_in(self, view: View) -> str:
        """Return why a login over a view does not work; nothing when it does."""
        self.asked_at = time.monotonic()
        proof = uuid.uuid4().hex
        argv = [*self.ssh_argv(view.route, view.account, self.private_key), f"echo {proof}"]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LOGIN_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return f"the login takes longer than {LOGIN_TIMEOUT:.0f} s"
        if done.stdout.split() == [proof]:
            return ""
        return done.stderr.strip().rpartition("\n")[2] or f"logged in, but the command ended with {done.returncode}"

    def ssh_argv(self, route: Route, account: str, key: Path) -> list[str]:
        """Return the command that opens a new connection from the next address of a route, the host key checked."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": 3,
            "ControlMaster": "no",
            "ControlPath": "none",
            "HostKeyAlias": self.alias,
            "IdentitiesOnly": "yes",
            "IdentityFile": key,
            "LogLevel": "ERROR",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts,
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", "-b", self.source(route), *words, f"{account}@{self.addresses[route.version]}"]

    def source(self, route: Route) -> str:
        """Return the address to come from next."""
        return next(self._turns[route.name])

    # -- what admins, or those who come from their networks, may do to themselves

    def burst(self, count: int) -> None:
        """Open and drop connections quickly, over every route."""
        for _number in range(count):
            self.silent()

    def fail_to_log_in(self, count: int, stranger: Path) -> None:
        """Try to log in with a key that no account knows, over every route."""
        for _number in range(count):
            for route in self.ways:
                argv = [*self.ssh_argv(route, ACCOUNTS[0], stranger), "true"]
                subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
