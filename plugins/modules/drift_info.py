#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell how a host differs from what roles want of it, all of it in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drift_info
short_description: Tell how a host differs from what roles want of it
version_added: "0.2.0"
description:
  - Compares everything that roles want of a host (files, packages, services, firewall, accounts, the balancer) with
    what is there, in one call and without changing anything.
  - What was last applied is noted on the host by M(phoenix.webstack.drift_record). By it, what the host has changed is
    told from what waits to be applied, and what has come to the host since is told from what was there before.
  - The roles of this collection publish what they want by their tasks file C(wanted.yml).
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment:
  - phoenix.webstack.attributes.reads_only
  - phoenix.webstack.wanted
options:
  compare:
    description:
      - Databases of which RV(data) is returned, so that those of clones can be compared. Every row is read, as
        M(phoenix.webstack.mysql_checksum_info) does.
    type: list
    elements: str
    default: []
  accepted:
    description: Patterns of the RV(findings[].id) of findings that are not to be told, such as V(account:monitor@*).
    type: list
    elements: str
    default: []
  wait:
    description: How many seconds O(wanted[].answers) may take until they are right, as after a correction.
    type: int
    default: 0
seealso:
  - module: phoenix.webstack.drift_record
"""

EXAMPLES = r"""
- name: Look for drift in what nginx needs
  phoenix.webstack.drift_info:
    wanted:
      - role: nginx
        packages: [nginx]
        units: [{name: nginx.service}]
        files:
          - path: /etc/nginx/nginx.conf
            content: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
        folders: [{path: /etc/nginx/conf.d, pattern: "*.conf"}]
  register: observed
"""

RETURN = r"""
findings:
  description: What is not as it has to be.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Names the finding, the same in every run.
      type: str
      sample: file:/etc/nginx/nginx.conf
    role:
      description: The role that wants it otherwise.
      type: str
    class:
      description:
        - V(drift), the host has changed since the last apply; V(pending), what is wanted has changed since then, or was
          never applied; V(extra), no role wants what is there; V(probe), something does not behave as it has to.
      type: str
    what:
      description: A sentence for people.
      type: str
    diff:
      description: From what is there to what is wanted, where that can be shown; never of a secret.
      type: str
    path:
      description: The file in question.
      type: str
    host:
      description: The host in question, where it is not the one that was asked.
      type: str
    held:
      description: Whether the host is held, see RV(hold).
      type: bool
    changed_at:
      description: When the file was changed.
      type: str
      returned: when the host can tell
    changed_by:
      description: Who ran what by C(sudo) just before.
      type: str
      returned: when the host can tell
looked_at:
  description: How many things were looked at.
  returned: success
  type: int
about:
  description: The hosts that were looked at from this one, as O(wanted[].answers) and O(wanted[].ssh_ports) name them.
  returned: success
  type: list
  elements: str
data:
  description: >-
    Digests of everything in each database of O(compare) that exists: of its C(content), and of its C(form), as the
    servers of one C(series) print it.
  returned: success
  type: dict
applied:
  description: Whether anything was ever applied to the host.
  returned: success
  type: bool
hold:
  description:
    - Why the host is to be left alone, by whom and until when, as C(/etc/webstack/hold.json) says. Null if it is not.
  returned: success
  type: dict
  sample: {reason: debugging, by: ana, until: "2026-01-02T03:00:00+00:00"}
"""

import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._drift import database, hold, outside, record, spec, who
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.judge import findings_of, unique
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.observe import observe


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=spec.ARGUMENTS, supports_check_mode=True)
    runner = ModuleCommandRunner(module=module)
    applied = record.load()
    items = list(observe(module.params["wanted"], runner=runner, record=applied, wait=module.params["wait"]))
    findings = unique(
        finding
        for role, item in items
        for finding in findings_of(item, role=role, record=applied, accepted=module.params["accepted"])
    )
    who.attribute(findings, runner=runner)
    held = hold.read_hold(now=datetime.datetime.now(datetime.timezone.utc))
    hold.held(findings, held)
    module.exit_json(
        changed=False,
        findings=findings,
        about=outside.about(module.params["wanted"]),
        data=database.data_digests(module.params["compare"]),
        looked_at=len(items),
        applied=applied.exists,
        hold=held,
    )


if __name__ == "__main__":
    main()
