#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Note on a host what was applied to it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drift_record
short_description: Note on a host what was applied to it
version_added: "0.2.0"
description:
  - Notes digests of what roles want of a host, once they have applied it, and of what the host has beside that. By them
    M(phoenix.webstack.drift_info) tells what the host has changed since from what waits to be applied.
  - Before a new note, everything that was written to the host's disks so far is made durable.
  - The note is C(/var/lib/webstack/applied.json), which root alone may read. It holds nothing that could be restored
    from it.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment:
  - phoenix.webstack.wanted
attributes:
  check_mode:
    description: Tells whether the note would change.
    support: full
  diff_mode:
    description: A note of digests says nothing to people.
    support: none
  idempotent:
    description: A host that stays as it is gets the same note again.
    support: full
options:
  keep_seen:
    description:
      - What the host has beside what roles want (files of packages, rules of the kernel, accounts) stays noted as it
        was before. So after a correction of one thing everything else that has drifted is still told.
    type: bool
    default: false
seealso:
  - module: phoenix.webstack.drift_info
"""

EXAMPLES = r"""
- name: Note what was applied
  phoenix.webstack.drift_record:
    wanted:
      - role: nginx
        packages: [nginx]
"""

RETURN = r"""
path:
  description: Where the note is.
  returned: success
  type: str
  sample: /var/lib/webstack/applied.json
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._drift import record, spec
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.observe import observe


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"wanted": spec.WANTED, "keep_seen": {"type": "bool", "default": False}},
        supports_check_mode=True,
    )
    before = record.load()
    runner = ModuleCommandRunner(module=module)
    items = [item for _role, item in observe(module.params["wanted"], runner=runner, record=before)]
    after = before.with_items(items, keep_seen=module.params["keep_seen"])
    changed = after != before
    if changed and not module.check_mode:
        # What was applied outlives a loss of power from here on, however little its writers cared.
        os.sync()
        try:
            record.store(after)
        except OSError as error:
            module.fail_json(
                msg=f"{record.PATH} could not be written: {error.strerror}. Everything else was applied; until it can"
                " be written, `drift` tells what was applied now as pending."
            )
    module.exit_json(changed=changed, path=str(record.PATH))


if __name__ == "__main__":
    main()
