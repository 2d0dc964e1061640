#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_request
short_description: Check what a rebuild was asked to do
version_added: "0.1.0"
description:
  - Completes the request from the inventory and fails with everything that is wrong with it, before any host is
    contacted.
  - Runs on the controller alone. Used by the role P(phoenix.webstack.rebuild#role).
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.on_controller
options:
  host:
    description: Inventory name of the lost web server.
    type: str
    default: ""
  address:
    description: Address at which SSH reaches the replacement; C(ansible_host) of the inventory where empty.
    type: str
    default: ""
  service_address:
    description: Address at which the balancer reaches the replacement, where it differs from O(address).
    type: str
    default: ""
  source:
    description: The surviving server whose data is copied; the first healthy one where empty.
    type: str
    default: ""
  in_place:
    description: The replacement has the address of the lost server.
    type: bool
    default: false
  web_hosts:
    description: The web servers of the inventory.
    type: list
    elements: str
    required: true
  balancers:
    description: The balancers of the inventory.
    type: list
    elements: str
    required: true
  databases:
    description: The databases to be moved.
    type: list
    elements: str
    default: []
  journal:
    description: The journal of this host's rebuilds.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Refuse a request that cannot be met
  phoenix.webstack.rebuild_request:
    host: web-01
    address: 192.0.2.21
    web_hosts: "{{ groups['webservers'] }}"
    balancers: "{{ groups['balancers'] }}"
    databases: [shop]
    journal: .webstack/rebuild/web-01/journal.json
"""

RETURN = r"""
asked:
  description: The completed request.
  returned: always
  type: dict
earlier:
  description: The journal of the host's last rebuild; empty where there was none.
  returned: always
  type: dict
members:
  description: The hosts to look at, each with the runtime group it joins.
  returned: always
  type: list
  elements: dict
inventory_address:
  description: The host's address in the inventory, as it is before the run.
  returned: always
  type: str
started_at:
  description: When the run began (UTC, ISO 8601).
  returned: always
  type: str
problems:
  description: What is wrong with the request.
  returned: always
  type: list
  elements: str
"""
