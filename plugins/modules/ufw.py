#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the whole ufw firewall as one list of rules, with SSH guarded."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw
short_description: Keep the whole ufw firewall as one list of rules, with SSH guarded
version_added: "0.1.0"
description:
  - Compares the whole firewall with one list of rules and touches it only where they differ, in one load instead of
    one C(ufw) call per rule. What is written are ufw's own files, so C(ufw status) and every other C(ufw) command go on
    working.
  - Keeps a guard ahead of every other rule, in C(/etc/ufw/before.rules) and C(/etc/ufw/before6.rules), which accepts
    new SSH connections on every port that sshd really listens on, and lets their replies out. Whatever is typed at
    C(ufw) by hand afterwards (C(ufw deny 22), C(ufw default deny incoming)) has no effect on SSH.
  - Refuses a list of rules that would close SSH, and admin networks that do not include the address the controller is
    connected from, before anything is touched. All problems are named at once.
  - Does not trust C(ufw status). Asks the kernel for the rules and mends what it lacks, for example after
    C(iptables -F).
  - Has the firewall start with the system.
  - SSH is held open while the firewall is loaded. When a load fails, the old firewall is put back.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - ufw 0.36 on the managed host; in check mode it may be missing.
attributes:
  check_mode:
    description: Predicts what would change without changing anything, also where ufw is not installed yet.
    support: full
  diff_mode:
    description: Shows the settings, the guard and the rules, one on each line, before and after.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: The operating systems the module is for.
    support: full
    platforms: debian
options:
  rules:
    description:
      - The rules, in the order in which they are tried. The first that matches decides.
      - Each is a mapping with the keys V(rule) (V(allow), V(deny), V(reject) or V(limit)), V(direction) (V(in) by
        default, or V(out)), V(proto) (V(tcp), V(udp) or V(any); V(tcp) by default for a rule with a port, else V(any)),
        V(port) (C("80"), C("80,443") or C("6000:6010")), V(from) and V(to) (V(any) by default, an address, or a network
        in CIDR notation; V(0.0.0.0/0) and V(::/0) restrict a rule to one version of IP), V(interface) and V(comment).
      - Only V(rule) is required.
    type: list
    elements: dict
    default: []
  service_rules:
    description: Rules that services ask for, in the same form. They stand before O(rules).
    type: list
    elements: dict
    default: []
  purge:
    description:
      - Whether rules that are in neither list are removed.
      - Set it to V(false) where something else adds rules with C(ufw), such as fail2ban. Such rules stay ahead of the
        listed ones where they were inserted there, else behind them.
    type: bool
    default: true
  default_incoming:
    description: What happens to incoming connections that no rule matches.
    type: str
    choices: [allow, deny, reject]
    default: deny
  default_outgoing:
    description: What happens to outgoing connections that no rule matches.
    type: str
    choices: [allow, deny, reject]
    default: allow
  default_routed:
    description: What happens to forwarded connections that no rule matches.
    type: str
    choices: [allow, deny, reject]
    default: deny
  logging:
    description: How much of what is blocked ufw logs.
    type: str
    choices: ["off", low, medium, high, full]
    default: low
  ipv6:
    description: Whether ufw filters IPv6. If V(false), ufw drops all of IPv6, SSH included.
    type: bool
    default: true
  ssh_ports:
    description: Ports the guard opens in addition to those that sshd listens on.
    type: list
    elements: int
    default: []
  ssh_admin_cidrs:
    description:
      - Networks the guard accepts SSH from. An empty list means anywhere.
      - The address that the controller is connected from must be in one of them.
    type: list
    elements: str
    default: []
  rollback_seconds:
    description:
      - Have the host take a change back by itself after this time, or at its next start, unless
        M(phoenix.webstack.ssh_confirm) has confirmed it over a new connection. V(0) does without.
      - Where nothing differs, nothing is armed. See M(phoenix.webstack.ssh_arm) for how it works.
    type: int
    default: 0
    version_added: "0.2.0"
  rollback_within:
    description: The RV(switch) of an earlier change of this run that this one becomes a part of.
    type: str
    default: ""
    version_added: "0.2.0"
seealso:
  - module: phoenix.webstack.ufw_info
  - module: phoenix.webstack.ssh_confirm
"""

EXAMPLES = r"""
- name: Open the web server's ports, and SSH from the office only
  phoenix.webstack.ufw:
    rules:
      - {rule: allow, port: "80,443"}
      - {rule: allow, port: "3306", from: 192.0.2.0/24, comment: replication}
      - {rule: deny, direction: out, port: "25"}
    ssh_admin_cidrs: [198.51.100.0/24, "2001:db8:10::/48"]

- name: See what would change
  phoenix.webstack.ufw:
    rules:
      - {rule: allow, port: "80"}
  check_mode: true
  diff: true
"""

RETURN = r"""
installed:
  description: Whether ufw is installed. It can be missing in check mode only.
  returned: always
  type: bool
differs:
  description:
    - Whether the firewall was not as asked for before the module ran, or is not known to stay so, because an earlier
      change on the host is still to be confirmed (M(phoenix.webstack.ssh_confirm)).
  returned: success
  type: bool
rules:
  description: The rules in force after the module ran (in check mode, those that would be), as O(rules) takes them.
  returned: success
  type: list
  elements: dict
  sample: [{rule: allow, port: "80,443"}]
guard:
  description: The guard that holds SSH open.
  returned: success
  type: dict
  contains:
    state:
      description: V(enforced) when the kernel was seen to have it, V(planned) when the module only predicted it.
      type: str
      returned: success
    ports:
      description: The ports it opens.
      type: list
      elements: int
      returned: success
    admin_cidrs:
      description: The networks it accepts SSH from, empty for anywhere.
      type: list
      elements: str
      returned: success
    rules:
      description: Its rules as C(iptables -S) and C(ip6tables -S) show them.
      type: list
      elements: str
      returned: success
switch:
  description: What M(phoenix.webstack.ssh_confirm) confirms, C(id) and C(seconds).
  returned: when a change has to be confirmed
  type: dict
  sample: {id: 20260102T030405-a1b2c3, seconds: 60}
healed:
  description: What the kernel lacked of what ufw's files promise, in words.
  returned: success
  type: list
  elements: str
controller:
  description:
    - The SSH session that the module ran in, as the host sees it.
    - Null when there is none that could be found, as with a local connection. Then nothing is checked against the
      controller's address.
  returned: success
  type: dict
  sample: {address: 198.51.100.7, server_address: 192.0.2.10, server_port: 22, source: environment}
ssh_listeners:
  description: Where sshd listens, or will after its next restart.
  returned: success
  type: list
  elements: dict
  sample: [{address: "0.0.0.0", port: 22, source: running}]
problems:
  description: Why the firewall that was asked for is refused.
  returned: when it is refused
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import arming, paths
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.apply import apply_plan
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.plan import make_plan
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.request import check_request, look_around
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.state import Files, read_state, starts_at_boot
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import read_rules


def argument_spec() -> dict[str, t.Any]:
    """Return the module's options."""
    policy = {"type": "str", "choices": ["allow", "deny", "reject"]}
    return {
        "rules": {"type": "list", "elements": "dict", "default": []},
        "service_rules": {"type": "list", "elements": "dict", "default": []},
        "purge": {"type": "bool", "default": True},
        "default_incoming": {**policy, "default": "deny"},
        "default_outgoing": {**policy, "default": "allow"},
        "default_routed": {**policy, "default": "deny"},
        "logging": {"type": "str", "choices": ["off", "low", "medium", "high", "full"], "default": "low"},
        "ipv6": {"type": "bool", "default": True},
        "ssh_ports": {"type": "list", "elements": "int", "default": []},
        "ssh_admin_cidrs": {"type": "list", "elements": "str", "default": []},
        "rollback_seconds": {"type": "int", "default": 0},
        "rollback_within": {"type": "str", "default": ""},
    }


def arm(module: AnsibleModule, runner: ModuleCommandRunner) -> dict[str, t.Any]:
    """Have the host take back what follows, and return what confirms it."""
    answer = arming.arm(
        runner=runner,
        seconds=module.params["rollback_seconds"],
        label="the firewall of the role ufw",
        within=module.params["rollback_within"],
    )
    for warning in arming.warnings(answer):
        module.warn(warning)
    return {"switch": {"id": answer["id"], "seconds": answer["seconds"]}}


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Plan, refuse or apply, and return the module's result."""
    runner, files = ModuleCommandRunner(module=module), Files()
    surroundings = look_around(runner=runner)
    wanted = check_request(params=module.params, surroundings=surroundings)
    state = read_state(runner=runner, files=files)
    plan = make_plan(state=state, wanted=wanted)
    boot = "" if not state.installed or starts_at_boot(runner=runner) else "starts with the system: {}\n"
    changed = plan.changed or bool(boot)
    # A change that a dead run has left to be confirmed is confirmed together with this one, even with none.
    differs = changed or paths.ARMED.exists()
    switch: dict[str, t.Any] = {}
    if differs and not module.check_mode:
        if not state.installed:
            raise WebstackError(
                "ufw is not installed on this host. Nothing was changed. Install it first: apt-get install ufw",
                installed=False,
            )
        switch = arm(module, runner) if module.params["rollback_seconds"] else {}
        if plan.changed:
            apply_plan(runner=runner, files=files, plan=plan, wanted=wanted)
        if boot:
            runner.run(["systemctl", "enable", "--quiet", "ufw"])
    if not surroundings.listeners:
        module.warn("No sshd was found listening or configured on this host; the guard opens port 22 in any case.")
    rules, _others = read_rules(stored={family: file.stored for family, file in plan.user_files.items()})
    return {
        "changed": changed,
        "differs": differs,
        **switch,
        "diff": {"before": plan.before_text + boot.format("no"), "after": plan.after_text + boot.format("yes")},
        "installed": state.installed,
        "rules": [rule.as_dict() for rule in rules],
        "guard": {
            "state": "planned" if plan.changed and module.check_mode else "enforced",
            "ports": list(wanted.ports),
            "admin_cidrs": list(wanted.networks),
            "rules": [line for family in wanted.families for line in wanted.guard(family)],
        },
        "healed": list(plan.heal),
        **surroundings.as_dict(),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run(module)
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
