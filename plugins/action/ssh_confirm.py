# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Confirm a change over a connection that is new from the first packet on."""

from __future__ import annotations

import json
import shlex
import time
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths

ARGUMENTS: dict[str, t.Any] = {
    "id": {"type": "str", "required": True},
    "seconds": {"type": "int", "default": 60},
}
# The first value of an option is the one that ssh takes, so these stand first. The last two end a connection that
# the firewall has cut in the middle, which would hang for ever.
NEW_CONNECTION = (
    "-o ControlMaster=no -o ControlPath=none -o ControlPersist=no -o ServerAliveInterval=3 -o ServerAliveCountMax=2"
)
CONNECT_SECONDS = 5
PAUSE_SECONDS = 0.5
# What the host takes to put everything back. Whoever waits for it can say what has come of the change.
GRACE_SECONDS = 20
CHECK = "ansible-playbook phoenix.webstack.check_access"


class NoAnswerError(Exception):
    """The host did not confirm; it may yet, if asked again."""


def parse_answer(text: str) -> dict[str, t.Any] | None:
    """Return the answer of `ssh-lifeline confirm --json`, whatever a login prints around it."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                answer: dict[str, t.Any] = json.loads(line)
            except ValueError:
                continue
            return answer
    return None


def silence(*, host: str, seconds: int, waited: float, reason: str) -> str:
    """Say that nothing got through."""
    return (
        f"No new SSH connection to {host} could confirm the change: {reason} The host puts everything back by itself "
        f"{seconds} seconds after it was armed; {waited:.0f} seconds have passed since the change. "
        f"Look at it then: {CHECK} --limit {host}"
    )


def refusal(*, host: str, answer: t.Mapping[str, t.Any]) -> str:
    """Say why the host did not take the confirmation."""
    rolled_back = answer.get("rolled_back")
    if not rolled_back:
        return f"{host} did not take the confirmation: {answer['msg']} Look at it: {CHECK} --limit {host}"
    kept = f" What was replaced is kept on the host in {rolled_back['aside']}." if rolled_back["aside"] else ""
    return (
        f"{host} has put everything back by itself, and lets you in again. {answer['msg']}{kept} "
        f"Mend the change before you run it again. Look at the host: {CHECK} --limit {host}"
    )


class ActionModule(ActionBase):
    """See the module documentation of ``ssh_confirm``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Confirm, or fail with what has become of the change."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        result.update(changed=False, attempts=0)
        if self._task.check_mode:
            return result
        host = (task_vars or {}).get("inventory_hostname", "the host")
        started = time.monotonic()
        reason = ""
        self._insist_on_a_new_connection()
        while time.monotonic() - started < args["seconds"] + GRACE_SECONDS:
            result["attempts"] += 1
            try:
                answer = self._confirm(args["id"])
            except NoAnswerError as error:
                reason = str(error)
                time.sleep(PAUSE_SECONDS)
                continue
            if answer.get("failed"):
                result.update(failed=True, msg=refusal(host=host, answer=answer))
                result.update({key: answer[key] for key in ("rolled_back",) if key in answer})
            else:
                result["still_armed"] = answer["still_armed"]
            return result
        waited = time.monotonic() - started
        result.update(failed=True, msg=silence(host=host, seconds=args["seconds"], waited=waited, reason=reason))
        return result

    def _insist_on_a_new_connection(self) -> None:
        """End the master connection, and have this task's connections share none."""
        if type(self._connection).reset is not ConnectionBase.reset:
            self._connection.reset()
        if self._connection.transport == "ssh":
            options = self._connection.get_option("ssh_args") or ""
            self._connection.set_option("ssh_args", f"{NEW_CONNECTION} {options}")
            self._connection.set_option("reconnection_retries", 0)
            self._connection.set_option("timeout", CONNECT_SECONDS)

    def _confirm(self, switch_id: str) -> dict[str, t.Any]:
        command = shlex.join([str(paths.COMMAND), "confirm", switch_id, "--json"])
        try:
            done = self._low_level_execute_command(command)
        except AnsibleError as error:
            raise NoAnswerError(sentence(str(error))) from error
        answer = parse_answer(done.get("stdout", ""))
        if answer is None:
            raise NoAnswerError(sentence(done.get("stderr") or done.get("stdout") or f"exit code {done.get('rc')}"))
        return answer


def sentence(text: str) -> str:
    """Return an error message as one sentence of one line."""
    line = " ".join(text.split())
    return line if line.endswith(".") else f"{line}."
