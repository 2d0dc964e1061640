#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begin a run of the playbook `drift` (documentation; the action plugin does it)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drift_begin
short_description: Begin a run of the playbook drift
version_added: "0.2.0"
description:
  - Works out on the controller what a run may correct, and has the callback plugin P(phoenix.webstack.drift#callback)
    take the lock and write the report. Made for the playbook C(phoenix.webstack.drift).
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment:
  - phoenix.webstack.attributes.on_controller
options:
  mode:
    description: V(check) changes nothing, V(correct) runs the roles in O(correct), V(ssh_only) those that open SSH.
    type: str
    choices: [check, correct, ssh_only]
    default: check
  hosts:
    description: The hosts that are looked at.
    type: list
    elements: str
    required: true
  correct:
    description: The roles that may be run to correct what has drifted.
    type: list
    elements: str
    default: []
  windows:
    description: When something may be corrected. Without any, always.
    type: list
    elements: dict
    default: []
  directory:
    description: Where reports, history and lock are kept.
    type: path
    required: true
  keep:
    description: How many reports are kept.
    type: int
    default: 30
  metrics:
    description: A file for the textfile collector of node_exporter.
    type: path
  junit:
    description: A file in JUnit's format.
    type: path
"""

EXAMPLES = r"""
- name: Begin
  phoenix.webstack.drift_begin:
    hosts: [web-01]
    directory: .webstack/drift
"""

RETURN = r"""
drift:
  description: What the run may do.
  returned: success
  type: dict
"""
