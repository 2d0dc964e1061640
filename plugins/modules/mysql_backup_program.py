#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_backup_program
short_description: Put the program of the backup timer on a host
version_added: "0.2.0"
description:
  - Writes the command C(webstack-mysql-backup) and the sources that it runs, where they differ. They are those of
    M(phoenix.webstack.mysql_dump), so that a dump is the same whoever takes it.
  - The program needs Python's standard library and PyMySQL.
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
seealso:
  - module: phoenix.webstack.mysql_dump
"""

EXAMPLES = r"""
- name: Have the program on the host
  phoenix.webstack.mysql_backup_program:
  become: true
"""

RETURN = r"""
command:
  description: The command.
  returned: success
  type: str
files:
  description: The files that were written.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import scheduled
from ansible_collections.phoenix.webstack.plugins.module_utils._program import Program

PROGRAM = Program(folder=scheduled.FOLDER, command=scheduled.COMMAND, entry="_mysql.scheduled")


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(**PROGRAM.bring(check_mode=module.check_mode))


if __name__ == "__main__":
    main()
