#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_host
short_description: Claim a scratch host for a drill, and make it bare again
version_added: "0.2.0"
description:
  - Tells whether a host may be overwritten by a drill, claims it, and in the end removes what the drill has left there.
  - The claim is a file that notes the packages the host had. Without it nothing is ever removed.
  - Used by the role P(phoenix.webstack.drill#role).
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
options:
  state:
    description:
      - V(looked_at) changes nothing. V(claimed) writes the claim.
      - V(bare) stops the units, purges the packages that came since the claim, removes users and paths, looks whether
        anything of it is left, and removes the claim last.
    type: str
    choices: [looked_at, claimed, bare]
    default: looked_at
  claim:
    description: The file of the claim.
    type: path
    default: /var/lib/webstack/drill.json
  units:
    description: Units of systemd that a drill starts.
    type: list
    elements: str
    default: []
  users:
    description: System users that a drill makes.
    type: list
    elements: str
    default: []
  paths:
    description: Files and folders that a drill makes; folders of the system itself are refused.
    type: list
    elements: path
    default: []
  keep_packages:
    description: Packages that stay, with all they depend on.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Tells what would be done, and changes nothing.
    support: full
  diff_mode:
    description: What is removed is returned, not shown as a difference.
    support: none
  idempotent:
    description: A claim that is there stays. V(state=bare) fails on a host that no drill has claimed.
    support: partial
"""

EXAMPLES = r"""
- name: See whether the host may be overwritten
  phoenix.webstack.drill_host:
    paths: [/var/lib/mysql, /etc/nginx]
  become: true
  register: scratch

- name: Leave nothing of the drill
  phoenix.webstack.drill_host:
    state: bare
    units: [nginx.service, mariadb.service]
    paths: [/var/lib/mysql, /etc/nginx]
    keep_packages: [ufw]
  become: true
"""

RETURN = r"""
claimed:
  description: Whether a drill had claimed the host and not given it back, before this call.
  returned: success
  type: bool
leftovers:
  description: Which of the paths and users were there before this call.
  returned: success
  type: list
  elements: str
removed:
  description: The C(packages) and C(paths) that were removed.
  returned: when O(state=bare)
  type: dict
left:
  description: What could not be removed.
  returned: when that is why it failed
  type: list
  elements: str
"""

import pathlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._drill.host import Leavings, ScratchHost
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": ["looked_at", "claimed", "bare"], "default": "looked_at"},
    "claim": {"type": "path", "default": "/var/lib/webstack/drill.json"},
    "units": {"type": "list", "elements": "str", "default": []},
    "users": {"type": "list", "elements": "str", "default": []},
    "paths": {"type": "list", "elements": "path", "default": []},
    "keep_packages": {"type": "list", "elements": "str", "default": []},
}


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Bring the host to the wanted state; returns the module's result."""
    params = module.params
    host = ScratchHost(
        runner=ModuleCommandRunner(module=module),
        claim=pathlib.Path(params["claim"]),
        leavings=Leavings(units=params["units"], users=params["users"], paths=params["paths"]),
        keep=params["keep_packages"],
    )
    found = {"claimed": host.claimed, "leftovers": host.leftovers()}
    if params["state"] == "claimed":
        return {**found, "changed": not host.claimed if module.check_mode else host.claim()}
    if params["state"] == "bare":
        removed = {"packages": [], "paths": []} if module.check_mode else host.make_bare()
        return {**found, "changed": True, "removed": removed}
    return {**found, "changed": False}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module=module))
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}. Make that possible, and run the drill again.")


if __name__ == "__main__":
    main()
