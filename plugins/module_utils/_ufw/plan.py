# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the firewall that is there and the one that is wanted to the steps between them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.guard import (
    GUARD_COMMENT,
    guard_rules,
    hold_rules,
    insert_guard,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.live import live_problems
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import FAMILIES, Rule
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.state import Settings, State, edit_defaults
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import (
    RulesFile,
    Stored,
    read_rule,
    read_rules,
    store_rule,
)

# How what was written gets into the kernel.
LOAD_NOTHING = "nothing"
LOAD_RULES = "rules"  # the user chains alone, in one atomic step
LOAD_ALL = "all"  # ufw's whole restart
LOAD_ENABLE = "enable"  # switch on a firewall that was off
# ufw's own words for the directions of policies, by the chains they belong to.
POLICY_CHAINS = {"incoming": "input", "outgoing": "output", "routed": "forward"}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The firewall that is asked for.

    ``networks`` is where SSH is accepted from (empty: anywhere), ``ports`` where it listens.
    """

    rules: tuple[Rule, ...]
    settings: Settings
    purge: bool
    ports: tuple[int, ...]
    networks: tuple[str, ...]

    @property
    def families(self) -> tuple[int, ...]:
        """The IP versions the firewall is kept for."""
        return FAMILIES if self.settings.ipv6 else FAMILIES[:1]

    def guard(self, family: int) -> list[str]:
        """Return the guard's rules for one IP version."""
        return guard_rules(family=family, ports=self.ports, networks=self.networks)

    def hold(self, family: int) -> list[str]:
        """Return the rules that hold SSH open meanwhile, for one IP version."""
        return hold_rules(family=family, ports=self.ports, networks=self.networks)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to do. Of the files only those are named whose text changes.

    ``heal`` says in words what the kernel lacks of what the files promise, ``leftovers`` whether a killed
    run left rules of its own. ``before_text`` and ``after_text`` are for the diff.
    """

    before: t.Mapping[int, str]
    user: t.Mapping[int, str]
    defaults: str | None
    load: str
    logging: str | None
    heal: tuple[str, ...]
    leftovers: bool
    user_files: t.Mapping[int, RulesFile]
    before_text: str
    after_text: str

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.load != LOAD_NOTHING or self.logging or self.leftovers)


def plan_user_file(*, current: RulesFile, wanted: Wanted, family: int) -> RulesFile:
    """Return user.rules with the wanted rules in their order, and around them what is not to be purged.

    A foreign rule ahead of all wanted ones stays there (fail2ban's bans), any other comes behind them.
    """
    ours = [rule for rule in wanted.rules if family in rule.families]
    stored = [_keep_or_store(rule=rule, current=current, family=family) for rule in ours]
    if wanted.purge:
        return dataclasses.replace(current, stored=tuple(stored))
    matches = {_normal(rule=rule, family=family).match for rule in ours}
    ahead: list[Stored] = []
    behind: list[Stored] = []
    seen = False
    for item in current.stored:
        rule = read_rule(stored=item, family=family)
        if rule is not None and rule.match in matches:
            seen = True
        else:
            (behind if seen else ahead).append(item)
    if not seen:
        ahead, behind = [], ahead
    return dataclasses.replace(current, stored=(*ahead, *stored, *behind))


def _normal(*, rule: Rule, family: int) -> Rule:
    """Return a rule as it reads back from the store of one IP version."""
    return read_rule(stored=store_rule(rule=rule, family=family), family=family) or rule


def _keep_or_store(*, rule: Rule, current: RulesFile, family: int) -> Stored:
    """Return the stored form of a rule, ufw's own lines where it is stored already."""
    new = store_rule(rule=rule, family=family)
    return next((item for item in current.stored if item.tuple_line == new.tuple_line and item.iptables), new)


def make_plan(*, state: State, wanted: Wanted) -> Plan:
    """Compare what is with what is wanted."""
    before = {family: _plan_before(state=state, wanted=wanted, family=family) for family in wanted.families}
    user_files = {
        family: plan_user_file(current=_user_file(state, family), wanted=wanted, family=family)
        for family in wanted.families
    }
    changed_before = {family: text for family, text in before.items() if text != state.before.get(family)}
    changed_user = {
        family: user_files[family].render()
        for family in wanted.families
        if user_files[family].stored != _user_file(state, family).stored
    }
    defaults = edit_defaults(text=state.defaults_file, settings=wanted.settings)
    heal = find_heal(state=state)
    # What ufw logs depends on the policies too; it rewrites its logging rules only when asked about logging.
    new_logging = state.settings is None or state.settings != wanted.settings
    return Plan(
        before=changed_before,
        user=changed_user,
        defaults=defaults if defaults != state.defaults_file else None,
        load=_load(
            state=state, deep=bool(changed_before or defaults != state.defaults_file or heal), rules=changed_user
        ),
        logging=wanted.settings.logging if new_logging else None,
        heal=tuple(heal),
        leftovers=any(table.holds() for table in state.live.values()),
        user_files=user_files,
        before_text=_describe_state(state=state, heal=heal, wanted=wanted),
        after_text=_describe_wanted(wanted=wanted, user_files=user_files),
    )


def _plan_before(*, state: State, wanted: Wanted, family: int) -> str:
    """Return before.rules with the guard in it; without ufw there is no file yet."""
    if not state.installed:
        return ""
    return insert_guard(text=state.before[family], family=family, rules=wanted.guard(family))


def find_heal(*, state: State) -> list[str]:
    """Return what the kernel lacks of what the files on this host promise now.

    Only asked of a firewall that is on: whatever is wanted anew is no illness.
    """
    if not state.enabled or state.settings is None:
        return []
    policies = {POLICY_CHAINS[name]: policy for name, policy in state.settings.policies().items()}
    problems = []
    for family in FAMILIES if state.settings.ipv6 else FAMILIES[:1]:
        if family in state.live:
            stored = state.user[family].stored
            problems += live_problems(
                live=state.live[family],
                family=family,
                guard=_guard_lines(state.before[family]),
                policies=policies,
                user_rules=[line for item in stored for line in item.iptables],
            )
    return problems


def _user_file(state: State, family: int) -> RulesFile:
    return state.user.get(family, RulesFile(head=(), stored=(), tail=()))


def _load(*, state: State, deep: bool, rules: t.Mapping[int, str]) -> str:
    if not state.enabled:
        return LOAD_ENABLE
    if deep:
        return LOAD_ALL
    return LOAD_RULES if rules else LOAD_NOTHING


def _describe_state(*, state: State, heal: t.Sequence[str], wanted: Wanted) -> str:
    if not state.installed:
        return "firewall: not installed\n"
    guard = [line for family in wanted.families for line in _guard_lines(state.before[family])]
    return _describe(
        enabled=state.enabled,
        settings=state.settings,
        guard=guard,
        user={family: file.stored for family, file in state.user.items() if family in wanted.families},
        heal=heal,
    )


def _describe_wanted(*, wanted: Wanted, user_files: t.Mapping[int, RulesFile]) -> str:
    return _describe(
        enabled=True,
        settings=wanted.settings,
        guard=[line for family in wanted.families for line in wanted.guard(family)],
        user={family: file.stored for family, file in user_files.items()},
        heal=(),
    )


def guard_in_files(state: State) -> list[str]:
    """Return the guard's rules as they stand in before.rules and before6.rules."""
    return [line for family in FAMILIES for line in _guard_lines(state.before.get(family, ""))]


def _guard_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if f"--comment {GUARD_COMMENT} " in line]


def _describe(
    *,
    enabled: bool,
    settings: Settings | None,
    guard: t.Sequence[str],
    user: t.Mapping[int, t.Sequence[Stored]],
    heal: t.Sequence[str],
) -> str:
    """Return the firewall as lines that read well in a diff."""
    lines = [f"firewall: {'enabled' if enabled else 'disabled'}"]
    if settings:
        lines += [f"default {direction}: {policy}" for direction, policy in settings.policies().items()]
        lines += [f"logging: {settings.logging}", f"IPv6: {'yes' if settings.ipv6 else 'no'}"]
    lines += [f"SSH guard: {line}" for line in guard]
    rules, others = read_rules(stored=user)
    lines += [f"rule: {rule.as_text()}{f'  # {rule.comment}' if rule.comment else ''}" for rule in rules]
    lines += [f"other rule: {text}" for text in others]
    lines += [f"kernel: {text}" for text in heal]
    return "\n".join(lines) + "\n"
