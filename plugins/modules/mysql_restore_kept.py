#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_restore_kept
short_description: Put back or drop what a restore has put aside
version_added: "0.1.0"
description:
  - M(phoenix.webstack.mysql_restore) never drops the data that it replaces, but moves it to a database beside.
    This module goes back to it, or drops it once it is known not to be needed.
  - Going back is as safe as the restore itself. All tables move in one C(RENAME TABLE), and what was there until then
    is kept in turn.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - PyMySQL (Debian package C(python3-pymysql)), zstd, and the engine's own clients on the managed host
attributes:
  check_mode:
    description: Says what would be put back or dropped.
    support: full
  diff_mode:
    description: Shows which database comes back or goes away.
    support: full
  idempotent:
    description: What is no longer kept is left alone.
    support: full
options:
  name:
    description: Exact name of the database that keeps the data, as the restore's result or RV(kept) tells it.
    type: str
    required: true
  state:
    description:
      - V(live) puts the data back in its place.
      - V(absent) drops it for good.
    type: str
    choices: [live, absent]
    required: true
  state_directory:
    description: Where M(phoenix.webstack.mysql_restore) keeps what it restored.
    type: path
    default: /var/lib/webstack/mysql_restore
  login_unix_socket:
    description: Socket of the server. The default is the usual one.
    type: path
seealso:
  - module: phoenix.webstack.mysql_restore
"""

EXAMPLES = r"""
- name: Go back to what was there before the restore
  phoenix.webstack.mysql_restore_kept:
    name: shop__before_20261123T080000Z
    state: live
  become: true

- name: Drop it, now that the restore has proven right
  phoenix.webstack.mysql_restore_kept:
    name: shop__before_20261123T080000Z
    state: absent
  become: true
"""

RETURN = r"""
kept:
  description: >-
    What is kept on this host afterwards, oldest first, with the live C(database), the C(kept) one, its C(tables), the
    dump that it was C(replaced_by), and C(replaced_at).
  returned: success
  type: list
  elements: dict
"""

import functools
import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import files, kept, restore, session
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.load import Loader
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.state import StateStore

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "required": True, "choices": ["live", "absent"]},
    "state_directory": {"type": "path", "default": "/var/lib/webstack/mysql_restore"},
    "login_unix_socket": {"type": "path"},
}


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Put back or drop; returns the module's result."""
    name, state = module.params["name"], module.params["state"]
    store = StateStore(directory=Path(module.params["state_directory"]))
    found = kept.find(store=store, name=name)
    if found is None and state == "live":
        known = ", ".join(each["kept"] for each in kept.list_kept(store=store)) or "nothing"
        raise WebstackError(f"No restore on this host has kept `{name}`. It keeps: {known}.")
    if found is None:
        return {"changed": False, "kept": kept.list_kept(store=store)}
    after = f"{name} in the place of {found['database']}\n" if state == "live" else ""
    result = {"changed": True, "diff": {"before": f"{name} kept\n", "after": after}}
    if not module.check_mode:
        _apply(module=module, store=store, found=found)
    return {**result, "kept": kept.list_kept(store=store)}


def _apply(*, module: AnsibleModule, store: StateStore, found: kept.Kept) -> None:
    os.umask(0o077)
    connect = functools.partial(session.connect, login_unix_socket=module.params["login_unix_socket"])
    socket = session.find_socket(login_unix_socket=module.params["login_unix_socket"])
    with files.exclusive_lock(path=store.directory / ".lock", what="Another restore", patience=300) as lock:
        restore.resume(socket=socket, store=store, connect=connect, lock=lock)
        opened = restore.open_session(connect)
        if module.params["state"] == "absent":
            kept.drop(kept=found, session=opened)
        else:
            loader = Loader(engine=opened.server.engine, socket=socket, lock=lock)
            kept.put_back(kept=found, store=store, session=opened, connect=connect, loader=loader, socket=socket)
        opened.close()


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module=module))
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)


if __name__ == "__main__":
    main()
