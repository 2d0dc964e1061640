# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second connection for an action that works between two hosts."""

from __future__ import annotations

import copy
import typing as t

from ansible import constants as C  # noqa: N812 -- its usual name
from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader

if t.TYPE_CHECKING:
    from ansible.playbook.play_context import PlayContext
    from ansible.playbook.task import Task
    from ansible.plugins.connection import ConnectionBase


def open_connection(
    *, host: str, variables: t.Mapping[str, t.Any], task: Task, play_context: PlayContext
) -> ConnectionBase:
    """Connect to another host of the inventory as a task of that host would.

    :arg variables: The other host's, as ``hostvars`` has them.
    :raises AnsibleActionFail: There is no such way to connect.
    """
    name = str(variables.get("ansible_connection", "ssh"))
    connection = connection_loader.get(name, copy.copy(play_context), None)
    if connection is None:
        raise AnsibleActionFail(f"The connection plugin {name} of {host} was not found. Nothing was changed.")
    keys = {name: value for name, value in task.dump_attrs().items() if name != "retries"}
    # The first is the connection's here, not the task's; the others come from the command line.
    keys["timeout"] = play_context.timeout
    keys.update({name: given for name in ("password", "become_pass") if (given := getattr(play_context, name, None))})
    if boolean(variables.get("ansible_become", task.become or False)):
        method = str(variables.get("ansible_become_method", task.become_method or "sudo"))
        become = become_loader.get(method)
        become.set_options(task_keys=keys, var_options=_options_of("become", become, variables))
        connection.set_become_plugin(become)
    connection.set_options(task_keys=keys, var_options=_options_of("connection", connection, variables))
    shell = connection._shell
    shell.set_options(task_keys=keys, var_options=_options_of("shell", shell, variables))
    return connection


def _options_of(kind: str, plugin: t.Any, variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Those of the variables that a plugin reads."""
    names = C.config.get_plugin_vars(kind, plugin._load_name)
    return {name: variables[name] for name in names if name in variables}
