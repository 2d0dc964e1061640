#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_adopt
short_description: Give a scratch host the variables of a web server
version_added: "0.2.0"
description:
  - Adds the scratch host to a runtime group, with the variables of this collection that the web server has and that
    are not set for the scratch host itself. So it becomes what that web server is, without a second list of variables.
  - A web server's own addresses (C(webstack_address), C(webstack_ssh_port), C(webstack_weight)) are left out.
  - Runs on the controller alone. Used by the role P(phoenix.webstack.drill#role).
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.on_controller
options:
  host:
    description: The scratch host.
    type: str
    required: true
  like:
    description: The web server.
    type: str
    required: true
  group:
    description: The runtime group.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Make the scratch host one that is provisioned like web-02
  phoenix.webstack.drill_adopt:
    host: spare
    like: web-02
    group: drill_now
  no_log: true # passwords of database accounts may be among them
"""

RETURN = r"""
adopted:
  description: The names of the variables.
  returned: always
  type: list
  elements: str
"""
