# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second server on a data directory of its own, for as long as something is tried out or proven.

It reads the host's own configuration, so that what starts here starts for real as well, but listens on a private
socket alone, writes no binary log and runs no events. It dies with the process that started it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session, connect, literal

SERVICE_USER = "mysql"
_START_TIMEOUT = 300.0
_STOP_TIMEOUT = 300.0
# A scratch server has a host's memory for itself no more than the live one leaves it.
_OVERRIDES = (
    "--skip-networking",
    "--skip-log-bin",
    "--event-scheduler=OFF",
    "--skip-slave-start",
    "--innodb-buffer-pool-size=128M",
    "--performance-schema=OFF",
    # What was just written is in the page cache: read from there, and not from the disk.
    "--loose-innodb-flush-method=fsync",
)
_MYSQL_OVERRIDES = ("--mysqlx=OFF",)


@dataclasses.dataclass(frozen=True)
class Scratch:
    """A running scratch server: its ``socket``, and how to open a session with it."""

    socket: str
    connect: t.Callable[[], Session]


def server_program(*, engine: str) -> str:
    """The server's program, wherever the distribution puts it."""
    names = ("mariadbd", "mysqld") if engine == "mariadb" else ("mysqld",)
    for name in names:
        found = shutil.which(name, path=f"/usr/sbin:/usr/libexec:{os.environ.get('PATH', '')}")
        if found:
            return found
    raise WebstackError(f"The server program {names[0]} is not installed on this host.")


def own_by_service(path: Path) -> None:
    """Give a tree to the account that servers run as."""
    account = pwd.getpwnam(SERVICE_USER)
    subprocess.run(["chown", "-R", f"{account.pw_uid}:{account.pw_gid}", str(path)], check=True)


def initialise(*, engine: str, directory: Path) -> None:
    """Make an empty data directory."""
    if engine == "mariadb":
        argv = ["mariadb-install-db", f"--datadir={directory}", f"--user={SERVICE_USER}", "--skip-test-db"]
    else:
        argv = [server_program(engine=engine), f"--datadir={directory}", f"--user={SERVICE_USER}"]
        argv += ["--initialize-insecure"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise WebstackError(f"A scratch data directory could not be made: {_last_lines(done.stdout + done.stderr)}")


@contextlib.contextmanager
def running(*, engine: str, directory: Path) -> t.Iterator[Scratch]:
    """Run a server on a data directory, and stop it cleanly at the end.

    :raises WebstackError: It does not start, or goes down by itself; with the last words of its log.
    """
    with tempfile.TemporaryDirectory(prefix="webstack-mysql-") as private:
        socket, log = f"{private}/socket", Path(private) / "error.log"
        log.touch()
        own_by_service(Path(private))
        overrides = _OVERRIDES + (_MYSQL_OVERRIDES if engine == "mysql" else ())
        argv = ["setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--init-groups", "--pdeathsig=KILL"]
        argv += [server_program(engine=engine), f"--datadir={directory}", f"--socket={socket}"]
        argv += [f"--pid-file={private}/pid", f"--log-error={log}", *overrides]
        with log.open("ab") as sink:
            server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        try:
            opened = functools.partial(connect, login_unix_socket=socket)
            _wait_until_ready(server=server, connect_to=opened, log=log)
            yield Scratch(socket=socket, connect=opened)
        finally:
            _stop(server)


def _wait_until_ready(*, server: subprocess.Popen[bytes], connect_to: t.Callable[[], Session], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(WebstackError):
            connect_to().close()
            return
        time.sleep(0.1)
    words = _last_lines(log.read_text(encoding="utf-8", errors="replace"))
    raise WebstackError(f"A server did not start on the restored data: {words}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _last_lines(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line]
    return " | ".join((errors or lines)[-3:])


def make_accounts(*, session: Session, accounts: t.Iterable[str]) -> None:
    """Make accounts (``name@host``) that cannot log in, so that objects which belong to them can be made."""
    for account in accounts:
        name, _at, host = account.rpartition("@")
        session.execute(f"CREATE USER IF NOT EXISTS {literal(name)}@{literal(host)} ACCOUNT LOCK")
