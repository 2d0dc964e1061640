# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a new connection from the wire to the server and back, and what is done where it is closed.

The probe tells whether it is open. Of what lies on the wire's side of the probe it cannot tell: neighbours, gateways
and queues are asked by themselves.
"""

from __future__ import annotations

import itertools
import socket
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import probe, report, wire
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.ipsec import End, Ipsec
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.memory import CONTESTED_SECONDS, FOR_A_WHILE
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network import Network, devices, known_hardware
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network_reflex import NetworkReflex

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.memory import Contest, Memory
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.network import State
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

MENDED_SECONDS = 2.0  # for what was mended to show
FIRST_WAIT = 0.2  # seconds for an answer that takes less than a thousandth


class WayIn:
    """The way in to this host.

    :arg memory: What the network was like when a login last worked.
    """

    def __init__(
        self, *, runner: CommandRunner, settings: Settings, voice: report.Report, memory: Memory, contest: Contest
    ) -> None:
        self.described = ""  # where the probe comes in, for people
        self._runner = runner
        self._settings = settings
        self._voice = voice
        self._memory = memory
        self._contest = contest
        self._ipsec = Ipsec(runner=runner)
        self._network = Network(runner=runner)
        self._reflex = NetworkReflex(runner=runner, good=lambda: memory.network)
        self._probe: probe.Probe | None = None

    @property
    def ways(self) -> list[probe.Way]:
        """By which the probe comes, one for each version of IP."""
        return self._probe.ways if self._probe else []

    def look(self) -> State:
        """Return what the network is like now."""
        return {**self._network.look(), "policy": self._ipsec.look(good=self._memory.network.get("policy", []))}

    def begin(self) -> None:
        """Bring devices back that are gone, and lay the probe's way in."""
        self._reflex.begin()
        if any(name not in devices() for name in known_hardware(self._memory.network)):
            self.mend_network()
        self._lay(self._memory.network or self.look())
        self._ipsec.adopt(self._ends(self.ways))

    def release(self) -> None:
        """Take out of the kernel what was put there."""
        left = self._new_probe(self._memory.network or self.look())
        self._ipsec.release(self._ends(left.ways))
        left.tear_down()

    def try_once(self, ask: t.Callable[[], str]) -> str:
        """Ask something by the way in that another process keeps, or by one for this occasion."""
        kept = probe.is_laid()
        self._probe = self._new_probe(self.look())
        try:
            if not kept:
                self._probe.set_up()
            return ask()
        except WebstackError:  # no namespace to be had here
            return ""
        finally:
            if not kept:
                self._probe.tear_down()

    def closed(self, *, patience: float = 0.0) -> dict[int, str]:
        """Return the IP versions over which a new connection gets no answer, with what came instead.

        :arg patience: Seconds for an answer that may need a while, since something was just mended.
        """
        if self._probe is None:
            return {}
        end = time.monotonic() + patience
        # One packet may be lost, so there is a second; a machine under load may be slow, so that one has more time.
        for seconds in itertools.chain((FIRST_WAIT, 0.5), itertools.repeat(0.5)):
            answers = self._probe.knock(seconds=seconds)
            closed = {version: answer for version, answer in answers.items() if answer in (probe.SILENT, probe.REFUSED)}
            if not closed or (seconds != FIRST_WAIT and time.monotonic() >= end):
                break
            if patience and probe.SILENT not in closed.values():
                time.sleep(0.1)
        return closed

    def _lay(self, network: State) -> None:
        """Lay the probe's way in anew, for the addresses of a network."""
        if self._probe is not None:
            self._probe.tear_down()
        self._probe = self._new_probe(network)
        try:
            self._probe.set_up()
            for way in self._probe.ways:
                self._network.herald(way.device)
            places = (f"{way.device} to {way.address}" for way in self._probe.ways)
            self.described = f"through {', '.join(places)}"
        except WebstackError as error:
            self._probe = None
            self.described = f"not to be had here: {error.message}"
            self._voice.tell("guard", "found", f"no probe from outside: {error.message}", priority=report.WARNING)

    def _new_probe(self, state: State) -> probe.Probe:
        ways = probe.find_ways(state=state, settings=self._settings)
        return probe.Probe(runner=self._runner, ways=ways, port=self._settings.ports[0])

    # -- what the probe cannot tell

    def hold_neighbours(self) -> None:
        """Forget fixed hardware addresses that were not there before."""
        own = [way.source for way in self.ways]
        good = self._memory.network
        for line in self._network.drop_strange_neighbours(good=good, own=own) if good else []:
            self._voice.tell("network", "healed", f"forgot the fixed neighbour {line}", priority=report.WARNING)

    def hold_wire(self) -> None:
        """Have neighbours find this host's hardware address."""
        for device in sorted({way.device for way in self.ways}):
            self._tell_ran(self._network.answer_neighbours(device, good=self._memory.network))

    def hold_gateways(self) -> None:
        """Go back to a network in which the gateways answered, where they do so no more.

        It is the only look at the wire that a host has, hence taken when the network was changed.
        """
        good = self._memory.network
        if not self._network.unanswered(good.get("gateway", [])):
            self._voice.settle("gateway")
            return
        self.mend_network()
        silent = self._network.unanswered(good.get("gateway", []))
        if silent:
            self._voice.tell_once("gateway", f"no answer from {', '.join(silent)}, which answered before")

    def hold_queue(self) -> bool:
        """Take off queues and filters that let nothing out, to which the probe does not come; tell whether it did."""
        good, port = self._memory.network, self._settings.ports[0]
        stuck = False
        for device in sorted({way.device for way in self.ways}):
            replies = [probe.reply_packet(way=way, port=port) for way in self.ways if way.device == device]
            if self._network.has_strange_way_out(device, good=good) and not wire.leaves(device, replies):
                ran = self._network.clear_way_out(device, good=good)
                self._tell_ran(ran, f"SSH's replies did not leave {device}")
                stuck = True
        return stuck

    def adopt_address(self) -> None:
        """Follow a host that was given another address (by DHCP, by its admin)."""
        lost = [way for way in self.ways if not is_local(way.address)]
        if not lost:
            return
        network = self.look()
        others = {line.split("/")[0] for line in network["address"]} - {way.address for way in self.ways}
        if any((":" in address) == (way.version == 6) for way in lost for address in others):
            self._lay(network)
            self._voice.tell("network", "found", f"the address {lost[0].address} was replaced", priority=report.NOTICE)

    def settle_ipsec(self) -> None:
        """Take SSH back behind policies by which it comes through now: encrypted it would not come ahead of them."""
        ends, good = self._ends(self.ways), self._memory.network.get("policy", [])
        if not self._ipsec.is_needed(ends, good=good):
            self._ipsec.release(ends)

    def _ends(self, ways: t.Iterable[probe.Way]) -> list[End]:
        networks, ports = self._settings.networks, self._settings.ports
        return [End(way.version, way.address, tuple(networks(way.version)), ports) for way in ways]

    # -- the rungs of the ladder; each tells whether it changed anything

    def mend_ingress(self) -> bool:
        """Take programs off that let SSH vanish on a device, which no rule overrules."""
        taken, port = False, self._settings.ports[0]
        for device in sorted({way.device for way in self.ways} & devices()):
            mine = [way for way in self.ways if way.device == device]
            if self._network.take_programs_off(
                device,
                coming=[probe.syn_frame(way=way, port=port) for way in mine],
                going=[probe.reply_frame(way=way, port=port) for way in mine],
            ):
                told = f"took a program (eBPF) off {device} that dropped SSH"
                self._voice.tell("network", "healed", told, priority=report.WARNING)
                taken = True
        return taken

    def mend_ipsec(self) -> bool:
        """Let SSH through ahead of policies that let nothing through, unless that does not help."""
        ends, good = self._ends(self.ways), self._memory.network.get("policy", [])
        ran = self._ipsec.let_ssh_through(ends, good=good)
        if ran and self.closed(patience=MENDED_SECONDS):
            self._ipsec.release(ends)
            return False
        return self._tell_ran(ran)

    def mend_network(self) -> bool:
        """Go back to the network in which a login last worked."""
        ran = self._network.restore(good=self._memory.network) if self._memory.network else []
        if self._tell_ran(ran) and self._contest.note("network") and self._reflex.arm(CONTESTED_SECONDS):
            told = "somebody takes links, addresses or routes away again and again, so they are put back at once"
            self._voice.tell("network", "healed", f"{told} {FOR_A_WHILE}", priority=report.WARNING)
        return bool(ran)

    def mend_probe(self) -> bool:
        """Lay the probe's way in anew: a device that was away has lost it, and it must not be what is silent."""
        self._lay(self.look())
        return not self.closed()

    def _tell_ran(self, commands: t.Sequence[str], reason: str = "") -> bool:
        for command in commands:
            told = f"ran {command}: {reason}" if reason else f"ran {command}"
            self._voice.tell("network", "healed", told, priority=report.WARNING)
        return bool(commands)


def is_local(address: str) -> bool:
    """Tell whether an address is this host's."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.bind((address, 0))
        except OSError:
            return False
    return True
