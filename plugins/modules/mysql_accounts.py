#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_accounts
short_description: Databases and accounts of MariaDB or MySQL, all in one call
version_added: "0.1.0"
description:
  - Creates databases, and accounts with exactly the privileges that are listed, in one call for all of them.
  - Accounts authenticate by the unix socket (MariaDB C(unix_socket), MySQL C(auth_socket)) unless a password is given.
  - Removes what should never be there, which is anonymous accounts and an empty database C(test).
  - Never touches root's own access, and never drops anything else.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - PyMySQL (Debian package C(python3-pymysql)) on the managed host
attributes:
  check_mode:
    description: Says which statements would be run.
    support: full
  diff_mode:
    description: Shows the statements.
    support: full
  idempotent:
    description: A second run finds nothing to do.
    support: full
options:
  databases:
    description: Databases that shall exist.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      encoding:
        description: Default character set of new tables.
        type: str
      collation:
        description: Default collation of new tables.
        type: str
  users:
    description: Accounts that shall exist.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      host:
        description: Where it may connect from.
        type: str
        default: localhost
      socket:
        description: >-
          Whether it authenticates by the unix socket, as the operating system's user of the same name.
          The default is V(true) unless a password is given.
        type: bool
      password:
        description: Password that the account gets when it is created; it is not changed later.
        type: str
      privileges:
        description: >-
          Privileges by level, as C({"shop.*": [ALL]}). Others that the account has are revoked. Without this option
          its privileges are left as they are.
        type: dict
      dumps:
        description: >-
          Databases that the account dumps. It has the least privileges that M(phoenix.webstack.mysql_dump) needs for
          that on this engine and version, beside those of O(users[].privileges).
        type: list
        elements: str
  login_unix_socket:
    description: Socket of the server. The default is the usual one.
    type: path
"""

EXAMPLES = r"""
- name: Give the shop its database and its account
  phoenix.webstack.mysql_accounts:
    databases:
      - name: shop
        encoding: utf8mb4
    users:
      - name: shop
        privileges:
          "shop.*": [SELECT, INSERT, UPDATE, DELETE]
  become: true
"""

RETURN = r"""
statements:
  description: What was run (in check mode, would be run), without passwords.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import accounts, session
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.options import ACCOUNTS as ARGUMENTS


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Plan and run; returns the module's result."""
    socket = module.params["login_unix_socket"]
    if module.check_mode and session.is_absent(login_unix_socket=socket):
        return {
            "changed": True,
            "statements": [],
            "msg": "There is no database server on this host yet; it could not be looked at.",
        }
    users = [
        {**user, "socket": not user["password"] if user["socket"] is None else user["socket"]}
        for user in module.params["users"]
    ]
    connection = session.connect(login_unix_socket=socket)
    observed = accounts.read_server(session=connection, users=users)
    steps = accounts.plan(observed=observed, databases=module.params["databases"], users=users)
    for step in steps if not module.check_mode else ():
        connection.execute(step.statement)
    connection.close()
    shown = [step.shown for step in steps]
    return {
        "changed": bool(steps),
        "statements": shown,
        "diff": {"before": "", "after": "".join(f"{statement};\n" for statement in shown)},
    }


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module=module))
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)


if __name__ == "__main__":
    main()
