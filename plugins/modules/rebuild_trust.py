#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_trust
short_description: Prove the host key of a replacement server
version_added: "0.1.0"
description:
  - Decides whether an address may be contacted at all (the lost host never is), then proves its host key.
  - The strongest proof at hand counts. A given key or fingerprint comes first, then a
    certificate authority, then what an earlier run of the same rebuild had proven, then trust on first use where that
    was asked for.
  - Writes a known_hosts file for this run; the user's own is not touched. Runs on the controller alone.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.on_controller
options:
  asked:
    description: The request, as M(phoenix.webstack.rebuild_request) returned it.
    type: dict
    required: true
  earlier:
    description: The journal of the host's last rebuild.
    type: dict
    default: {}
  balancers:
    description: What the balancers showed, by name.
    type: dict
    required: true
  port:
    description: The replacement's SSH port.
    type: int
    default: 22
  known_hosts:
    description: The known_hosts file to write.
    type: path
    required: true
  host_key:
    description: Public host keys of the replacement, one a line.
    type: str
    default: ""
  fingerprint:
    description: Fingerprints of its host keys (C(SHA256:…)), separated by spaces.
    type: str
    default: ""
  authority:
    description: Public keys of the SSH CA that signs host keys, one a line.
    type: str
    default: ""
  trust_on_first_use:
    description: Believe whatever answers. The database is sent there.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Prove that the machine is ours
  phoenix.webstack.rebuild_trust:
    asked: "{{ __rebuild_request.asked }}"
    balancers: "{{ __rebuild_balancers }}"
    known_hosts: .webstack/rebuild/web-01/known_hosts
    fingerprint: SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU
"""

RETURN = r"""
error:
  description: Why the address may not be contacted.
  returned: when there is no proof
  type: str
ssh_options:
  description: Options that hold ssh to the proven key.
  returned: when the key is proven
  type: list
  elements: str
host_key:
  description: The proof, as C(kind), C(fingerprint) and C(known_hosts) lines.
  returned: when the key is proven
  type: dict
"""
