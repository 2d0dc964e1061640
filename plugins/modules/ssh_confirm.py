#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_confirm
short_description: Keep a change, if a new SSH connection gets through
version_added: "0.2.0"
description:
  - Ends the connections that are open, opens a new one that shares nothing with them, and confirms over it what
    M(phoenix.webstack.ssh_arm) has armed. A connection of before a change outlives it, so that it proves nothing.
  - Tries until the time is over. Fails if no connection gets through; the host then takes back the change by itself.
  - Where Ansible does not connect by SSH, it confirms over the connection that there is.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
attributes:
  check_mode:
    description: Does nothing, since nothing was armed.
    support: full
  diff_mode:
    description: Changes nothing that could be shown.
    support: none
  idempotent:
    description: To confirm once more changes nothing. Reports no change.
    support: full
  action:
    description: Runs on the controller, as a new connection from there is what counts.
    support: full
options:
  id:
    description: The name of the switch, as M(phoenix.webstack.ssh_arm) returned it.
    type: str
    required: true
  seconds:
    description: The time that it was armed for.
    type: int
    default: 60
seealso:
  - module: phoenix.webstack.ssh_arm
"""

EXAMPLES = r"""
- name: Keep the change, if a new connection gets through
  phoenix.webstack.ssh_confirm:
    id: "{{ switch.id }}"
    seconds: "{{ switch.seconds }}"
"""

RETURN = r"""
attempts:
  description: How many connections it took.
  returned: always
  type: int
still_armed:
  description: Whether the change is part of another one that is still to be confirmed.
  returned: success
  type: bool
rolled_back:
  description: What the host tells of the rollback.
  returned: when it was rolled back
  type: dict
"""
