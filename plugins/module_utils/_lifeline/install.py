# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on their way to the host, the way back, and what makes them count."""

from __future__ import annotations

import contextlib
import fcntl
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import login, paths
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import write_atomically

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

AS_SERVICE = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect"]

Wanted = t.Mapping[Path, t.Tuple[str, int]]  # noqa: UP006 (evaluated on Python 3.8)


def text_of(path: Path) -> str:
    """Return a file's text, none where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def differing(wanted: Wanted) -> list[Path]:
    """Return the files that are not as they have to be."""
    return sorted(path for path, (text, mode) in wanted.items() if _differs(path, text, mode))


def _differs(path: Path, text: str, mode: int) -> bool:
    try:
        found = path.lstat()
        return found.st_mode & 0o7777 != mode or found.st_uid != 0 or path.read_bytes() != text.encode()
    except OSError:
        return True


@contextlib.contextmanager
def without_interference() -> t.Iterator[None]:
    """Have a guard that runs leave files alone meanwhile: half of a new version is no fault.

    The kernel takes the lock back when this process dies, however it does.
    """
    with paths.INSTALLING.open("w", encoding="utf-8") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def write_all(files: Wanted) -> t.Callable[[], None]:
    """Write files, and return what takes them back."""
    before = {path: (path.read_bytes(), path.stat().st_mode & 0o7777) if path.is_file() else None for path in files}
    for path, (text, mode) in files.items():
        # Everybody may read them, root alone may change them.
        for folder in reversed(path.parents):
            folder.mkdir(mode=0o755, exist_ok=True)
        write_atomically(path, text.encode(), mode=mode)

    def undo() -> None:
        for path, earlier in before.items():
            if earlier is None:
                path.unlink(missing_ok=True)
            else:
                write_atomically(path, earlier[0], mode=earlier[1])

    return undo


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
