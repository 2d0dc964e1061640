#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_restore
short_description: Restore a dump set into MariaDB or MySQL, proven and whole, or not at all
version_added: "0.1.0"
description:
  - Restores a dump set of M(phoenix.webstack.mysql_dump) into the server on the managed host.
  - Before anything is touched, the set is read from end to end (checksums, compression, statements that would leave
    their database) and the target is looked at. All reasons against the restore are listed at once.
  - Every database is loaded under another name beside the live one, and the rows and the content checksum of every
    table are held against the manifest there. Only then all tables take their place, in one C(RENAME TABLE) for all
    databases of the restore; then triggers, routines, events and views are made. If anything fails or differs, all
    that was loaded is dropped, and the live databases are as they were.
  - A database that is neither absent nor empty is refused unless O(replace) names it. Then its data is not dropped but
    moved to a database beside it, which the result names; see M(phoenix.webstack.mysql_restore_kept).
  - A database that this very dump was restored into before is left alone and reported as such.
  - A physical dump takes the place of the whole server. It is unpacked beside the live data directory and proven by a
    server of its own there; then the live server is stopped, the directories are swapped, and it is started again.
    The old directory is kept where it held databases. Accounts are those of the dump.
  - A run that was killed, or whose server was, is finished or taken back by the next one.
  - Nothing of a restore is written to the server's binary log. Events restore with their status, so that enabled
    ones run again where the event scheduler is on.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - PyMySQL (Debian package C(python3-pymysql)), zstd, and the engine's own client on the managed host
attributes:
  check_mode:
    description: Makes all of the checks, and says what would be restored.
    support: full
  diff_mode:
    description: Shows the databases that come into being with their tables and rows.
    support: full
  idempotent:
    description: A dump that was restored is not restored again while its database holds something.
    support: full
options:
  path:
    description: Directory of the dump set on the managed host.
    type: path
    required: true
  databases:
    description: Databases to restore. The default is all of the dump.
    type: list
    elements: str
    default: []
  drill:
    description:
      - Restore into a server that is made for it and thrown away afterwards, and prove it there. The live server goes
        on and is not touched. Accounts that views and routines belong to need not exist. Check mode skips it.
    type: bool
    default: false
  method:
    description:
      - The kind of dump that may be restored; another one is refused. V(auto) takes what there is.
      - A physical dump takes the place of the whole server, and not everybody wants that by accident.
    type: str
    default: auto
    choices: [auto, logical, physical]
  replace:
    description:
      - Names of databases that hold data and are to be replaced by those of the dump. Their data is kept.
      - One that this very dump was restored into is replaced if its tables are no longer what the dump has.
    type: list
    elements: str
    default: []
  age_identity:
    description:
      - File on the controller with the private key (C(age-keygen -o FILE)) that decrypts an encrypted dump; it may be
        encrypted with Ansible Vault.
      - It comes to the host through the connection, never lies there outside of memory (C(/run)), where root alone may
        read it, and is removed when the restore ends.
    type: path
  age_identity_file:
    description: Set by the action plugin, for where that is on the host.
    type: path
  workers:
    description: How many clients load, and how many connections read for the proof, at the same time.
    type: int
    default: 2
  lock_timeout:
    description: Seconds that the switch waits for whoever uses the tables that are replaced.
    type: int
    default: 30
  state_directory:
    description: Where this module keeps what it restored into which database.
    type: path
    default: /var/lib/webstack/mysql_restore
  host:
    description: Name of this host in messages. The default is the host's own name.
    type: str
  login_unix_socket:
    description: Socket of the server. The default is the usual one.
    type: path
seealso:
  - module: phoenix.webstack.mysql_dump
  - module: phoenix.webstack.mysql_restore_kept
  - module: phoenix.webstack.mysql_checksum_info
"""

EXAMPLES = r"""
- name: Restore the shop
  phoenix.webstack.mysql_restore:
    path: /var/backups/webstack/mysql/20261123T080000Z-web-02
    host: "{{ inventory_hostname }}"
  become: true

- name: Prove every night that the last dump restores
  phoenix.webstack.mysql_restore:
    path: /var/backups/webstack/mysql/20261123T080000Z-web-02
    drill: true
  become: true

- name: Put the shop's data aside and go back to the dump
  phoenix.webstack.mysql_restore:
    path: /var/backups/webstack/mysql/20261123T080000Z-web-02
    replace: [shop]
  become: true
"""

RETURN = r"""
restore:
  description: What was restored from where.
  returned: success
  type: dict
  contains:
    id:
      description: Name of the dump set.
      type: str
    path:
      description: Its directory.
      type: str
    method:
      description: >-
        V(logical) for text that is loaded beside other databases, V(physical) for the files of a whole server.
      type: str
    source:
      description: The host, the engine and the version of the dump, and the moment it shows (C(snapshot_at)).
      type: dict
    databases:
      description: >-
        By name, C(state) (V(restored) or V(already_restored)), C(tables) and C(rows), for what was loaded now
        C(load_seconds) and C(proof_seconds), and for what was replaced C(kept) with the C(database) that holds the
        data of before and the C(path) of its description.
      type: dict
    tables:
      description: How many tables were proven in this run.
      type: int
    rows:
      description: How many rows were proven in this run.
      type: int
    seconds:
      description: How long all of it took.
      type: float
    resumed:
      description: What an interrupted restore had left and this run finished or took back.
      type: str
problems:
  description: The reasons against a restore that was refused, one sentence each.
  returned: when refused
  type: list
  elements: str
differences:
  description: What the loaded data had other than the manifest, one sentence each.
  returned: when the proof failed
  type: list
  elements: str
"""

import functools
import os
import platform
import shutil
import time
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    drill,
    files,
    restore,
    server_restore,
    session,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.state import StateStore

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "path": {"type": "path", "required": True},
    "databases": {"type": "list", "elements": "str", "default": []},
    "drill": {"type": "bool", "default": False},
    "method": {"type": "str", "default": "auto", "choices": ["auto", *manifests.METHODS]},
    "replace": {"type": "list", "elements": "str", "default": []},
    "workers": {"type": "int", "default": 2},
    "age_identity": {"type": "path"},
    "age_identity_file": {"type": "path"},
    "lock_timeout": {"type": "int", "default": 30},
    "state_directory": {"type": "path", "default": "/var/lib/webstack/mysql_restore"},
    "host": {"type": "str"},
    "login_unix_socket": {"type": "path"},
}


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Check, load and prove; returns the module's result."""
    begun = time.monotonic()
    options = restore.RestoreOptions(
        path=Path(module.params["path"]),
        databases=tuple(dict.fromkeys(module.params["databases"])),
        state_directory=Path(module.params["state_directory"]),
        host=module.params["host"] or platform.node().split(".")[0],
        socket=session.find_socket(login_unix_socket=module.params["login_unix_socket"]),
        replace=tuple(dict.fromkeys(module.params["replace"])),
        workers=max(1, module.params["workers"]),
        identity=Path(module.params["age_identity_file"]) if module.params["age_identity_file"] else None,
        lock_timeout=max(1, module.params["lock_timeout"]),
        method=None if module.params["method"] == "auto" else module.params["method"],
    )
    connect = functools.partial(session.connect, login_unix_socket=module.params["login_unix_socket"])
    bare = session.is_absent(login_unix_socket=module.params["login_unix_socket"]) or shutil.which("zstd") is None
    if module.check_mode and bare:
        return {
            "changed": True,
            "restore": {"path": str(options.path)},
            "msg": "This host has no running database server or no zstd yet; it could not be looked at.",
        }
    if module.check_mode and module.params["drill"]:
        return {"changed": False, "restore": {"path": str(options.path)}, "msg": "Check mode makes no drill."}
    if module.check_mode:
        plan = _plan(options=options, session=connect())
        return _finish(plan=plan, loaded={}, options=options, begun=begun, resumed=None)
    os.umask(0o077)
    files.ensure_private_directory(options.state_directory)
    with files.exclusive_lock(path=options.state_directory / ".lock", what="Another restore", patience=300) as lock:
        if module.params["drill"]:
            plan, loaded = drill.rehearse(options=options, connect=connect, lock=lock)
            return {**_finish(plan=plan, loaded=loaded, options=options, begun=begun, resumed=None), "changed": False}
        store = StateStore(directory=options.state_directory)
        resumed = server_restore.resume(store=store, connect=connect)
        resumed = restore.resume(store=store, socket=options.socket, connect=connect, lock=lock) or resumed
        plan = _plan(options=options, session=connect())
        loaded = _load(options=options, plan=plan, connect=connect, lock=lock) if plan.to_load else {}
    return _finish(plan=plan, loaded=loaded, options=options, begun=begun, resumed=resumed)


def _plan(*, options: restore.RestoreOptions, session: Session) -> restore.Plan:
    try:
        return restore.make_plan(
            options=options,
            session=session,
            judge_copy=lambda plan: server_restore.judge(plan=plan, options=options, session=session),
        )
    finally:
        session.close()


def _load(
    *,
    options: restore.RestoreOptions,
    plan: restore.Plan,
    connect: t.Callable[[], Session],
    lock: int,
) -> dict[str, dict[str, t.Any]]:
    if plan.manifest["method"] == manifests.PHYSICAL:
        return server_restore.ServerRestore(options=options, plan=plan, connect=connect).run()
    return restore.Restore(options=options, plan=plan, connect=connect, lock=lock).run()


def _finish(
    *,
    plan: restore.Plan,
    loaded: dict[str, dict[str, t.Any]],
    options: restore.RestoreOptions,
    begun: float,
    resumed: str | None,
) -> dict[str, t.Any]:
    databases = restore.summary(plan=plan, loaded=loaded)
    new = [entry for name, entry in databases.items() if name in plan.to_load]
    return {
        "changed": bool(plan.to_load) or resumed is not None,
        "restore": {
            "id": plan.manifest["id"],
            "path": str(options.path),
            "method": plan.manifest["method"],
            "databases": databases,
            "source": {key: plan.manifest[key] for key in ("host", "engine", "version", "snapshot_at")},
            "tables": sum(entry["tables"] for entry in new),
            "rows": sum(entry["rows"] for entry in new),
            "seconds": round(time.monotonic() - begun, 3),
            **({"resumed": resumed} if resumed else {}),
        },
        "diff": {
            "before": "".join(f"{name}: {_before(plan, name)}\n" for name in plan.to_load),
            "after": "".join(
                f"{name}: {databases[name]['tables']} tables, {databases[name]['rows']} rows of {plan.manifest['id']}\n"
                for name in plan.to_load
            ),
        },
    }


def _before(plan: restore.Plan, name: str) -> str:
    """What there is before the restore, for the diff."""
    target = plan.before.get(name)
    return f"{len(target.tables)} tables, which are kept" if target and not target.is_empty else "absent or empty"


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module=module))
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    finally:
        if module.params["age_identity_file"]:
            Path(module.params["age_identity_file"]).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
