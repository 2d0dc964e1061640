#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_lifeline
short_description: Keep SSH reachable on a host by a guard of its own
version_added: "0.2.0"
description:
  - Puts the program C(ssh-lifeline), its settings and its units on a host, and has the guard run, now and after a boot.
  - Settings of sshd are tried by a real login before they stay; otherwise they are taken back and the task fails.
  - The guard takes what a login needs, as it is now, for the state to go back to. A host on which a login of one of
    the accounts would fail is refused.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
options:
  accounts:
    description:
      - Accounts whose login by SSH key is held.
      - An empty list stands for the one that this task has come by; for those that are held already, where it was
        started on the host itself.
    type: list
    elements: str
    default: []
  admin_cidrs:
    description: Networks from which SSH is accepted; none means anywhere.
    type: list
    elements: str
    default: []
  ports:
    description: Ports on which sshd has to be reachable.
    type: list
    elements: int
    default: [22]
  port_thief:
    description: What becomes of another process that listens on one of them.
    type: str
    choices: [stop, report]
    default: stop
  check_seconds:
    description: How often a login is tried when nothing happens.
    type: int
    default: 300
  metrics:
    description: File for the textfile collector of node_exporter; empty for none.
    type: str
    default: ""
  if_ready:
    description:
      - Do nothing, and return RV(ready) as false, where the host lacks a command that the guard needs.
      - So it can be tried before the packages are there.
    type: bool
    default: false
attributes:
  check_mode:
    description: Tells which files it would write.
    support: full
  diff_mode:
    description: Shows the settings; of the program only the names of the files.
    support: full
  idempotent:
    description: Compares the content first.
    support: full
"""

EXAMPLES = r"""
- name: Keep SSH reachable for the admin
  phoenix.webstack.ssh_lifeline:
    accounts: [admin]
"""

RETURN = r"""
ready:
  description: Whether the host has the commands that the guard needs.
  returned: success
  type: bool
command:
  description: The command.
  returned: when it is ready
  type: str
version:
  description: The version of the program.
  returned: when it is ready
  type: str
files:
  description: The files that were written.
  returned: when it is ready
  type: list
  elements: str
"""

import shutil
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner, ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import cli, install, paths, setup
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.program import PROGRAM
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import from_options
from ansible_collections.phoenix.webstack.plugins.module_utils._program import Wanted, differing, write_all

ENABLED = (paths.UNIT, paths.TIMER)
# What comes in ssh_lifeline_packages.
COMMANDS = ("nft", "ip", "ssh", "ssh-keygen")
SEARCHED = "/usr/sbin:/usr/bin:/sbin:/bin"


def argument_spec() -> dict[str, dict[str, t.Any]]:
    """Return the module's options."""
    return {
        "accounts": {"type": "list", "elements": "str", "default": []},
        "admin_cidrs": {"type": "list", "elements": "str", "default": []},
        "ports": {"type": "list", "elements": "int", "default": [22]},
        "port_thief": {"type": "str", "choices": ["stop", "report"], "default": "stop"},
        "check_seconds": {"type": "int", "default": 300},
        "metrics": {"type": "str", "default": ""},
        "if_ready": {"type": "bool", "default": False},
    }


def describe(files: t.Mapping[Path, str]) -> str:
    """Return files as lines that read well in a diff."""
    return "".join(f"# {path}\n{text}" for path, text in sorted(files.items()))


def put_on_host(*, runner: CommandRunner, files: Wanted) -> None:
    """Write files and have them count, or leave everything as it was."""
    undo = write_all(files)
    try:
        install.put_in_force(runner=runner, changed=list(files), units=ENABLED)
    except WebstackError:
        undo()
        install.put_back_in_force(runner=runner)
        raise


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare, write, prove, and return the module's result."""
    if module.params["if_ready"] and not all(shutil.which(name, path=SEARCHED) for name in COMMANDS):
        return {"changed": False, "ready": False}
    runner = ModuleCommandRunner(module=module)
    settings = from_options(module.params)
    ours = setup.host_files(settings=settings, server=setup.look_at_server(runner=runner))
    wanted = {**PROGRAM.wanted_files(), **ours}
    changed = differing(wanted)
    idle = [unit for unit in ENABLED if not install.runs(runner=runner, unit=unit)]
    shown = [path for path in changed if path in ours]
    before = describe({path: install.text_of(path) for path in shown})
    if (changed or idle) and not module.check_mode:
        with install.without_interference():
            put_on_host(runner=runner, files={path: wanted[path] for path in changed})
    return {
        "changed": bool(changed or idle),
        "ready": True,
        "files": [str(path) for path in changed],
        "version": cli.VERSION,
        "command": str(paths.COMMAND),
        "diff": {
            "before": before,
            "after": describe({path: ours[path][0] for path in shown}) + "".join(f"{unit} runs\n" for unit in idle),
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = run(module)
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
