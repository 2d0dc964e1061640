#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_probe
short_description: Look at a web server before a rebuild
version_added: "0.1.0"
description:
  - Reads what the preflight of a rebuild must know of a surviving or a replacement web server, in one call.
  - Databases are read from the data directory, so that data shows even where the database server is stopped.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.reads_only
options:
  data_directory:
    description: Where the database server keeps its data.
    type: path
    default: /var/lib/mysql
  unix_socket:
    description: The database server's socket.
    type: path
    default: /run/mysqld/mysqld.sock
  state_directory:
    description: Where M(phoenix.webstack.mysql_restore) keeps its state.
    type: path
    default: /var/lib/webstack/mysql_restore
  patience:
    description: Seconds to wait for a restore that goes on although the run that started it was cut off.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Look at the server before anything is done to it
  phoenix.webstack.rebuild_probe:
  register: __rebuild_probe
"""

RETURN = r"""
probe:
  description: What the server showed.
  returned: success
  type: dict
  contains:
    os:
      description: The distribution, as C(id) and C(version).
      type: dict
    disk_free_bytes:
      description: Bytes free on the file system of C(/var/lib).
      type: int
    database_server:
      description: The server's C(engine) (empty where none is installed), C(version), and whether it is C(running).
      type: dict
    databases:
      description: Schemas of users, each with C(bytes), C(empty), and C(innodb_only) (no table of another engine).
      type: dict
    data_directory_mounted:
      description: Whether the data directory is a file system of its own.
      type: bool
    restored:
      description: Schemas that this collection restored and proved, each with the dump it came from.
      type: dict
    cut_off:
      description: Schemas that a restore of this collection was loading when it was cut off, each with its dump.
      type: dict
    can_dump:
      description: Whether it has what a dump needs beside the database server.
      type: bool
    can_copy:
      description: Whether it has what a copy of the server's files needs.
      type: bool
    listeners:
      description: TCP ports that are listened on, each with the name of the process.
      type: dict
"""

import pathlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import probe


def main() -> None:
    """Collect the probe and hand it over."""
    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "path", "default": "/var/lib/mysql"},
            "unix_socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
            "state_directory": {"type": "path", "default": "/var/lib/webstack/mysql_restore"},
            "patience": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    runner = ModuleCommandRunner(module=module)
    states = pathlib.Path(module.params["state_directory"])
    try:
        if not probe.wait_for_restore(states, seconds=module.params["patience"]):
            module.fail_json(msg="A restore that was started before is still at work there. Wait for it and run again.")
        server = probe.database_server(runner=runner, unix_socket=module.params["unix_socket"])
        data_directory = pathlib.Path(module.params["data_directory"])
        found = {
            "os": probe.parse_os_release(pathlib.Path("/etc/os-release").read_text(encoding="utf-8")),
            "disk_free_bytes": probe.free_bytes("/var/lib"),
            "database_server": server,
            "databases": probe.databases(data_directory),
            "data_directory_mounted": data_directory.is_mount(),
            "restored": probe.restores(states, "restored"),
            "cut_off": probe.restores(states, "loading", "replaying"),
            "can_dump": probe.can_dump(),
            "can_copy": probe.can_copy(server["engine"]),
            "listeners": probe.parse_listeners(runner.run(["ss", "-Hltnp"]).stdout),
        }
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    except OSError as error:
        module.fail_json(msg=f"{error.filename} cannot be read: {error.strerror}.")
    module.exit_json(changed=False, probe=found)


if __name__ == "__main__":
    main()
