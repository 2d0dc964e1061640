# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall: ufw's list of rules, and what the kernel has beside it."""

from __future__ import annotations

import re
import shutil
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import (
    EXTRA,
    Difference,
    Item,
    compare_seen,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.netfilter import KernelFilter
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.plan import Plan, Wanted, make_plan
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.request import check_request, look_around
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import ANY, Rule
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.state import (
    Files,
    State,
    read_state,
    starts_at_boot,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import read_rules

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.around import Around

# Rules of the guards come and go by themselves, and those that ufw's own chains begin with at each of its reloads.
OWN = re.compile(r"ssh-lifeline|webstack-ssh-(guard|hold)|\bufw6?-user-(limit|logging)")
UFW = re.compile(r"\bufw6?-|: :(INPUT|OUTPUT|FORWARD) ")
# What a table begins and ends with, and chains of the kernel that let everything through.
FRAME = re.compile(r"\*\w+|COMMIT|[{}]|:[A-Z]+ ACCEPT")
USER_CHAIN = re.compile(r"\bufw6?-user-")


def observe_firewall(params: t.Mapping[str, t.Any], around: Around) -> t.Iterator[Item]:
    """Compare ufw's rules, settings and guard with what is wanted, and the kernel with the last apply."""
    wanted = check_request(params=params, surroundings=look_around(runner=around.runner))
    state = read_state(runner=around.runner, files=Files())
    plan = make_plan(state=state, wanted=wanted)
    yield Item(key="ufw", wanted=params, differences=tuple(_ufw_differences(state, plan, wanted, around)))
    if state.installed:
        # What ufw's own files have been told of shows in the kernel as well, rule by rule.
        ignored = UFW if plan.changed or not state.enabled else (USER_CHAIN if not wanted.purge else None)
        yield _kernel(around, ignored=ignored)


def _ufw_differences(state: State, plan: Plan, wanted: Wanted, around: Around) -> t.Iterator[Difference]:
    if not state.installed:
        yield Difference("ufw is not installed")
        return
    rules, others = read_rules(stored={family: file.stored for family, file in state.user.items()})
    yield from _rule_differences(rules=rules, others=others, wanted=wanted)
    if not state.enabled:
        yield Difference("ufw is switched off")
    elif not starts_at_boot(runner=around.runner):
        yield Difference("ufw does not start at boot")
    if plan.before:
        yield Difference("The SSH guard in before.rules is not whole, or not first", key="ufw:guard")
    if plan.defaults is not None or plan.logging is not None:
        before, after = (_settings(text) for text in (plan.before_text, plan.after_text))
        if before != after:
            yield Difference("ufw's settings differ", key="ufw:settings", before=before, after=after)
    for sentence in plan.heal:
        yield Difference(f"The kernel does not do what ufw's files say: {sentence}", key=f"ufw:kernel:{sentence}")
    if plan.leftovers:
        yield Difference("A run that was killed has left rules that hold SSH open", key="ufw:leftovers")


def _settings(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith(("default ", "logging:", "IPv6:")))


def _rule_differences(*, rules: t.Sequence[Rule], others: t.Sequence[str], wanted: Wanted) -> t.Iterator[Difference]:
    for rule in wanted.rules:
        if rule not in rules:
            yield Difference(f"The rule `{rule.as_text()}` is missing", key=f"ufw:{rule.as_text()}")
    if not wanted.purge:
        return
    strangers = [rule for rule in rules if rule not in wanted.rules]
    for rule in strangers:
        what = f"The rule `{rule.as_text()}` is not ours: {effect(rule, rules=rules, wanted=wanted)}"
        yield Difference(what, EXTRA, key=f"ufw:{rule.as_text()}")
    for text in others:
        yield Difference(f"The rule `{text}` is not ours", EXTRA, key=f"ufw:{text}")
    kept = [rule for rule in rules if rule in wanted.rules]
    if kept != [rule for rule in wanted.rules if rule in kept]:
        yield Difference("The rules are not in their order, in which the first that matches decides", key="ufw:order")


def effect(stranger: Rule, *, rules: t.Sequence[Rule], wanted: Wanted) -> str:
    """Tell what a rule does to the wanted ones, given that the first rule that matches decides."""
    ahead = list(rules[: rules.index(stranger)])
    closed = [
        rule
        for rule in wanted.rules
        if rule.action != stranger.action and rule not in ahead and _covers(stranger, rule)
    ]
    if closed:
        return f"it decides before `{closed[0].as_text()}`"
    earlier = next((rule for rule in ahead if _covers(rule, stranger)), None)
    if earlier:
        return f"it has no effect, `{earlier.as_text()}` decides first"
    if stranger.action != "allow" and any(stranger.port == str(port) for port in wanted.ports):
        return "it does not close SSH, which the guard accepts first"
    default = wanted.settings.incoming if stranger.direction == "in" else wanted.settings.outgoing
    if stranger.action in ("allow", "limit"):
        return "it changes nothing, since that is allowed anyway" if default == "allow" else "it opens what was closed"
    return "it changes nothing, since that is closed anyway" if default != "allow" else "it closes what was open"


def _covers(one: Rule, other: Rule) -> bool:
    """Whether a rule matches whatever another one does, as far as their texts tell."""
    pairs = (
        (one.proto, other.proto),
        (one.source, other.source),
        (one.destination, other.destination),
        (one.interface or ANY, other.interface or ANY),
    )
    ports = one.port == ANY or set(other.port.split(",")) <= set(one.port.split(","))
    return one.direction == other.direction and ports and all(mine in (ANY, its) for mine, its in pairs)


def _kernel(around: Around, *, ignored: re.Pattern[str] | None) -> Item:
    """Compare every table of the kernel with what was in force at the last apply: rules need no ufw to be there.

    :arg ignored: Matches the rules that are not to be told.
    """
    if not shutil.which("nft") or not shutil.which("iptables-nft-save"):
        return Item(key="kernel")
    found = KernelFilter(runner=around.runner).read()
    now: dict[str, str] = {}
    for command, tables in found.xtables.items():
        for name, text in tables.items():
            now.update(_lines(f"{command} {name}", text))
    for name, text in found.nft.items():
        now.update(_lines(f"nft {name}", text))
    before = around.record.seen.get("kernel")
    noted = {rule: count for rule, count in (before or {}).items() if not _is_noise(rule)}
    differences = [] if before is None else compare_seen(before=noted, now=now, title="Kernel rule", key="kernel")
    differences = [each for each in differences if not (ignored and ignored.search(each.key))]
    return Item(key="kernel", seen=now, differences=tuple(differences))


def _is_noise(name: str) -> bool:
    """Whether a rule that was noted is none that would be noted now, as after an upgrade of the collection."""
    return bool(OWN.search(name) or FRAME.fullmatch(name.partition(": ")[2]))


def _lines(table: str, text: str) -> dict[str, str]:
    """Return the rules of a table by their text, each with how often it is there."""
    counts: dict[str, int] = {}
    for line in text.splitlines():
        rule = " ".join(line.split())
        if rule and not FRAME.fullmatch(rule) and not OWN.search(rule):
            counts[f"{table}: {rule}"] = counts.get(f"{table}: {rule}", 0) + 1
    return {rule: "" if count == 1 else f"{count} times" for rule, count in counts.items()}
