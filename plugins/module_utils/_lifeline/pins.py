# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that somebody spoils again and again, pinned to what they were when a login last worked.

A good copy is mounted over the file, to be read only: whoever writes to it, replaces or removes it is refused by the
kernel. Where the file must not be there, a socket takes its place, which nobody can open.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import stat
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.mounts import FLAGS, MNT_DETACH
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import make_private, write_atomically

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.files import Entry

# What keeps everybody out by being there. Others may not be a socket: sshd refuses a drop-in that it cannot read.
NOLOGIN = ("/etc/nologin", "/run/nologin")


def mount(source: Path | None, target: Path, *options: str) -> None:
    """Mount by a system call: no program is needed.

    :raises OSError: when the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(sum(FLAGS[option] for option in options))
    if libc.mount(os.fsencode(source) if source else None, os.fsencode(target), None, flags, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))


class Pins:
    """The files that are pinned, as long as this process knows of them."""

    def __init__(self, *, folder: Path = paths.PINNED) -> None:
        self._folder = folder
        self._until: dict[str, float] = {}

    def pin(self, path: str, *, good: Entry | None, content: bytes | None, seconds: float) -> bool:
        """Pin a file for a time, and tell whether that was done.

        :arg good: What it was, None for nothing: then it has to be one of `NOLOGIN`.
        :arg content: What it held; None for what is no file.
        """
        if path in self._until or (content is None and (good is not None or path not in NOLOGIN)):
            return False
        target, copy = Path(path), self._folder / hashlib.sha256(path.encode()).hexdigest()
        if good is None or content is None:
            make_socket(copy)
            # Whoever takes off what is mounted, or boots, finds one below as well, and is let in.
            make_socket(target)
        else:
            write_atomically(copy, content, mode=good.mode, uid=good.uid, gid=good.gid)
        mount(copy, target, "bind")
        mount(None, target, "remount", "bind", "ro")
        self._until[path] = time.monotonic() + seconds
        return True

    def release(self, *, overdue: bool = False) -> list[str]:
        """Let files be what they are again, all or those whose time is over; return their paths."""
        now = time.monotonic()
        released = [path for path, until in self._until.items() if not overdue or now > until]
        for path in released:
            del self._until[path]
            unpin(Path(path))
        return released


def make_socket(path: Path) -> None:
    """Put a socket in the place of a file."""
    make_private(path.parent)
    path.unlink(missing_ok=True)
    os.mknod(path, stat.S_IFSOCK | 0o600)


def unpin(target: Path) -> None:
    """Take off what is mounted over a file, and the socket below it."""
    ctypes.CDLL(None).umount2(os.fsencode(target), MNT_DETACH)
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(target.lstat().st_mode):
            target.unlink()


def unpin_all(mounted: t.Iterable[str]) -> None:
    """Take off what an earlier guard has left.

    :arg mounted: Where pins are mounted.
    """
    for point in mounted:
        unpin(Path(point))
    for path in NOLOGIN:
        unpin(Path(path))
