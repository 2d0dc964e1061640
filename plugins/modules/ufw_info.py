#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Return the ufw firewall in the shape of the ufw role's variables."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw_info
short_description: Return the ufw firewall as the ufw role's variables
version_added: "0.1.0"
description:
  - Reads the firewall of a host from ufw's files and the kernel, in the shape that M(phoenix.webstack.ufw) takes, so
    that a host set up by hand can be brought under the role by copying what is returned.
  - Tells what the kernel lacks of what ufw's files promise, which C(ufw status) does not.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
  idempotent:
    description: Changes nothing.
    support: full
  platform:
    description: The operating systems the module is for.
    support: full
    platforms: debian
seealso:
  - module: phoenix.webstack.ufw
"""

EXAMPLES = r"""
- name: Read the firewall
  phoenix.webstack.ufw_info:
  register: firewall

- name: Show its rules as they go into ufw_rules
  ansible.builtin.debug:
    var: firewall.rules
"""

RETURN = r"""
installed:
  description: Whether ufw is installed. If not, the values below are null or empty.
  returned: always
  type: bool
enabled:
  description: Whether ufw is switched on.
  returned: always
  type: bool
default_incoming:
  description: What happens to incoming connections that no rule matches.
  returned: always
  type: str
  sample: deny
default_outgoing:
  description: What happens to outgoing connections that no rule matches.
  returned: always
  type: str
  sample: allow
default_routed:
  description: What happens to forwarded connections that no rule matches.
  returned: always
  type: str
  sample: deny
logging:
  description: How much of what is blocked ufw logs.
  returned: always
  type: str
  sample: low
ipv6:
  description: Whether ufw filters IPv6.
  returned: always
  type: bool
rules:
  description: The rules, as the option O(phoenix.webstack.ufw#module:rules) takes them.
  returned: always
  type: list
  elements: dict
  sample: [{rule: allow, port: "80,443"}]
other_rules:
  description:
    - Rules that cannot be written so (application profiles, routed rules, rules with logging), as ufw stores them.
  returned: always
  type: list
  elements: str
guard_rules:
  description: The SSH guard's rules in before.rules and before6.rules.
  returned: always
  type: list
  elements: str
kernel_lacks:
  description: What the kernel lacks of what ufw's files promise, in words.
  returned: always
  type: list
  elements: str
controller:
  description: The SSH session that the module ran in, null when none was found.
  returned: always
  type: dict
  sample: {address: 198.51.100.7, server_address: 192.0.2.10, server_port: 22, source: environment}
ssh_listeners:
  description: Where sshd listens, or will after its next restart.
  returned: always
  type: list
  elements: dict
  sample: [{address: "0.0.0.0", port: 22, source: running}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.plan import find_heal, guard_in_files
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.request import describe_state, look_around
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.state import Files, read_state


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    runner = ModuleCommandRunner(module=module)
    try:
        surroundings = look_around(runner=runner)
        state = read_state(runner=runner, files=Files())
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    module.exit_json(
        changed=False,
        **describe_state(state),
        guard_rules=guard_in_files(state),
        kernel_lacks=find_heal(state=state),
        **surroundings.as_dict(),
    )


if __name__ == "__main__":
    main()
