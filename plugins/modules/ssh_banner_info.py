#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_banner_info
short_description: See whether new connections to SSH ports are answered
version_added: "0.1.0"
description:
  - Opens one new TCP connection to each of the given ports, reads the SSH server's banner and leaves.
  - It shows what Ansible's own connections cannot. A connection that was opened before outlives a port that
    has been closed since.
  - Each port is tried once. A server since OpenSSH 9.8 turns clients away that connect often without logging in.
  - What stands in the way is a result, not a failure of the task.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.reads_only
options:
  hosts:
    description: The SSH ports to look at.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What to call it in the result.
        type: str
        required: true
      address:
        description: Its address or host name.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 22
      admitted:
        description:
          - The networks from which SSH is meant to be open; none means from everywhere.
          - A port that is not meant to be open to the machine the module runs on is not tried.
        type: list
        elements: str
        default: []
  timeout:
    description: How many seconds each of them may take.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: See from here whether SSH is open
  phoenix.webstack.ssh_banner_info:
    hosts:
      - name: web-01
        address: 192.0.2.11
      - name: web-02
        address: 192.0.2.12
        port: 2222
  delegate_to: localhost
  register: __ssh
"""

RETURN = r"""
hosts:
  description: What was found, in the order of the option O(hosts).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name that was given.
      type: str
    address:
      description: The address that was tried.
      type: str
    port:
      description: The port that was tried.
      type: int
    status:
      description: What answered.
      type: str
      sample: open
    meaning:
      description: The status in a sentence.
      type: str
      sample: An SSH server answered.
    detail:
      description: The words of the system, or of the service that answered.
      type: str
    banner:
      description: The banner of the SSH server.
      type: str
      sample: SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3
hindered:
  description: The names of those that were tried and where no SSH server answered.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh import banner


def main() -> None:
    """Wire the options to the probes."""
    module = AnsibleModule(
        argument_spec={
            "hosts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "address": {"type": "str", "required": True},
                    "port": {"type": "int", "default": 22},
                    "admitted": {"type": "list", "elements": "str", "default": []},
                },
            },
            "timeout": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    targets = [
        banner.Target(host["name"], host["address"], host["port"], tuple(host["admitted"]))
        for host in module.params["hosts"]
    ]
    try:
        findings = banner.probe_all(targets, timeout=module.params["timeout"])
    except ValueError as error:
        module.fail_json(msg=f"`admitted` holds something that is no network: {error}. Write it as 192.0.2.0/24.")
    hosts = [
        {
            "name": target.name,
            "address": target.address,
            "port": target.port,
            "status": finding.status,
            "meaning": banner.STATUSES[finding.status],
            "detail": finding.detail,
            "banner": finding.banner,
        }
        for target, finding in zip(targets, findings)
    ]
    fine = (banner.OPEN, "not_admitted")
    module.exit_json(
        changed=False, hosts=hosts, hindered=[host["name"] for host in hosts if host["status"] not in fine]
    )


if __name__ == "__main__":
    main()
