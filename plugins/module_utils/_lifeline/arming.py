# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arming the dead man's switch from a module, by the program on the host."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

MISSING = "it has no program ssh-lifeline. Bring it with phoenix.webstack.ssh_lifeline_program."


def arm(*, runner: CommandRunner, seconds: int, label: str, within: str) -> dict[str, t.Any]:
    """Have the host take back what follows, and return its answer: ``id``, ``seconds`` and what was before.

    :arg within: The id of a switch that this run has armed earlier, else an empty string.
    :raises WebstackError: when it cannot be armed, or the host has taken back what ``within`` stands for.
    """
    options = {"seconds": seconds, "label": label, "within": within}
    argv = [str(paths.COMMAND), "arm", "--json", *(f"--{name}={value}" for name, value in options.items())]
    # What is not there is told of here: a runner over Ansible's own would end the module.
    done = runner.run(argv, check=False) if paths.COMMAND.exists() else None
    try:
        answer: dict[str, t.Any] = json.loads(done.stdout) if done else {"failed": True, "msg": MISSING}
    except ValueError as error:
        words = (done.stderr or done.stdout).strip() if done else ""
        raise WebstackError(f"The dead man's switch could not be armed. Nothing was changed. {words}") from error
    if answer.get("rolled_back"):
        raise WebstackError(
            f"The host has taken back what this run has changed so far: {answer['msg']} Nothing was changed since. "
            "Give the run more time (ssh_rollback_seconds), or mend what it changes.",
            rolled_back=answer["rolled_back"],
        )
    if answer.get("failed"):
        raise WebstackError(f"The dead man's switch could not be armed: {answer['msg']}")
    return answer


def warnings(answer: t.Mapping[str, t.Any]) -> list[str]:
    """Tell, in sentences, what happened to earlier changes."""
    last, taken_over = answer["last_rollback"], answer["taken_over"]
    found = [f"The last change of SSH was taken back: {last['text']}"] if last else []
    if taken_over:
        found.append(
            f"An earlier run died before its change was confirmed: {taken_over['label']}, {taken_over['armed_at']}. "
            "It is confirmed or rolled back together with this one."
        )
    return found
