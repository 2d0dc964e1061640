# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands and files, as the program on the host uses them."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

ENVIRONMENT = {
    "LC_ALL": "C",
    "LANGUAGE": "C",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND": "noninteractive",
}
NOT_RUN = 127  # as a shell says of a command that is not there
TOO_LONG = 124  # as timeout(1) says


class HostRunner:
    """A `CommandRunner` without Ansible. No command may take for ever: the guard must go on to the next."""

    def __init__(self, *, timeout: float = 10.0) -> None:
        self._timeout = timeout
        self.starved = False  # the kernel would start no further process

    def run(
        self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True, timeout: float | None = None
    ) -> CommandResult:
        """See `CommandRunner.run`; a command that is missing or takes too long has an exit code as well."""
        try:
            done = subprocess.run(
                list(argv),
                input=stdin if stdin is not None else "",
                env=ENVIRONMENT,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout or self._timeout,
                check=False,
            )
            result = CommandResult(argv=tuple(argv), rc=done.returncode, stdout=done.stdout, stderr=done.stderr)
        except OSError as error:
            self.starved = self.starved or error.errno in (errno.EAGAIN, errno.ENOMEM)
            result = CommandResult(argv=tuple(argv), rc=NOT_RUN, stdout="", stderr=str(error))
        except subprocess.TimeoutExpired:
            result = CommandResult(argv=tuple(argv), rc=TOO_LONG, stdout="", stderr="it took too long")
        if check and result.rc != 0:
            raise WebstackError(
                f"`{' '.join(argv)}` failed with exit code {result.rc}: {(result.stderr or result.stdout).strip()}"
            )
        return result

    def try_to_start(self) -> None:
        """See whether the kernel would start a process, at a tenth of the cost of a command."""
        try:
            os.waitpid(os.posix_spawn("/bin/true", ["true"], ENVIRONMENT), 0)
        except OSError as error:
            self.starved = self.starved or error.errno in (errno.EAGAIN, errno.ENOMEM)


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone.

    One by one: mkdir(2) gives its mode to the last of several only.
    """
    for each in (*reversed(folder.parents), folder):
        each.mkdir(mode=0o700, exist_ok=True)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
    """Replace a file in one step: a reader finds the old or the new content, whatever dies meanwhile."""
    make_private(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), uid, gid)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
