# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel really does: ``iptables -S`` against what ufw's files promise.

``ufw status`` looks at nothing but whether its chains exist. With the jumps to them gone (``iptables -F``)
it still says that port 22 is allowed while the policy drops it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.guard import HOLD_COMMENT
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import PREFIX

BUILTIN = {"input": "INPUT", "output": "OUTPUT", "forward": "FORWARD"}
# The order in which ufw-init hooks its chains in.
PRIMARY = ("before-logging", "before", "after", "after-logging", "reject", "track")
POLICIES = {"allow": "ACCEPT", "deny": "DROP", "reject": "DROP"}


@dataclasses.dataclass(frozen=True)
class LiveTable:
    """The filter table of one IP version as ``iptables -S`` prints it."""

    policies: t.Mapping[str, str]
    chains: t.Mapping[str, t.Sequence[str]]

    def jumps(self, *, way: str) -> list[str]:
        """Return the rules of a built-in chain that lead into ufw's chains, in their order."""
        return [line for line in self.chains.get(BUILTIN[way], ()) if _is_ufw_jump(line)]

    def holds(self) -> list[str]:
        """Return the rules a run left behind that was killed while it held SSH open."""
        every = (line for chain in ("INPUT", "OUTPUT") for line in self.chains.get(chain, ()))
        return [line for line in every if f"--comment {HOLD_COMMENT} " in line]


def _is_ufw_jump(line: str) -> bool:
    target = line.rpartition(" -j ")[2]
    return target.startswith(("ufw-", "ufw6-"))


def parse_live(text: str) -> LiveTable:
    """Parse the output of ``iptables -S`` or ``ip6tables -S``."""
    policies: dict[str, str] = {}
    chains: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.replace('"', "").split()
        if len(words) < 2:
            continue
        rules = chains.setdefault(words[1], [])
        if words[0] == "-P":
            policies[words[1]] = words[2]
        elif words[0] == "-A":
            rules.append(" ".join(words))
    return LiveTable(policies=policies, chains=chains)


def wanted_jumps(*, family: int, way: str) -> list[str]:
    """Return the jumps that ufw-init puts into a built-in chain."""
    return [f"-A {BUILTIN[way]} -j {PREFIX[family]}-{name}-{way}" for name in PRIMARY]


def live_problems(
    *,
    live: LiveTable,
    family: int,
    guard: t.Sequence[str],
    policies: t.Mapping[str, str],
    user_rules: t.Sequence[str],
) -> list[str]:
    """Return in words what the kernel lacks of what the files promise.

    :arg guard: The guard's rules, see `guard_rules`.
    :arg policies: Wanted policy by direction: ``{"input": "deny", …}``.
    :arg user_rules: The iptables lines of user.rules; the kernel's are compared by number.
    """
    prefix = PREFIX[family]
    problems = [
        f"IPv{family}: {BUILTIN[way]} does not lead into ufw's chains in ufw's order"
        for way in BUILTIN
        if live.jumps(way=way) != wanted_jumps(family=family, way=way)
    ]
    problems += [
        f"IPv{family}: the policy of {BUILTIN[way]} is {live.policies.get(BUILTIN[way])}, not {POLICIES[policy]}"
        for way, policy in policies.items()
        if live.policies.get(BUILTIN[way]) != POLICIES[policy]
    ]
    for way in ("input", "output"):
        chain = f"{prefix}-before-{way}"
        wanted = [line for line in guard if line.startswith(f"-A {chain} ")]
        if list(live.chains.get(chain, ()))[: len(wanted)] != wanted:
            problems.append(f"IPv{family}: the SSH guard does not stand first in {chain}")
        user_chain = f"{prefix}-user-{way}"
        if f"-A {chain} -j {user_chain}" not in live.chains.get(chain, ()):
            problems.append(f"IPv{family}: {chain} does not lead into {user_chain}")
        promised = sum(1 for line in user_rules if line.startswith(f"-A {user_chain} "))
        present = len(live.chains.get(user_chain, ()))
        if present != promised:
            problems.append(f"IPv{family}: {user_chain} holds {present} rules, not {promised}")
    return problems


def jump_repair(*, live: LiveTable, family: int) -> str:
    """Return the iptables-restore input that puts ufw's jumps right in one step, empty when they are."""
    lines = []
    for way in BUILTIN:
        present, wanted = live.jumps(way=way), wanted_jumps(family=family, way=way)
        if present != wanted:
            lines += ["-D" + line[2:] for line in present] + wanted
    return transaction(lines)


def transaction(lines: t.Sequence[str]) -> str:
    """Return input for ``iptables-restore --noflush`` that applies all of the lines or none."""
    return "\n".join(["*filter", *lines, "COMMIT"]) + "\n" if lines else ""
