#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_dump_fetch
short_description: Bring a dump from a host to the controller
version_added: "0.2.0"
description:
  - Copies all files of a dump, a piece at a time, so that its size does not matter, and compares each with the checksum
    in its manifest. The manifest comes last, so that a folder that has one holds the whole dump.
  - Files that are here already, and are what the manifest says, stay. So a run that was cut off goes on.
  - Only the user of the controller may read the files.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
options:
  path:
    description: Folder of the dump on the host.
    type: str
    required: true
  manifest:
    description:
      - The dump's manifest, as M(phoenix.webstack.mysql_dump) and M(phoenix.webstack.mysql_dump_info) return it.
    type: dict
    required: true
  dest:
    description: Folder for the dump on the controller; it is made where it is missing.
    type: path
    required: true
  keep:
    description:
      - How many whole dumps of the same host and databases stay in the folder around O(dest); V(0) is all of them.
      - Older ones are removed once this one is here, unless O(keep_days) keeps them. The newest one always stays.
    type: int
    default: 0
  keep_days:
    description: For how many days a dump stays there in any case; V(0) leaves it to O(keep) alone.
    type: int
    default: 0
  hand_to:
    description:
      - Host of the inventory that gets the dump at the same time, from what is read once. Needs O(hand_to_path).
      - It is reached as that host's own tasks would reach it. The two hosts need not know each other.
    type: str
  hand_to_path:
    description:
      - Folder of the dump on the host O(hand_to). It is filled under this name with C(.partial) at its end, and gets
        the name once it is whole. Files that are there by their checksum stay.
    type: str
attributes:
  check_mode:
    description: Tells whether anything is missing here, and fetches nothing.
    support: full
  diff_mode:
    description: Data of users are not shown.
    support: none
  idempotent:
    description: A dump that is here whole is left alone.
    support: full
"""

EXAMPLES = r"""
- name: Take a dump
  phoenix.webstack.mysql_dump:
    directory: /var/backups/webstack/mysql
    databases: [shop]
  become: true
  register: dump

- name: Have it on the controller as well
  phoenix.webstack.mysql_dump_fetch:
    path: "{{ dump.path }}"
    manifest: "{{ dump.manifest }}"
    dest: "dumps/{{ dump.id }}"
  become: true

- name: Have it on the controller, and on the server that will take its place
  phoenix.webstack.mysql_dump_fetch:
    path: "{{ dump.path }}"
    manifest: "{{ dump.manifest }}"
    dest: "dumps/{{ dump.id }}"
    hand_to: web-01
    hand_to_path: "/var/lib/webstack/incoming/{{ dump.id }}"
  become: true
"""

RETURN = r"""
path:
  description: Folder of the dump on the controller.
  returned: success
  type: str
bytes:
  description: How many bytes of data were missing here.
  returned: success
  type: int
removed_sets:
  description: Names of the dumps on the controller whose time was over.
  returned: success
  type: list
  elements: str
"""
