#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_dump_copy
short_description: Copy a dump from one host to another
version_added: "0.2.0"
description:
  - Copies a dump to another host of the inventory, so that it is not lost with its own. It goes by way of the
    controller a piece at a time, which never has all of it; the two hosts need no trust in each other.
  - On the other host all files are compared with the manifest before the copy gets the name of a dump. Until then it is
    called C(….partial). Files that an earlier run has left whole stay, so that a run that was cut off goes on.
  - Older copies of the same host and databases are removed then, the newest one never.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
options:
  path:
    description: Folder of the dump on the host of the task.
    type: str
    required: true
  manifest:
    description:
      - The dump's manifest, as M(phoenix.webstack.mysql_dump) and M(phoenix.webstack.mysql_dump_info) return it.
    type: dict
    required: true
  to:
    description: Name of the other host in the inventory. The task's C(become) holds there too.
    type: str
    required: true
  dest:
    description:
      - Folder of the copies on the other host, for root alone. It is another one than that of its own dumps, whose age
        would tell nothing any more.
    type: path
    default: /var/backups/webstack/mysql-copies
  keep:
    description: How many whole copies of the same host and databases stay there; V(0) is all of them.
    type: int
    default: 7
  keep_days:
    description: For how many days a copy stays in any case; V(0) leaves it to O(keep) alone.
    type: int
    default: 7
  phase:
    description: Set by the action plugin.
    type: str
    choices: [begin, commit]
attributes:
  check_mode:
    description: Tells whether anything is missing on the other host, and copies nothing.
    support: full
  diff_mode:
    description: Data of users are not shown.
    support: none
  idempotent:
    description: A dump that is there whole is left alone.
    support: full
seealso:
  - module: phoenix.webstack.mysql_dump_fetch
"""

EXAMPLES = r"""
- name: Look which dumps there are
  phoenix.webstack.mysql_dump_info:
  become: true
  register: dumps

- name: Have the newest one on web-01 as well
  phoenix.webstack.mysql_dump_copy:
    path: "{{ newest.path }}"
    manifest: "{{ newest.manifest }}"
    to: web-01
  vars:
    newest: "{{ dumps.sets | selectattr('valid') | first }}"
  become: true
"""

RETURN = r"""
path:
  description: Folder of the copy on the other host.
  returned: success
  type: str
bytes:
  description: How many bytes of data were missing there.
  returned: success
  type: int
removed_sets:
  description: Names of the copies whose time was over.
  returned: success
  type: list
  elements: str
"""

import datetime
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import copies
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.copies import ARGUMENTS


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Do the other host's part of a phase; returns the module's result."""
    directory, manifest = Path(module.params["dest"]), module.params["manifest"]
    if module.params["phase"] == "commit":
        removed = copies.commit(
            directory=directory,
            manifest=manifest,
            keep=max(0, module.params["keep"]),
            keep_days=max(0, module.params["keep_days"]),
            now=datetime.datetime.now(tz=datetime.timezone.utc),
        )
        return {"changed": True, "removed_sets": removed}
    partial = copies.partial_of(directory=directory, manifest=manifest)
    if copies.is_here(directory=directory, manifest=manifest):
        return {"changed": False, "lacking": [], "partial": str(partial)}
    lacking = copies.begin(directory=directory, manifest=manifest, check_mode=module.check_mode)
    return {"changed": True, "lacking": lacking, "partial": str(partial)}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module=module))
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    except OSError as error:
        place = error.filename or module.params["dest"]
        module.fail_json(msg=f"{place}: {error.strerror}. The dump is still whole on its own host.")


if __name__ == "__main__":
    main()
