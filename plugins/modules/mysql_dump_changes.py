#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_dump_changes
short_description: Take what was written to a server after a dump of it from its binary log
version_added: "0.2.0"
description:
  - Reads the binary log from the position of a dump of M(phoenix.webstack.mysql_dump) to now, and writes it compressed
    into the dump's folder, with a manifest that has the rows and the content checksum of every table at that moment.
    M(phoenix.webstack.mysql_restore_changes) replays it where the dump was restored, and proves it by these.
  - Writers are held while the position is read and the snapshot opens, for some milliseconds.
  - Where the changes cannot be had, it says why and does not fail. That is so without a binary log (MariaDB keeps none
    unless C(log_bin) is set, MySQL does), where the log has been purged or is filtered, and where the server has
    databases that the dump has not.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - PyMySQL (Debian package C(python3-pymysql)), zstd, and the engine's own client on the managed host
attributes:
  check_mode:
    description: Reads and writes nothing.
    support: full
  diff_mode:
    description: Adds a file and changes none.
    support: none
  idempotent:
    description: Takes the changes up to the present moment each time.
    support: none
options:
  path:
    description: Directory of the dump set on the managed host.
    type: path
    required: true
  workers:
    description: How many connections read for the checksums at the same time.
    type: int
    default: 2
  lock_timeout:
    description: Seconds to wait for the moment at which writers can be held.
    type: int
    default: 10
  login_unix_socket:
    description: Socket of the server. The default is the usual one.
    type: path
seealso:
  - module: phoenix.webstack.mysql_dump
  - module: phoenix.webstack.mysql_restore_changes
"""

EXAMPLES = r"""
- name: Take what came after the dump
  phoenix.webstack.mysql_dump_changes:
    path: /var/backups/webstack/mysql/20261123T080000Z-web-02
  become: true
  register: changes
"""

RETURN = r"""
available:
  description: Whether the changes could be had.
  returned: success
  type: bool
reason:
  description: Why not, as a clause.
  returned: success
  type: str
path:
  description: Directory of the changes.
  returned: when available
  type: str
manifest:
  description: >-
    C(dump_id), C(from) and C(to) (positions of the binary log), C(snapshot_at), C(server) (the file with its size and
    checksum), and C(databases) with the tables as they were then.
  returned: when available
  type: dict
"""

import functools
import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import changes, session


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Take the changes; returns the module's result."""
    if module.check_mode:
        return {"changed": False, "available": False, "reason": "check mode takes none"}
    os.umask(0o077)
    options = changes.ChangesOptions(
        path=Path(module.params["path"]),
        lock_timeout=module.params["lock_timeout"],
        workers=max(1, module.params["workers"]),
    )
    connect = functools.partial(session.connect, login_unix_socket=module.params["login_unix_socket"])
    found = changes.collect(options=options, connect=connect)
    return {"changed": found["available"], **found}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "workers": {"type": "int", "default": 2},
            "lock_timeout": {"type": "int", "default": 10},
            "login_unix_socket": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**work(module=module))
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)


if __name__ == "__main__":
    main()
