#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_plan
short_description: Plan the rebuild of a web server, or list every problem
version_added: "0.1.0"
description:
  - Turns what the hosts showed into a plan, or fails with everything that stands in its way, at once.
  - Runs on the controller alone and changes nothing.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.on_controller
options:
  asked:
    description: The request, as M(phoenix.webstack.rebuild_request) returned it.
    type: dict
    required: true
  trust:
    description: The result of M(phoenix.webstack.rebuild_trust).
    type: dict
    required: true
  target:
    description: The result of M(phoenix.webstack.rebuild_probe) on the replacement.
    type: dict
    required: true
  sources:
    description: The results of M(phoenix.webstack.rebuild_probe) on the surviving servers, by name.
    type: dict
    required: true
  balancers:
    description: The results of M(phoenix.webstack.haproxy_backend_info) on the balancers, by name.
    type: dict
    required: true
  engine:
    description: The database engine the replacement will run.
    type: str
    required: true
  http_port:
    description: The port at which the replacement will serve.
    type: int
    required: true
  method:
    description:
      - How the data is brought. V(physical) copies the files of the survivor's server, V(logical) dumps text.
      - V(auto) copies wherever nothing speaks against it; the plan says what it chose and why.
    type: str
    default: auto
    choices: [auto, logical, physical]
"""

EXAMPLES = r"""
- name: Plan the rebuild
  phoenix.webstack.rebuild_plan:
    asked: "{{ __rebuild_request.asked }}"
    trust: "{{ __rebuild_trust }}"
    target: "{{ __rebuild_probe }}"
    sources: "{{ __rebuild_sources }}"
    balancers: "{{ __rebuild_balancers }}"
    engine: mariadb
    http_port: 80
"""

RETURN = r"""
plan:
  description: What will be done.
  returned: success
  type: dict
members:
  description: The hosts to work on, each with the runtime group it joins.
  returned: success
  type: list
  elements: dict
description:
  description: The plan as lines for a terminal.
  returned: success
  type: list
  elements: str
problems:
  description: What stands in the way.
  returned: always
  type: list
  elements: str
"""
