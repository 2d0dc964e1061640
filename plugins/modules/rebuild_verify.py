#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_verify
short_description: Require the rebuilt server in service on every balancer
version_added: "0.1.0"
description:
  - Fails unless every balancer, in its file and at run time, points at the new address and finds it healthy.
  - Runs on the controller alone, on what M(phoenix.webstack.haproxy_backend_info) returned.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.on_controller
options:
  host:
    description: Inventory name of the rebuilt server.
    type: str
    required: true
  address:
    description: Its new address.
    type: str
    required: true
  balancers:
    description: The results of M(phoenix.webstack.haproxy_backend_info), by name.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Require web-01 in service
  phoenix.webstack.rebuild_verify:
    host: web-01
    address: 192.0.2.21
    balancers: "{{ __rebuild_balancers }}"
"""

RETURN = r"""
problems:
  description: One sentence for each balancer that is not as it must be.
  returned: always
  type: list
  elements: str
"""
