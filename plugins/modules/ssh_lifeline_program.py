#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_lifeline_program
short_description: Put the ssh-lifeline program on a host
version_added: "0.2.0"
description:
  - Writes the command C(ssh-lifeline) and the sources that it runs, all in one step, where they differ.
  - The program needs Python's standard library and nothing else, so that it works when little else does.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
options: {}
attributes:
  check_mode:
    description: Tells which files it would write.
    support: full
  diff_mode:
    description: Shows the names of the files that it writes, not their content.
    support: full
  idempotent:
    description: Compares the content first.
    support: full
"""

EXAMPLES = r"""
- name: Have the program on the host
  phoenix.webstack.ssh_lifeline_program:
"""

RETURN = r"""
command:
  description: The command.
  returned: success
  type: str
version:
  description: The version of the program.
  returned: success
  type: str
files:
  description: The files that were written.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import cli
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.program import PROGRAM


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(version=cli.VERSION, **PROGRAM.bring(check_mode=module.check_mode))


if __name__ == "__main__":
    main()
