#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_plan
short_description: Plan a drill, or list everything that stands in its way
version_added: "0.2.0"
description:
  - Makes a plan of what the hosts have shown and shows it, or fails with every problem at once.
  - Runs on the controller alone. Used by the role P(phoenix.webstack.drill#role).
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.on_controller
options:
  asked:
    description: The request, as M(phoenix.webstack.drill_request) returns it.
    type: dict
    required: true
  scratch:
    description: The registered result of M(phoenix.webstack.drill_host) on the scratch host.
    type: dict
    required: true
  sources:
    description: The registered results of M(phoenix.webstack.mysql_dump_info) by web server.
    type: dict
    required: true
  balancers:
    description: The registered results of M(phoenix.webstack.haproxy_backend_info) by balancer.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Plan the drill
  phoenix.webstack.drill_plan:
    asked: "{{ request.asked }}"
    scratch: "{{ hostvars['spare'].scratch }}"
    sources: {web-01: "{{ hostvars['web-01'].dumps }}"}
    balancers: {}
"""

RETURN = r"""
dump:
  description: The dump that is to be proven, with its C(source), C(id), C(path), C(snapshot_at) and C(manifest).
  returned: success
  type: dict
problems:
  description: What stands in the way.
  returned: always
  type: list
  elements: str
"""
