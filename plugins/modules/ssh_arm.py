#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_arm
short_description: Have a host take back what follows, unless it is confirmed in time
version_added: "0.2.0"
description:
  - Takes a snapshot of what decides whether SSH answers (the kernel's packet filter, the files of ufw, nftables and
    sshd, the state of their units), and has the host go back to it by itself after O(seconds), or at its next start,
    unless M(phoenix.webstack.ssh_confirm) has confirmed the change over a new connection.
  - The host needs neither the connection nor the controller for that.
  - A switch that is armed already belongs to a run that died. The new one takes over from it, and goes back to the
    state of before that run, which is the last that was confirmed.
  - Warns once of a change that was rolled back since the last time.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - The program C(ssh-lifeline) on the host, see M(phoenix.webstack.ssh_lifeline_program).
attributes:
  check_mode:
    description: Arms nothing, since nothing will be changed.
    support: full
  diff_mode:
    description: Changes nothing that could be shown.
    support: none
  idempotent:
    description: Arms anew every time, and reports no change, since none is left after the confirmation.
    support: none
options:
  seconds:
    description: Time for the change and its confirmation, between 5 and 3600.
    type: int
    default: 60
  label:
    description: What is about to be changed, in words for the journal and for whoever is told of a rollback.
    type: str
    default: a change
  within:
    description:
      - The RV(id) of a switch that this run has armed earlier. If that is still armed, the change becomes a part of it,
        the time begins anew, and it takes one more confirmation.
      - If that was rolled back meanwhile, the module fails, since what the run did so far is gone.
    type: str
    default: ""
seealso:
  - module: phoenix.webstack.ssh_confirm
  - module: phoenix.webstack.ssh_lifeline_program
"""

EXAMPLES = r"""
- name: Have the host take back what follows
  phoenix.webstack.ssh_arm:
    seconds: 60
    label: new settings of sshd
  register: switch

- name: Change something that can close SSH
  ansible.builtin.copy:
    content: "PasswordAuthentication no\n"
    dest: /etc/ssh/sshd_config.d/00-passwords.conf
    mode: "0644"

- name: Have it in force
  ansible.builtin.service:
    name: ssh
    state: reloaded

- name: Keep it, if a new connection gets through
  phoenix.webstack.ssh_confirm:
    id: "{{ switch.id }}"
    seconds: "{{ switch.seconds }}"
"""

RETURN = r"""
id:
  description: The name of the switch.
  returned: unless in check mode
  type: str
  sample: 20260102T030405-a1b2c3
seconds:
  description: O(seconds).
  returned: unless in check mode
  type: int
taken_over:
  description: The switch of an earlier run that was never confirmed; null where there was none.
  returned: unless in check mode
  type: dict
rolled_back:
  description: What the host tells of the rollback of O(within).
  returned: when it was rolled back
  type: dict
last_rollback:
  description: The last change that was rolled back, if nobody was told yet; else null.
  returned: unless in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import arming


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "seconds": {"type": "int", "default": 60},
            "label": {"type": "str", "default": "a change"},
            "within": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False)
    try:
        answer = arming.arm(runner=ModuleCommandRunner(module=module), **module.params)
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    for warning in arming.warnings(answer):
        module.warn(warning)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
