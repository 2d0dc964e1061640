#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_restore_changes
short_description: Replay what was written after a dump where the dump was restored, and prove it
version_added: "0.2.0"
description:
  - Replays the changes that M(phoenix.webstack.mysql_dump_changes) has taken into the databases that their dump was
    restored into by M(phoenix.webstack.mysql_restore), and holds every table against the checksums of the changes.
  - Nobody may write to these databases meanwhile. It is a step between the restore and the service, not for one in use.
  - If it fails, the databases are marked as in between. The same restore puts them aside then and starts afresh, and
    nothing takes them for proven.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - PyMySQL (Debian package C(python3-pymysql)), zstd, and the engine's own client on the managed host
attributes:
  check_mode:
    description: Reads and writes nothing.
    support: full
  diff_mode:
    description: Changes data, which is not shown.
    support: none
  idempotent:
    description: Changes that were replayed and proven are not replayed again.
    support: full
options:
  path:
    description: Directory of the changes on the managed host.
    type: path
    required: true
  workers:
    description: How many connections read for the proof at the same time.
    type: int
    default: 2
  state_directory:
    description: Where M(phoenix.webstack.mysql_restore) keeps what it restored into which database.
    type: path
    default: /var/lib/webstack/mysql_restore
  login_unix_socket:
    description: Socket of the server. The default is the usual one.
    type: path
seealso:
  - module: phoenix.webstack.mysql_dump_changes
  - module: phoenix.webstack.mysql_restore
"""

EXAMPLES = r"""
- name: Replay what came after the dump
  phoenix.webstack.mysql_restore_changes:
    path: /var/lib/webstack/incoming/20261123T080000Z-web-02.changes
  become: true
"""

RETURN = r"""
changes:
  description: >-
    What was replayed, C(from) where C(to) where in the binary log, the moment it shows (C(snapshot_at)), and the
    C(tables) and C(rows) that were proven.
  returned: success
  type: dict
differences:
  description: What the data had other than the source, one sentence each.
  returned: when the proof failed
  type: list
  elements: str
"""

import functools
import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    changes,
    describe,
    files,
    restore,
    session,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.load import Loader
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.state import StateStore


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Replay and prove; returns the module's result."""
    if module.check_mode:
        return {"changed": True, "msg": "Check mode replays nothing."}
    os.umask(0o077)
    directory, state_directory = Path(module.params["path"]), Path(module.params["state_directory"])
    manifest = changes.read_changes(directory=directory)
    connect = functools.partial(session.connect, login_unix_socket=module.params["login_unix_socket"])
    files.ensure_private_directory(state_directory)
    with files.exclusive_lock(path=state_directory / ".lock", what="Another restore", patience=300) as lock:
        sessions = [restore.open_session(connect) for _session in range(1 + max(1, module.params["workers"]))]
        try:
            socket = session.find_socket(login_unix_socket=module.params["login_unix_socket"])
            loader = Loader(engine=sessions[0].server.engine, socket=socket, lock=lock)
            store = StateStore(directory=state_directory)
            replay = changes.Replay(
                manifest=manifest, directory=directory, session=sessions[0], store=store, loader=loader
            )
            changed = replay.run(sessions=sessions[1:])
        finally:
            for each in sessions:
                each.close()
    databases = manifest["databases"]
    return {
        "changed": changed,
        "changes": {
            **{key: manifest[key] for key in ("from", "to", "snapshot_at")},
            "tables": describe.count_tables(databases=databases),
            "rows": describe.count_rows(databases=databases),
        },
    }


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "workers": {"type": "int", "default": 2},
            "state_directory": {"type": "path", "default": "/var/lib/webstack/mysql_restore"},
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
