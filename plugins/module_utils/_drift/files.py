# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, trees of files and folders: whether they are as a role wants them."""

from __future__ import annotations

import hashlib
import os
import stat
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils import _files
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import (
    EXTRA,
    Difference,
    Item,
    compare_seen,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.around import Around

Entries = t.Sequence[t.Mapping[str, t.Any]]
PARTS = {"digest": "content", "mode": "mode", "uid": "owner", "gid": "group"}
LARGEST = 4 * 1024 * 1024  # bytes of a watched file that are read


def observe_files(entries: Entries, _around: Around) -> t.Iterator[Item]:
    """Compare files with their wanted content, owner, group and mode."""
    for entry in entries:
        yield Item(
            key=f"file:{entry['path']}",
            wanted={key: value for key, value in entry.items() if key != "validate"},
            differences=tuple(_file_differences(entry)),
        )


def _file_differences(entry: t.Mapping[str, t.Any]) -> t.Iterator[Difference]:
    path = Path(entry["path"])
    try:
        has = _files.look(path)
    except WebstackError:
        yield Difference(f"{path} is no file", path=str(path))
        return
    text = entry["content"] if entry["secret_content"] is None else entry["secret_content"]
    digest = entry["sha256"] or _files.digest_of((text or "").encode("utf-8", "surrogateescape"))
    wants = _files.wanted(entry, digest=digest, check_mode=True)
    if has == wants:
        return
    if not has.digest:
        what = f"{path} does not exist"
    elif has.link:
        what = f"{path} is a link to {has.link}"
    else:
        parts = [words for name, words in PARTS.items() if getattr(has, name) != getattr(wants, name)]
        what = f"{path} differs in {', '.join(parts)}"
    # Of a secret, and of a file whose wanted text is not here, only the rest can be shown.
    shown = entry["content"] is not None
    before = _describe(has, _text(path) if shown else "")
    yield Difference(what, before=before, after=_describe(wants, (text or "") if shown else ""), path=str(path))


def _describe(face: _files.Face, text: str) -> str:
    if not face.digest:
        return ""
    return f"# mode {face.mode:04o}, owner {face.uid}, group {face.gid}\n{text}"


def _walk(root: Path) -> t.Iterator[Path]:
    for parent, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(parent, name) for name in names)


def observe_folders(entries: Entries, around: Around) -> t.Iterator[Item]:
    """Look for files that a service reads and that neither a role nor a package has put there."""
    for entry in entries:
        found = sorted(Path(entry["path"]).glob(entry["pattern"]))
        paths = [path for path in found if path.is_symlink() or (path.is_file() and "__pycache__" not in path.parts)]
        strangers = [path for path in paths if str(path) not in around.managed and not around.packaged(str(path))]
        yield Item(
            key=f"folder:{entry['path']}",
            differences=tuple(
                Difference(
                    f"{path} is read as well, and no role has put it there",
                    EXTRA,
                    key=f"file:{path}",
                    before=_text(path),
                    path=str(path),
                )
                for path in strangers
            ),
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size < LARGEST else ""
    except OSError:
        return ""


def observe_watched(patterns: t.Sequence[str], around: Around) -> t.Iterator[Item]:
    """Compare files that packages or people have put there with what they were at the last apply."""
    for pattern in patterns:
        now = {
            str(path): face
            for path in _matching(pattern)
            if str(path) not in around.managed
            for face in [_face(path)]
            if face
        }
        key = f"watched:{pattern}"
        before = around.record.seen.get(key)
        found = [] if before is None else compare_seen(before=before, now=now, title="File", key="file")
        yield Item(key=key, seen=now, differences=tuple(found))


def _matching(pattern: str) -> t.Iterator[Path]:
    for path in sorted(Path("/").glob(pattern.lstrip("/"))):
        if path.is_dir() and not path.is_symlink():
            yield from sorted(_walk(path))
        else:
            yield path


def _face(path: Path) -> str:
    """Tell a file from another in one line: a digest of its content, mode, owner and group."""
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            return f"-> {path.readlink()}"
        if not stat.S_ISREG(found.st_mode):
            return ""
        content = hashlib.sha256(path.read_bytes()).hexdigest()[:16] if found.st_size < LARGEST else str(found.st_size)
        return f"{content} {stat.S_IMODE(found.st_mode):04o} {found.st_uid}:{found.st_gid}"
    except FileNotFoundError:
        return ""
