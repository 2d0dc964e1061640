#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_request
short_description: Check what a drill was asked to do
version_added: "0.2.0"
description:
  - Completes the request from the inventory and fails with everything that is wrong with it, before any host is
    contacted.
  - Runs on the controller alone. Used by the role P(phoenix.webstack.drill#role).
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.on_controller
options:
  host:
    description: Inventory name of the scratch host.
    type: str
    default: ""
  source:
    description: The web server whose last dump is proven; where empty, the one with the newest.
    type: str
    default: ""
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
"""

EXAMPLES = r"""
- name: Refuse a request that cannot be met
  phoenix.webstack.drill_request:
    host: spare
    web_hosts: "{{ groups['webservers'] }}"
    balancers: "{{ groups['balancers'] }}"
"""

RETURN = r"""
asked:
  description: The completed request.
  returned: always
  type: dict
sources:
  description: The web servers whose dumps count.
  returned: always
  type: list
  elements: str
started_at:
  description: When the drill began (UTC, ISO 8601).
  returned: always
  type: str
members:
  description: The hosts to look at, each with the runtime group it joins.
  returned: always
  type: list
  elements: dict
problems:
  description: What is wrong with the request.
  returned: always
  type: list
  elements: str
"""
