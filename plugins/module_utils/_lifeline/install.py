# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on their way to the host, the way back, and what makes them count."""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import login, paths

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

AS_SERVICE = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect"]


def text_of(path: Path) -> str:
    """Return a file's text, none where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def without_interference() -> t.Iterator[None]:
    """Have a guard that runs leave files alone meanwhile: half of a new version is no fault.

    The kernel takes the lock back when this process dies, however it does.
    """
    paths.RUNTIME.mkdir(mode=0o755, exist_ok=True)
    paths.RUNTIME.chmod(0o755)  # whatever the umask of the run is
    # Whoever may read a file may lock it.
    with os.fdopen(os.open(paths.INSTALLING, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def runs(*, runner: CommandRunner, unit: str) -> bool:
    """Tell whether a unit runs, now and after a boot."""
    argvs = (["systemctl", "is-active", "--quiet", unit], ["systemctl", "is-enabled", "--quiet", unit])
    return all(runner.run(argv, check=False).rc == 0 for argv in argvs)


def put_in_force(*, runner: CommandRunner, changed: t.Collection[Path], units: t.Sequence[str]) -> None:
    """Have what was written count, and prove that a login works with it.

    :raises WebstackError: when sshd refuses it, or a login fails.
    """
    runner.run(["systemctl", "daemon-reload"])
    if login.DROP_IN in changed:
        runner.run(["/usr/sbin/sshd", "-t"])
        reload_server(runner=runner)
    # The guard makes its key when it is asked whether a login works.
    # As a service, as which it runs later: within a login of its own another one is not always to be had.
    done = runner.run([*AS_SERVICE, str(paths.COMMAND), "accept"], check=False)
    if done.rc != 0:
        raise WebstackError(
            f"The guard would start on a host where a login fails. {done.stdout.strip() or done.stderr.strip()}."
            " Everything was put back. Correct that, or name other accounts in ssh_lifeline_accounts, and run again."
        )
    runner.run(["systemctl", "enable", "--quiet", *units])
    runner.run(["systemctl", "restart", *units])


def put_back_in_force(*, runner: CommandRunner) -> None:
    """Have count what was there before."""
    runner.run(["systemctl", "daemon-reload"], check=False)
    reload_server(runner=runner)


def reload_server(*, runner: CommandRunner) -> None:
    """Have a running sshd read its settings; its sessions go on."""
    runner.run(["systemctl", "try-reload-or-restart", "ssh.service"], check=False)
