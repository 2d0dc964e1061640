# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands on the host, injected so that planning code is tested without one."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """What one finished command left behind: its exit code and its decoded output."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str


class CommandRunner(t.Protocol):
    """Runs one command and waits for it."""

    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        """Run ``argv`` (never through a shell).

        :arg stdin: Text for its standard input.
        :arg check: Raise `WebstackError` on a non-zero exit code.
        """


class ModuleCommandRunner:
    """A `CommandRunner` over ``AnsibleModule.run_command``.

    ``LC_ALL=C`` is forced: every parser of this collection reads untranslated output.
    """

    def __init__(self, *, module: AnsibleModule) -> None:
        self._module = module
        self._module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}

    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        """See `CommandRunner.run`."""
        rc, stdout, stderr = self._module.run_command(list(argv), data=stdin, binary_data=True)
        result = CommandResult(argv=tuple(argv), rc=rc, stdout=stdout, stderr=stderr)
        if check and rc != 0:
            raise WebstackError(
                f"`{' '.join(argv)}` failed with exit code {rc}: {(stderr or stdout).strip()}",
                argv=list(argv),
                rc=rc,
                stdout=stdout,
                stderr=stderr,
            )
        return result
