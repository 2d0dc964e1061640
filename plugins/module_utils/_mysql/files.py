# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a power cut, private directories, and locks that a killed process lets go of."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

CHUNK = 1024 * 1024


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ensure_private_directory(path: Path) -> None:
    """Create a directory for root alone; parents that are missing become ordinary ones."""
    for parent in reversed(path.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)


def hand_over(path: Path, *, like: Path) -> None:
    """Give a file, or a folder with what is in it, to whom another one belongs: what root writes among somebody's."""
    owner = like.stat()
    if owner.st_uid != os.geteuid():
        give(path, uid=owner.st_uid, gid=owner.st_gid)


def give(path: Path, *, uid: int, gid: int) -> None:
    """Give a file, or a folder with what is in it, to a user; no link that is put there meanwhile leads elsewhere."""
    os.chown(path, uid, gid, follow_symlinks=False)
    for _folder, folders, names, descriptor in os.fwalk(path, follow_symlinks=False):
        for name in (*folders, *names):
            os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)


def write_json(*, path: Path, value: t.Any) -> None:
    """Write a JSON file for root alone: whole and durable, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        json.dump(value, handle, indent=2, sort_keys=True)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(path)
    sync_directory(path.parent)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file as hexadecimal digits."""
    checksum = hashlib.sha256()
    with path.open("rb") as handle:
        for chunk in iter(lambda: handle.read(CHUNK), b""):
            checksum.update(chunk)
    return checksum.hexdigest()


def free_bytes(path: Path) -> int:
    """Space left for root on the file system of a path, or of its nearest existing parent."""
    while not path.exists():
        path = path.parent
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def human_size(size: float) -> str:
    """A size for people: ``3.2 MiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


@contextlib.contextmanager
def exclusive_lock(*, path: Path, what: str, patience: float = 30.0, turn: float = 0.0) -> t.Iterator[int]:
    """Hold a lock file while working; yields its descriptor, to be handed on to child processes.

    The kernel lets go of it when the last process holding it is gone. A child that survives its killed parent
    therefore still holds it: it is waited for, while another living run is refused, at once or after a while.

    :arg what: The work, as the subject of the refusal: ``Another restore``.
    :arg patience: Seconds to wait for the remains of a dead run.
    :arg turn: Seconds to wait for a living one.
    """
    # The folder may be another user's than this process's: no link there has it write elsewhere.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(descriptor=descriptor, path=path, what=what, patience=patience, turn=turn)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(*, descriptor: int, path: Path, what: str, patience: float, turn: float) -> None:
    begun = time.monotonic()
    while not _try_lock(descriptor):
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        alive = holder.isdigit() and Path(f"/proc/{holder}").exists()
        if time.monotonic() - begun >= (turn if alive else max(patience, turn)):
            raise WebstackError(
                f"{what} is running (process {holder or 'unknown'} holds {path}); nothing was changed. "
                f"Wait until it is done. To look at it: ps -fp {holder or 'PID'}",
            )
        time.sleep(0.2)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
