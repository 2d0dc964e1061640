#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_dump
short_description: Dump MariaDB or MySQL databases with a manifest that a restore can be proven against
version_added: "0.1.0"
description:
  - Dumps one or more databases of the server on the managed host as they were at one and the same moment,
    with their views, triggers, routines and events.
  - Writers are stopped (C(FLUSH TABLES WITH READ LOCK)) only until the dump clients and the checksums read in their
    own snapshots. Where a database has tables outside of InnoDB they are stopped until the dump is done.
  - Writes a dump set, which is the directory C(<time>-<host>/) with C(manifest.json) and some zstd-compressed files
    for each database; several clients write the rows of large ones. The manifest has the SHA-256 of each file, and for
    each table its rows and a checksum of its content taken in the same snapshot. The set appears under its name only
    once it is whole and on the disk.
  - Waits for another dump in the same directory, half an hour at most.
  - Authenticates as root by the unix socket, so that there is no secret.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
requirements:
  - PyMySQL (Debian package C(python3-pymysql)), zstd, and the engine's own dump client on the managed host
attributes:
  check_mode:
    description: Looks whether the databases exist, and says that it would dump them.
    support: full
  diff_mode:
    description: A dump has no earlier state to compare with.
    support: none
  idempotent:
    description: Each run is a new dump.
    support: none
options:
  databases:
    description: Names of the databases to dump.
    type: list
    elements: str
    required: true
  method:
    description:
      - V(logical) writes the databases as text, which goes into the same or a newer release series of the engine, one
        database beside others.
      - V(physical) copies the files of the whole server (C(mariadb-backup), or MySQL's clone plugin), which is many
        times faster on both ends, and goes into the same release series, as a whole. O(databases) must name them all.
    type: str
    choices: [logical, physical]
    default: logical
  directory:
    description: Directory of the dump sets on the managed host; it is created with mode C(0700).
    type: path
    default: /var/backups/webstack/mysql
  host:
    description: Name of the source in the name of the set and in the manifest. The default is the host's own name.
    type: str
  lock_timeout:
    description:
      - Seconds to wait until the server's writes can be stopped. While it waits, other writers wait too.
    type: int
    default: 10
  keep:
    description:
      - How many whole sets of this host with the same databases stay in O(directory); V(0) is all of them.
      - Older ones are removed once this dump is whole, unless O(keep_days) keeps them. The newest one always stays.
    type: int
    default: 0
  keep_days:
    description: For how many days a set stays in any case; V(0) leaves it to O(keep) alone.
    type: int
    default: 0
  workers:
    description: How many clients dump the rows of one large database at the same time.
    type: int
    default: 2
  compression_level:
    description:
      - Level of the zstd compression, from 1 to 19. The default is V(3) for a logical dump, and V(1) for a physical
        one, which takes as long as its compression does.
    type: int
  age_recipients:
    description:
      - Public keys (C(age1…), or an SSH public key) to each of which the dump is encrypted, with C(age) on the host.
        What is dumped never lies there unencrypted. A restore needs one of the private keys, which belongs on no host.
      - The manifest stays readable. It has names of tables and columns' digests, numbers of rows and checksums.
    type: list
    elements: str
    default: []
  login_unix_socket:
    description: Socket of the server. The default is the usual one.
    type: path
seealso:
  - module: phoenix.webstack.mysql_dump_info
  - module: phoenix.webstack.mysql_restore
"""

EXAMPLES = r"""
- name: Dump the shop
  phoenix.webstack.mysql_dump:
    databases: [shop]
    host: "{{ inventory_hostname }}"
  become: true
  register: shop_dump
"""

RETURN = r"""
dump:
  description: The set that was written; in check mode only C(databases).
  returned: success
  type: dict
  contains:
    id:
      description: Name of the set.
      type: str
      sample: 20261123T080000Z-web-02
    path:
      description: Its directory.
      type: str
    manifest:
      description: The content of its C(manifest.json).
      type: dict
    files:
      description: Names of its files, C(manifest.json) first.
      type: list
      elements: str
    size:
      description: Bytes of its files.
      type: int
    seconds:
      description: How long the dump took.
      type: float
    lock_seconds:
      description: How long writers were stopped.
      type: float
    removed_sets:
      description: Names of the sets whose time was over.
      type: list
      elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import backup, session
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.backup import ARGUMENTS


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Dump, or say what would be dumped; returns the module's result."""
    request = backup.request_from(module.params)
    if not module.check_mode:
        return {"changed": True, "dump": backup.take(request=request)}
    planned = {"changed": True, "dump": {"databases": list(request.options.databases)}}
    if session.is_absent(login_unix_socket=module.params["login_unix_socket"]):
        return {**planned, "msg": "There is no database server on this host yet; it could not be looked at."}
    looker = request.connect()
    backup.refuse_impossible(request=request, looker=looker)
    looker.close()
    return planned


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module=module))
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)


if __name__ == "__main__":
    main()
