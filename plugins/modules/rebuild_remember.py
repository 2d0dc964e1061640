#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_remember
short_description: Know a rebuilt server by its name
version_added: "0.1.0"
description:
  - Replaces every key that a known_hosts file has for a name by the proven ones of the rebuilt server.
  - Runs on the controller alone.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
attributes:
  check_mode:
    description: A rebuild in check mode ends before there is a key to remember.
    support: none
  diff_mode:
    description: The keys are in the report.
    support: none
  idempotent:
    description: A file that has these keys, and no others, for the name is left alone.
    support: full
options:
  host:
    description: The name under which ssh looks the keys up.
    type: str
    required: true
  keys:
    description: Lines of a known_hosts file.
    type: list
    elements: str
    required: true
  known_hosts:
    description: The file.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Know the replacement by its name
  phoenix.webstack.rebuild_remember:
    host: web-01
    keys: ["web-01 ssh-ed25519 AAAA…"]
    known_hosts: ~/.ssh/known_hosts
"""

RETURN = r"""#"""
