#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: check_variables
short_description: Refuse misspelt variables of this collection
version_added: "0.1.0"
description:
  - Role argument specs check the values of the variables they know, but a misspelt name is simply never read.
  - Compares the names of all variables of the given hosts with those that the roles and playbooks of
    the collection document, and fails with every unknown one and the name it most likely stands for.
  - Runs on the controller alone and contacts no host.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.reads_only
options:
  hosts:
    description: Inventory names of the hosts whose variables are compared.
    type: list
    elements: str
    required: true
  foreign:
    description: Names that look like ours but belong to the user.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse misspelt variables before anything is touched
  phoenix.webstack.check_variables:
    hosts: "{{ ansible_play_hosts_all }}"
"""

RETURN = r"""
problems:
  description: One sentence for each unknown name, with the name it most likely stands for.
  returned: always
  type: list
  elements: str
"""
