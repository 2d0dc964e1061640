from __future__ import annotations

import dataclasses
import stat
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.apply import apply_plan, write_atomically
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.plan import (
    LOAD_ALL,
    LOAD_ENABLE,
    LOAD_NOTHING,
    LOAD_RULES,
    Plan,
    Wanted,
    make_plan,
    plan_user_file,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import Rule
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.state import (
    Files,
    edit_defaults,
    parse_settings,
    read_state,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import RulesFile, store_rule

if t.TYPE_CHECKING:
    from pathlib import Path

MakeWanted = t.Callable[..., Wanted]
Text = t.Callable[[str], str]


def plan_for(*, runner: t.Any, files: Files, wanted: Wanted) -> Plan:
    return make_plan(state=read_state(runner=runner, files=files), wanted=wanted)


def test_a_converged_host_needs_nothing(
    runner: t.Any, converged_host: Files, make_wanted: MakeWanted, saved_rules: tuple[Rule, ...]
) -> None:
    plan = plan_for(runner=runner, files=converged_host, wanted=make_wanted(rules=saved_rules))
    assert not plan.changed
    assert plan.before_text == plan.after_text
    assert (plan.before, plan.user, plan.defaults, plan.load, plan.logging) == ({}, {}, None, LOAD_NOTHING, None)


def test_a_host_without_ufw_has_everything_to_be_done(
    runner: t.Any, tmp_path: Path, make_wanted: MakeWanted, saved_rules: tuple[Rule, ...]
) -> None:
    plan = plan_for(runner=runner, files=Files(root=tmp_path), wanted=make_wanted(rules=saved_rules))
    assert plan.changed
    assert plan.before_text == "firewall: not installed\n"
    assert "rule: allow 80,443/tcp  # nginx\n" in plan.after_text
    assert runner.calls == []


def test_a_fresh_package_is_enabled(runner: t.Any, fresh_host: Files, make_wanted: MakeWanted) -> None:
    plan = plan_for(runner=runner, files=fresh_host, wanted=make_wanted())
    assert plan.load == LOAD_ENABLE
    assert set(plan.before) == {4, 6}
    assert plan.defaults is None
    assert plan.heal == ()


def test_changed_rules_are_loaded_alone(
    runner: t.Any, converged_host: Files, make_wanted: MakeWanted, saved_rules: tuple[Rule, ...]
) -> None:
    plan = plan_for(runner=runner, files=converged_host, wanted=make_wanted(rules=saved_rules[1:]))
    assert plan.load == LOAD_RULES
    assert (set(plan.user), plan.before) == ({4, 6}, {})


def test_the_order_of_rules_matters(
    runner: t.Any, converged_host: Files, make_wanted: MakeWanted, saved_rules: tuple[Rule, ...]
) -> None:
    plan = plan_for(runner=runner, files=converged_host, wanted=make_wanted(rules=saved_rules[::-1]))
    assert plan.load == LOAD_RULES


def test_a_new_port_or_policy_needs_a_restart(
    runner: t.Any, converged_host: Files, make_wanted: MakeWanted, saved_rules: tuple[Rule, ...]
) -> None:
    wanted = make_wanted(rules=saved_rules, ports=(22, 2222))
    assert plan_for(runner=runner, files=converged_host, wanted=wanted).load == LOAD_ALL
    settings = dataclasses.replace(wanted.settings, outgoing="deny")
    wanted = make_wanted(rules=saved_rules, settings=settings)
    plan = plan_for(runner=runner, files=converged_host, wanted=wanted)
    assert (plan.load, plan.logging) == (LOAD_ALL, "low")
    assert plan.defaults is not None
    assert 'DEFAULT_OUTPUT_POLICY="DROP"\n' in plan.defaults


def test_a_kernel_without_the_rules_is_mended(
    runner: t.Any, converged_host: Files, make_wanted: MakeWanted, saved: Text, saved_rules: tuple[Rule, ...]
) -> None:
    runner.answers["iptables -S"] = saved("iptables-S").replace("-A INPUT -j ufw-before-input\n", "")
    plan = plan_for(runner=runner, files=converged_host, wanted=make_wanted(rules=saved_rules))
    assert plan.load == LOAD_ALL
    assert plan.heal == ("IPv4: INPUT does not lead into ufw's chains in ufw's order",)
    assert "kernel: IPv4: INPUT does not lead into ufw's chains in ufw's order\n" in plan.before_text


def test_what_a_killed_run_left_behind_is_cleared_away(
    runner: t.Any, converged_host: Files, make_wanted: MakeWanted, saved: Text, saved_rules: tuple[Rule, ...]
) -> None:
    hold = "INPUT -p tcp -m tcp --dport 22 -m comment --comment webstack-ssh-hold -j ACCEPT"
    runner.answers["iptables -S"] = saved("iptables-S") + f"-A {hold}\n"
    wanted = make_wanted(rules=saved_rules)
    plan = plan_for(runner=runner, files=converged_host, wanted=wanted)
    assert plan.changed
    assert plan.load == LOAD_NOTHING
    apply_plan(runner=runner, files=converged_host, plan=plan, wanted=wanted)
    assert runner.calls[-1] == ("iptables-restore --noflush", f"*filter\n-D {hold}\nCOMMIT\n")


def test_foreign_rules_are_purged_or_kept(make_wanted: MakeWanted) -> None:
    ours = Rule("allow", proto="tcp", port="80")
    ban = store_rule(rule=Rule("reject", source="203.0.113.66"), family=4)
    foreign = store_rule(rule=Rule("allow", proto="tcp", port="9100"), family=4)
    mine = store_rule(rule=ours, family=4)
    current = RulesFile(head=(), stored=(ban, mine, foreign), tail=())

    def stored(*, purge: bool, file: RulesFile = current) -> tuple[object, ...]:
        return plan_user_file(current=file, wanted=make_wanted(rules=(ours,), purge=purge), family=4).stored

    assert stored(purge=True) == (mine,)
    assert stored(purge=False) == (ban, mine, foreign)
    assert stored(purge=False, file=dataclasses.replace(current, stored=(foreign,))) == (mine, foreign)


def test_settings_are_edited_in_place(saved: Text, make_wanted: MakeWanted) -> None:
    text = saved("default")
    settings = make_wanted().settings
    assert parse_settings(defaults=text, conf=saved("ufw.conf")) == settings
    assert edit_defaults(text=text, settings=settings) == text
    strict = dataclasses.replace(settings, incoming="reject", ipv6=False)
    edited = edit_defaults(text=text, settings=strict)
    assert len(edited.splitlines()) == len(text.splitlines())
    assert parse_settings(defaults=edited, conf=saved("ufw.conf")) == strict
    assert parse_settings(defaults=edit_defaults(text="", settings=strict), conf="LOGLEVEL=low\n") == strict


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "before.rules"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o604)
    write_atomically(path=path, text="new")
    assert path.read_text(encoding="utf-8") == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert list(tmp_path.iterdir()) == [path]


def test_ssh_is_held_open_while_the_firewall_is_loaded(
    runner: t.Any, fresh_host: Files, make_wanted: MakeWanted, saved_rules: tuple[Rule, ...]
) -> None:
    wanted = make_wanted(rules=saved_rules)
    plan = plan_for(runner=runner, files=fresh_host, wanted=wanted)
    runner.calls.clear()
    apply_plan(runner=runner, files=fresh_host, plan=plan, wanted=wanted)
    commands = runner.commands()
    assert commands[:4] == ["iptables-restore --test --noflush"] * 2 + ["ip6tables-restore --test --noflush"] * 2
    assert commands[4:7] == ["iptables-restore --noflush", "ip6tables-restore --noflush", "ufw --force enable"]
    assert "-I INPUT -p tcp -m tcp --dport 22 " in runner.calls[4][1]
    assert "-I OUTPUT -p tcp -m tcp --sport 22 " in runner.calls[5][1]
    assert "webstack-ssh-guard" in fresh_host.before(6).read_text(encoding="utf-8")


def test_a_file_that_would_not_load_changes_nothing(runner: t.Any, fresh_host: Files, make_wanted: MakeWanted) -> None:
    runner.answers["iptables-restore --test --noflush"] = WebstackError("line 7 failed")
    old = fresh_host.before(4).read_text(encoding="utf-8")
    plan = plan_for(runner=runner, files=fresh_host, wanted=make_wanted())
    with pytest.raises(WebstackError, match=r"before\.rules would not load: line 7 failed\. Nothing was changed"):
        apply_plan(runner=runner, files=fresh_host, plan=plan, wanted=make_wanted())
    assert fresh_host.before(4).read_text(encoding="utf-8") == old
    assert "ufw --force enable" not in runner.commands()


def test_a_load_that_fails_is_rolled_back(
    runner: t.Any, fresh_host: Files, make_wanted: MakeWanted, saved_rules: tuple[Rule, ...]
) -> None:
    runner.answers["ufw --force enable"] = WebstackError("problem running ufw-init")
    wanted = make_wanted(rules=saved_rules, settings=dataclasses.replace(make_wanted().settings, outgoing="deny"))
    paths = [fresh_host.defaults, *(path(family) for path in (fresh_host.before, fresh_host.user) for family in (4, 6))]
    old = [path.read_text(encoding="utf-8") for path in paths]
    plan = plan_for(runner=runner, files=fresh_host, wanted=wanted)
    with pytest.raises(WebstackError) as error:
        apply_plan(runner=runner, files=fresh_host, plan=plan, wanted=wanted)
    assert error.value.message == "problem running ufw-init\nThe firewall is back as it was before."
    assert [path.read_text(encoding="utf-8") for path in paths] == old
    assert "ufw-init force-stop" in runner.commands()


def test_a_kernel_that_still_lacks_rules_after_the_load_is_no_success(
    runner: t.Any, converged_host: Files, make_wanted: MakeWanted, saved_rules: tuple[Rule, ...]
) -> None:
    wanted = make_wanted(rules=saved_rules[1:])
    plan = plan_for(runner=runner, files=converged_host, wanted=wanted)
    with pytest.raises(WebstackError, match="IPv4: ufw-user-input holds 9 rules, not 8"):
        apply_plan(runner=runner, files=converged_host, plan=plan, wanted=wanted)
    assert "ufw-init force-reload" in runner.commands()


def test_ssh_stays_held_open_when_even_the_old_files_do_not_load(
    runner: t.Any, converged_host: Files, make_wanted: MakeWanted, saved_rules: tuple[Rule, ...]
) -> None:
    runner.answers["ufw-init force-reload"] = WebstackError("no such file")
    wanted = make_wanted(rules=saved_rules, ports=(22, 2222))
    plan = plan_for(runner=runner, files=converged_host, wanted=wanted)
    with pytest.raises(WebstackError, match="SSH is held open by rules in INPUT and OUTPUT"):
        apply_plan(runner=runner, files=converged_host, plan=plan, wanted=wanted)
    assert not any("-D INPUT" in stdin for _command, stdin in runner.calls)
