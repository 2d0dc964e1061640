# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders as they are and as they have to be."""

from __future__ import annotations

import dataclasses
import grp
import hashlib
import os
import pwd
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

UNKNOWN = -1  # a user who was only announced (check mode) has no number yet
FOLDER = "folder"


@dataclasses.dataclass(frozen=True)
class Face:
    """What decides whether a file is as wanted.

    :arg digest: The SHA-256 of its content, V(folder) for a folder, empty where there is nothing.
    :arg mode: Its permissions; with the numbers of its owner and its group.
    :arg link: Where it is, if a link to it stands in its place. No file that is wanted is one.
    """

    digest: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    link: str = ""


def digest_of(content: bytes) -> str:
    """Give the SHA-256 of something as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def replace_file(path: Path, content: bytes, *, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Put a file in place in one step, nobody's to read before it is whole; where that fails, the old one stays.

    :arg owner: The numbers of its user and its group; without them it belongs to this process's.
    :raises OSError: when it could not be written.
    """
    handle, name = tempfile.mkstemp(dir=str(path.parent), prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def look(path: Path, *, folder: bool = False) -> Face:
    """Read a file or a folder as it is.

    :raises WebstackError: when something else has its name.
    """
    if not path.exists() and not path.is_symlink():
        return Face("")
    if path.is_dir() != folder or not (folder or path.is_file()):
        kind = "folder" if folder else "file"
        raise WebstackError(f"{path} is no {kind}. Nothing was changed. Move it away and run again.", path=str(path))
    found = path.stat()
    digest = FOLDER if folder else digest_of(path.read_bytes())
    link = str(path.readlink()) if path.is_symlink() and not folder else ""
    return Face(digest, found.st_mode & 0o7777, found.st_uid, found.st_gid, link)


def wanted(entry: t.Mapping[str, t.Any], *, digest: str, check_mode: bool) -> Face:
    """Give a file or a folder as it has to be.

    :raises WebstackError: when its owner, group or mode means nothing on this host.
    """
    try:
        return Face(
            digest,
            int(entry["mode"], 8),
            _number(lambda: pwd.getpwnam(entry["owner"]).pw_uid, check_mode=check_mode),
            _number(lambda: grp.getgrnam(entry["group"]).gr_gid, check_mode=check_mode),
        )
    except (KeyError, ValueError) as error:
        raise WebstackError(
            f"{entry['path']} cannot belong to {entry['owner']}:{entry['group']} with mode {entry['mode']}: {error}. "
            "Nothing was changed.",
            path=entry["path"],
        ) from error


def _number(look_up: t.Callable[[], int], *, check_mode: bool) -> int:
    try:
        return look_up()
    except KeyError:
        if check_mode:
            return UNKNOWN
        raise
