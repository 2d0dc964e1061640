#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_checksum_info
short_description: Rows and content checksums of live MariaDB and MySQL databases
version_added: "0.1.0"
description:
  - Counts and hashes every table of some databases in one snapshot, and digests their views, triggers, routines and
    events.
  - The checksum of a table depends on its content alone, neither on the order of rows nor on the server. It is
    the same on every version of MariaDB and MySQL, so that two servers can be compared.
  - Generated columns are left out since they follow from the others. FLOAT columns count with the six digits that
    servers print. JSON columns compare within one engine only, since MySQL rewrites what was typed.
  - With O(compare), says what differs from another result of this module or from a dump's manifest.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - PyMySQL (Debian package C(python3-pymysql)) on the managed host
extends_documentation_fragment: phoenix.webstack.attributes.reads_only
options:
  databases:
    description: Names of the databases.
    type: list
    elements: str
    required: true
  compare:
    description:
      - A result of this module from another server (or a manifest of M(phoenix.webstack.mysql_dump)) to compare with.
      - It needs the keys C(engine), C(version) and C(databases).
    type: dict
  workers:
    description:
      - How many tables are read at the same time.
      - Each of them has a snapshot of its own, taken one right after the other. On a server that is being written to,
        keep the default to see all tables at the same moment.
    type: int
    default: 1
  login_unix_socket:
    description: Socket of the server. The default is the usual one.
    type: path
seealso:
  - module: phoenix.webstack.mysql_dump
"""

EXAMPLES = r"""
- name: Read the shop on web-01
  phoenix.webstack.mysql_checksum_info:
    databases: [shop]
  become: true
  delegate_to: web-01
  register: first

- name: Compare it with web-02
  phoenix.webstack.mysql_checksum_info:
    databases: [shop]
    compare: "{{ first }}"
  become: true
  delegate_to: web-02
  register: second

- name: Refuse to go on with clones that differ
  ansible.builtin.assert:
    that: second.differences | length == 0
"""

RETURN = r"""
engine:
  description: V(mariadb) or V(mysql).
  returned: success
  type: str
version:
  description: Version of the server.
  returned: success
  type: str
databases:
  description: >-
    By name, C(tables) with C(rows), C(checksum) and C(structure) for each, C(objects) with the digests of
    C(views), C(triggers), C(routines) and C(events), C(charset), C(collation), C(bytes) and C(definers).
  returned: success
  type: dict
tables:
  description: How many tables there are in all.
  returned: success
  type: int
rows:
  description: How many rows there are in all.
  returned: success
  type: int
differences:
  description: What differs from O(compare), one sentence each.
  returned: when O(compare) is given
  type: list
  elements: str
"""

import functools
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import catalog, checksum, describe, session

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "databases": {"type": "list", "elements": "str", "required": True},
    "compare": {"type": "dict"},
    "workers": {"type": "int", "default": 1},
    "login_unix_socket": {"type": "path"},
}


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Read, and compare if asked to; returns the module's result."""
    names = tuple(dict.fromkeys(module.params["databases"]))
    connect = functools.partial(session.connect, login_unix_socket=module.params["login_unix_socket"])
    sessions = [connect() for _worker in range(max(1, module.params["workers"]))]
    missing = sorted(set(names) - set(catalog.existing_databases(session=sessions[0])))
    if missing:
        raise WebstackError(f"No such database on this server: {', '.join(missing)}. Look with: SHOW DATABASES")
    described = checksum_databases(sessions=sessions, names=names)
    server = sessions[0].server
    result = {
        "changed": False,
        "engine": server.engine,
        "version": server.version,
        "databases": described,
        "tables": describe.count_tables(databases=described),
        "rows": describe.count_rows(databases=described),
    }
    other = module.params["compare"]
    if other is not None:
        result["differences"] = compare_databases(mine=described, server=server, other=other)
    return result


def checksum_databases(*, sessions: list[session.Session], names: t.Sequence[str]) -> dict[str, t.Any]:
    """Describe some databases, reading with all of the sessions."""
    checksum.require_packet_size(session=sessions[0])
    for one in sessions:
        one.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    databases = [catalog.read_database(session=sessions[0], name=name) for name in names]
    sums = checksum.sum_databases(sessions=sessions, databases=databases)
    for one in sessions:
        one.close()
    found = {
        database.name: describe.describe_database(database=database, sums=sums[database.name]) for database in databases
    }
    for described in found.values():
        for table in described["tables"].values():
            del table["bytes"]  # a guess of the engine's, which differs between clones
    return found


def compare_databases(*, mine: dict[str, t.Any], server: session.Server, other: dict[str, t.Any]) -> list[str]:
    """What this server has other than another one, which is expected to be right."""
    same_series = other["engine"] == server.engine and session.series_of(other["version"]) == server.series
    found = []
    for name, described in mine.items():
        if name not in other["databases"]:
            found.append(f"{name}: the other side does not have this database")
            continue
        found += [
            f"{name}: {difference}"
            for difference in describe.differences(
                expected=other["databases"][name],
                actual=described,
                same_series=same_series,
            )
        ]
    return found


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module=module))
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)


if __name__ == "__main__":
    main()
