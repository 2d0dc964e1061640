# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration on disk: reading it, trying a candidate out, writing it in one step."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import parse
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.pending import Pending

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

_MODE = 0o644
_LOCK_TRY = 0.2


class Store:
    """One service's file, ``<directory>/<name>.cfg``, and what belongs to it.

    :arg directory: What HAProxy reads beside its main file: every ``*.cfg`` in it but hidden ones.
    """

    def __init__(self, *, directory: str, name: str) -> None:
        self.directory = Path(directory)
        self.path = self.directory / f"{name}.cfg"
        # HAProxy passes hidden files by (2.6 and 3.0).
        self._pending = self.directory / f".{name}.pending"
        # One for all services: they share the process that is reloaded.
        self.lease_path = self.directory / ".lease"

    def read(self) -> str | None:
        """Give the service's file, None when there is none."""
        return _read(self.path)

    def write(self, text: str | None) -> None:
        """Put the service's file in place in one step; None takes it away."""
        _replace(self.path, text)

    def pending(self) -> Pending | None:
        """Tell what a run that was cut off had begun."""
        text = _read(self._pending)
        return None if text is None else Pending.load(text)

    def read_lease(self) -> str | None:
        """Give the text of the balancer's lease, None when nobody has it."""
        return _read(self.lease_path)

    def write_lease(self, text: str | None) -> None:
        """Put the lease in place; None takes it away."""
        _replace(self.lease_path, text)

    def begin(self, pending: Pending) -> None:
        """Note what is about to be done, before the first step of it."""
        for left in (*self.directory.glob(f".{self.path.name}.*"), *self.directory.glob(f"{self._pending.name}.*")):
            left.unlink()  # half a file, of a run that was cut off
        _replace(self._pending, pending.dump())

    def end(self) -> None:
        """Note that everything is done, or put back."""
        _replace(self._pending, None)

    @contextlib.contextmanager
    def lock(self, *, timeout: float) -> t.Iterator[None]:
        """Keep other runs on this host out; the kernel lets go when this one dies."""
        handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(handle, directory=self.directory, deadline=time.monotonic() + timeout)
            yield
        finally:
            os.close(handle)

    def validate(self, text: str, *, runner: CommandRunner, binary: str, config_file: str) -> None:
        """Let HAProxy read the whole configuration as it would be with ``text`` in it.

        :raises WebstackError: with HAProxy's own words, the staged paths put back to the real ones.
        """
        staged = Path(tempfile.mkdtemp(prefix="webstack-haproxy-"))
        try:
            for other in self.directory.glob("[!.]*.cfg") if self.directory.is_dir() else ():
                shutil.copyfile(other, staged / other.name)
            (staged / self.path.name).write_text(text, encoding="utf-8")
            result = runner.run([binary, "-c", "-f", config_file, "-f", str(staged)], check=False)
        finally:
            shutil.rmtree(staged)
        if result.rc != 0:
            words = parse.alerts(result.stderr).replace(str(staged), str(self.directory))
            raise WebstackError(
                f"HAProxy does not accept the configuration with the new {self.path.name}: {words}."
                f" Nothing was changed. Next, on the balancer: {binary} -c -f {config_file} -f {self.directory}",
                stdout=result.stdout,
                stderr=result.stderr,
            )


def _lock(handle: int, *, directory: Path, deadline: float) -> None:
    while not _try_lock(handle):
        if time.monotonic() > deadline:
            raise WebstackError(
                f"Another run is changing HAProxy's configuration in {directory}. Nothing was changed."
                f" Next, on the balancer: fuser -v {directory}"
            )
        time.sleep(_LOCK_TRY)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _replace(path: Path, text: str | None) -> None:
    try:
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        else:
            _write(path, text)
        _sync(path.parent)
    except OSError as error:
        raise WebstackError(f"{path} cannot be written: {error.strerror or error}.") from error


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name.lstrip('.')}.", dir=str(path.parent))
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), _MODE)
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
