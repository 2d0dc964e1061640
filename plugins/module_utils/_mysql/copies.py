# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of other hosts' dumps: laid down file by file, and a dump once all of it was compared with its manifest."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import files, retention, verify
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests

# A copy that was written to within so many seconds is another run's, which goes on; one that was not for so many is
# that of a dump which nobody copies any more.
_BUSY_SECONDS = 20.0
_STALE_SECONDS = 24 * 3600.0
_MARGIN = 64 * 1024 * 1024


def partial_of(*, directory: Path, manifest: manifests.Manifest) -> Path:
    """Where a copy grows.

    :raises WebstackError: The manifest is none.
    """
    name = manifests.parse_manifest(text=json.dumps(manifest), origin="The manifest of the dump")["id"]
    if name in ("", ".", "..") or "/" in name:
        raise WebstackError(f"`{name}` is no name of a dump. Nothing was changed.")
    return directory / f"{name}{manifests.PARTIAL_SUFFIX}"


def is_here(*, directory: Path, manifest: manifests.Manifest) -> bool:
    """Tell whether a dump is here already, whole and the same."""
    found = manifests.describe_set(path=directory / manifest["id"])
    return bool(found["valid"] and found["manifest"] == manifest)


def begin(*, directory: Path, manifest: manifests.Manifest, check_mode: bool) -> list[str]:
    """Make room for a copy, and tell which files have to come; what an earlier run has left whole stays.

    :raises WebstackError: There is no room, or another run is at it.
    """
    partial = partial_of(directory=directory, manifest=manifest)
    if partial.is_dir():
        refuse_busy(partial)
    elif partial.with_name(manifest["id"]).is_dir() and not check_mode:
        partial.with_name(manifest["id"]).rename(partial)  # a damaged one: what of it is good stays
    entries = manifests.entries_of(manifest)
    lacking = [entry for entry in entries if verify.verify_copy(path=partial / entry["file"], entry=entry)]
    needed = sum(entry["size"] for entry in lacking) + _MARGIN
    free = files.free_bytes(directory)
    if free < needed:
        raise WebstackError(
            f"{directory} has {files.human_size(free)} left, and the copy needs {files.human_size(needed)}. Nothing "
            f"was copied. Free some space there. Look with: df -h {directory}",
        )
    if not check_mode:
        files.ensure_private_directory(directory)
        files.ensure_private_directory(partial)
        for entry in lacking:
            # They are appended to, piece by piece.
            descriptor = os.open(partial / entry["file"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.close(descriptor)
    return [entry["file"] for entry in lacking]


def refuse_busy(partial: Path) -> None:
    """Refuse a copy that is being written to."""
    age = _age(partial)
    if age < _BUSY_SECONDS:
        raise WebstackError(
            f"Another run copies this dump to {partial}, or did until {age:.0f} s ago. Nothing was changed. Run the "
            "same command again in half a minute: what is whole by then stays.",
        )


def _age(partial: Path) -> float:
    """Seconds since a copy was last written to."""
    return time.time() - max(path.stat().st_mtime for path in (partial, *partial.iterdir()))


def commit(
    *, directory: Path, manifest: manifests.Manifest, keep: int, keep_days: int, now: datetime.datetime
) -> list[str]:
    """Compare a copy with its manifest, give it its name, and remove those of its host whose time is over.

    :returns: The names of those that were removed.
    :raises WebstackError: It is not what the manifest says; it keeps its unfinished name.
    """
    partial = partial_of(directory=directory, manifest=manifest)
    entries = manifests.entries_of(manifest)
    problems = [each for entry in entries for each in verify.verify_copy(path=partial / entry["file"], entry=entry)]
    if problems:
        raise WebstackError(
            f"The copy is not what the dump's manifest says: {' '.join(problems)} It was not taken for a dump. Run the "
            "same command again: what is whole stays.",
            problems=problems,
        )
    for entry in entries:
        files.sync_file(partial / entry["file"])
    files.write_json(path=partial / manifests.MANIFEST_FILE, value=manifest)
    partial.rename(partial.with_name(manifest["id"]))
    files.sync_directory(directory)
    for stale in directory.glob(f"*{manifests.PARTIAL_SUFFIX}"):
        if _age(stale) > _STALE_SECONDS:
            shutil.rmtree(stale)
    return retention.prune(
        directory=directory,
        host=manifest["host"],
        databases=list(manifest["databases"]),
        keep=keep,
        keep_days=keep_days,
        now=now,
    )


ARGUMENTS: dict[str, t.Any] = {
    "path": {"type": "str", "required": True},
    "manifest": {"type": "dict", "required": True},
    "to": {"type": "str", "required": True},
    "dest": {"type": "path", "default": "/var/backups/webstack/mysql-copies"},
    "keep": {"type": "int", "default": 7},
    "keep_days": {"type": "int", "default": 7},
    "phase": {"type": "str", "choices": ["begin", "commit"]},
}
