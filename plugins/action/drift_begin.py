# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begin a run of the playbook `drift` (controller only)."""

from __future__ import annotations

import datetime
import typing as t
from pathlib import Path

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift import history, windows

CALLBACK = "phoenix.webstack.drift"
MODES = ("check", "correct", "ssh_only")
# What `ssh_only` looks at and corrects: enough to get in again.
SSH_ROLES = ("ssh_lifeline", "ufw")
CLOSED = "Nothing was corrected: no maintenance window is open (drift_windows)."
ARGUMENTS: dict[str, t.Any] = {
    "mode": {"type": "str", "choices": list(MODES), "default": "check"},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "correct": {"type": "list", "elements": "str", "default": []},
    "windows": {"type": "list", "elements": "dict", "default": []},
    "directory": {"type": "path", "required": True},
    "keep": {"type": "int", "default": 30},
    "metrics": {"type": "path"},
    "junit": {"type": "path"},
}


def begin(args: t.Mapping[str, t.Any], *, enabled: t.Iterable[str], now: datetime.datetime) -> dict[str, t.Any]:
    """Work out what the run may do.

    :raises WebstackError: when its report and its exit code would be lost, or a window means nothing.
    """
    if CALLBACK not in enabled:
        raise WebstackError(
            f"The report and the exit code of this run are made by the callback plugin {CALLBACK}, which is not"
            " switched on. Nothing was looked at. Write into ansible.cfg, below [defaults]:"
            f" callbacks_enabled = {CALLBACK} (or set ANSIBLE_CALLBACKS_ENABLED={CALLBACK}), and run again."
        )
    open_now = windows.may_correct(args["windows"], now=now)
    known = history.load(Path(args["directory"]) / "history.json")
    correct = list(SSH_ROLES if args["mode"] == "ssh_only" else args["correct"])
    correcting = args["mode"] != "check"
    return {
        **args,
        "correct": correct if correcting and open_now else [],
        "only": list(SSH_ROLES) if args["mode"] == "ssh_only" else [],
        "notes": [CLOSED] if correcting and not open_now else [],
        "flapping": {host: known.flapping(host) for host in args["hosts"]},
    }


class ActionModule(ActionBase):
    """See the module documentation of ``drift_begin``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the run's settings; the callback plugin takes the lock as soon as it sees them."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        try:
            now = datetime.datetime.now().astimezone()
            result["drift"] = begin(args, enabled=constants.CALLBACKS_ENABLED, now=now)
        except WebstackError as error:
            result.update(failed=True, msg=error.message)
        result["changed"] = False
        return result
