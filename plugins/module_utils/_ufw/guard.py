# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The enforced SSH guard: a block ahead of every other rule in before.rules and before6.rules.

What is typed at ``ufw`` goes into the user chains, behind ufw's own rules; the default policies come last
of all. The first rule that accepts wins, so the block makes all of them harmless to SSH. It is stateless
(it works with a full or broken connection table), and its second half lets the replies out whatever the
outgoing policy is.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import PREFIX

BEGIN = "# BEGIN phoenix.webstack SSH guard"
END = "# END phoenix.webstack SSH guard"
NOTE = (
    "# Managed by Ansible (phoenix.webstack.ufw). These rules stand first so that no rule and no default",
    "# policy set with the ufw command can close SSH. Change ssh_admin_cidrs or ufw_ssh_ports instead.",
)
GUARD_COMMENT = "webstack-ssh-guard"
HOLD_COMMENT = "webstack-ssh-hold"
IP = {4: "", 6: "6"}


def guard_rules(*, family: int, ports: t.Iterable[int], networks: t.Sequence[str]) -> list[str]:
    """Return the guard's rules for one IP version, spelt as ``iptables -S`` shows them.

    :arg networks: Where SSH is accepted from; empty means anywhere. Networks of the other IP version are
        left out, so the list may come out empty.
    """
    return _accept_rules(
        family=family,
        ports=ports,
        networks=networks,
        chains=(f"{PREFIX[family]}-before-input", f"{PREFIX[family]}-before-output"),
        comment=GUARD_COMMENT,
    )


def hold_rules(*, family: int, ports: t.Iterable[int], networks: t.Sequence[str]) -> list[str]:
    """Return rules for INPUT and OUTPUT themselves, which hold SSH open while ufw's chains are rebuilt."""
    return _accept_rules(
        family=family, ports=ports, networks=networks, chains=("INPUT", "OUTPUT"), comment=HOLD_COMMENT
    )


def _accept_rules(
    *, family: int, ports: t.Iterable[int], networks: t.Sequence[str], chains: tuple[str, str], comment: str
) -> list[str]:
    ours = [network for network in networks if ipaddress.ip_network(network).version == family]
    ends = [network for network in ours if not network.endswith("/0")]
    if not networks or len(ends) < len(ours):
        ends = [""]
    rules = []
    for chain, address_option, port_option in zip(chains, ("-s", "-d"), ("--dport", "--sport")):
        for port in ports:
            for end in ends:
                match = f"{address_option} {end} -p tcp" if end else "-p tcp"
                rules.append(f"-A {chain} {match} -m tcp {port_option} {port} -m comment --comment {comment} -j ACCEPT")
    return rules


def strip_guard(text: str) -> str:
    """Return a before.rules file without the guard: its markers, and every rule that carries its comment."""
    drop = (BEGIN, END, *NOTE)
    lines = [line for line in text.splitlines() if line not in drop and f"--comment {GUARD_COMMENT} " not in line]
    return "\n".join(lines) + "\n"


def insert_guard(*, text: str, family: int, rules: t.Sequence[str]) -> str:
    """Return a before.rules file with the guard as the first rules of its filter table.

    Wherever the guard stood before, and whatever was put ahead of it by hand, it ends up first.

    :raises WebstackError: when the file has no filter table to put it in.
    """
    lines = strip_guard(text).splitlines()
    position = _first_rule(lines=lines, family=family)
    block = [BEGIN, *NOTE, *rules, END]
    return "\n".join([*lines[:position], *block, *lines[position:]]) + "\n"


def _first_rule(*, lines: t.Sequence[str], family: int) -> int:
    """Return the place behind the chain declarations of the filter table."""
    position = None
    table = ""
    for index, line in enumerate(lines):
        if line.startswith("*"):
            table = line.strip()
        elif table == "*filter" and line.startswith(":"):
            position = index + 1
        elif table == "*filter" and line.startswith(("-", "COMMIT")):
            break
    if position is None:
        raise WebstackError(
            f"/etc/ufw/before{IP[family]}.rules has no filter table with chains, so the SSH guard has no place in it. "
            "Nothing was changed. Put back the file that the package brings: "
            f"cp /usr/share/ufw/iptables/before{IP[family]}.rules /etc/ufw/"
        )
    if position < len(lines) and lines[position].startswith("# End required lines"):
        position += 1
    return position


def testable(*, text: str, family: int) -> str:
    """Return a before.rules file as ``iptables-restore --test`` can judge it on its own.

    It jumps to chains that ufw makes before it loads the file; they are declared in front.
    """
    prefix = PREFIX[family]
    helpers = [f"{prefix}-logging-deny", f"{prefix}-logging-allow", f"{prefix}-user-input", f"{prefix}-user-output"]
    helpers += [
        f"{prefix}-{name}-{way}" for name in ("skip-to-policy", "before-logging") for way in ("input", "output")
    ]
    declared = {line[1:].split()[0] for line in text.splitlines() if line.startswith(":") and len(line) > 1}
    lines = []
    for line in text.splitlines():
        lines.append(line)
        if line.strip() == "*filter":
            lines += [f":{chain} - [0:0]" for chain in helpers if chain not in declared]
            helpers = []
    return "\n".join(lines) + "\n"
