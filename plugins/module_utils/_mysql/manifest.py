# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a dump set: what was dumped, from where, and what it must be once restored."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

SCHEMA = "phoenix.webstack.dump/3"
MANIFEST_FILE = "manifest.json"
PARTIAL_SUFFIX = ".partial"
LOGICAL, PHYSICAL = METHODS = ("logical", "physical")
# Who has asked for a dump. Each removes the old ones of its own alone.
REQUEST, SCHEDULE = ("request", "schedule")
# The file of a physical set.
SERVER_FILE = "server.zst"
# What came after a dump is described like a physical set: one file for all of the server.
CHANGES = "changes"
CHANGES_FILE = "binlog.zst"
# The parts of a database in the order in which they are loaded.
SCHEMA_PART, DATA_PART, ROUTINES_PART, VIEWS_PART = PARTS = ("schema", "data", "routines", "views")

Manifest = t.Dict[str, t.Any]  # noqa: UP006 -- evaluated at run time, Python 3.8 on hosts

_SET_KEYS: dict[str, type] = {
    "id": str,
    "host": str,
    "engine": str,
    "version": str,
    "started_at": str,
    "snapshot_at": str,
    "finished_at": str,
    "method": str,
    "databases": dict,
}
_DATABASE_KEYS: dict[str, type] = {
    "files": list,
    "charset": str,
    "collation": str,
    "tables": dict,
    "objects": dict,
}
_SERVER_KEYS: dict[str, type] = {"file": str, "size": int, "sha256": str, "bytes": int}
_FILE_KEYS: dict[str, type] = {"part": str, "file": str, "size": int, "sha256": str}

_SHOWN = 10


def parse_manifest(*, text: str, origin: str) -> Manifest:
    """Read a manifest and hold it against its schema.

    :arg origin: Its path, for the message.
    :raises WebstackError: No JSON, an unknown schema, or a key that is missing or of another type.
    """
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise WebstackError(f"{origin} is damaged: it is no JSON ({error}).") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema != SCHEMA:
        raise WebstackError(
            f"{origin} has the schema `{schema}`; this version of the collection reads `{SCHEMA}`. "
            "Dump anew, or use the version of the collection that wrote it.",
        )
    problems = _missing(value=manifest, keys=_SET_KEYS, where="the dump set")
    for name, database in manifest.get("databases", {}).items() if not problems else ():
        problems += _missing(value=database, keys=_DATABASE_KEYS, where=f"database `{name}`")
        problems += _file_entry_problems(name=name, database=database) if not problems else []
        problems += _table_problems(name=name, database=database) if not problems else []
    if not problems and manifest["method"] == PHYSICAL:
        problems = _missing(value=manifest.get("server"), keys=_SERVER_KEYS, where="the copy of the server")
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise WebstackError(f"{origin} is damaged: {'; '.join(problems[:_SHOWN])}{more}.")
    return manifest


def _missing(*, value: t.Any, keys: dict[str, type], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is not described"]
    return [
        f"{where} has no valid `{key}`"
        for key, kind in keys.items()
        if not isinstance(value.get(key), kind) or isinstance(value.get(key), bool)
    ]


def _file_entry_problems(*, name: str, database: dict[str, t.Any]) -> list[str]:
    """Files without their size and checksum, of an unknown part, or with a name that leads out of the set."""
    problems = []
    for number, entry in enumerate(database["files"], 1):
        problems += _missing(value=entry, keys=_FILE_KEYS, where=f"file {number} of database `{name}`")
        if problems:
            return problems
        if not re.fullmatch(r"[^/\0]+", entry["file"]) or entry["file"] in (".", ".."):
            problems.append(f"database `{name}` names the file `{entry['file']}` outside of the set")
        if entry["part"] not in PARTS:
            problems.append(f"file {number} of database `{name}` is of the unknown part `{entry['part']}`")
    return problems


def _table_problems(*, name: str, database: dict[str, t.Any]) -> list[str]:
    """Tables without their rows and checksum."""
    return [
        f"table `{name}`.`{table}` has no valid rows and checksum"
        for table, entry in database["tables"].items()
        if not isinstance(entry, dict)
        or not isinstance(entry.get("rows"), int)
        or not re.fullmatch(r"[0-9a-f]{16}", str(entry.get("checksum")))
    ]


def read_manifest(*, directory: Path) -> Manifest:
    """Read the manifest of the dump set in a directory.

    :raises WebstackError: It is missing, unreadable or damaged; the message says which and what to do.
    """
    return parse_manifest(text=_read(directory), origin=str(directory / MANIFEST_FILE))


def read_json(*, directory: Path) -> Manifest:
    """Read a manifest without a schema of its own.

    :raises WebstackError: It is missing, unreadable, or no JSON object.
    """
    try:
        found = json.loads(_read(directory))
    except ValueError as error:
        raise WebstackError(f"{directory / MANIFEST_FILE} is damaged: it is no JSON ({error}).") from error
    if not isinstance(found, dict):
        raise WebstackError(f"{directory / MANIFEST_FILE} is damaged: it is no JSON object.")
    return found


def _read(directory: Path) -> str:
    path = directory / MANIFEST_FILE
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WebstackError(
            f"{directory} has no {MANIFEST_FILE}: it is no dump set, or only a part of one.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise WebstackError(f"{path} cannot be read: {error}.") from error


def is_partial(directory: Path) -> bool:
    """Whether a directory is a set that was never finished."""
    return directory.name.endswith(PARTIAL_SUFFIX)


def file_problems(*, directory: Path, manifest: Manifest, databases: t.Iterable[str]) -> list[str]:
    """What is wrong with the sizes of a set's files, cheaply (contents are the verifier's business)."""
    problems = []
    entries = [manifest["server"]] if manifest["method"] == PHYSICAL else []
    for entry in entries + [entry for name in databases for entry in manifest["databases"][name]["files"]]:
        path = directory / entry["file"]
        if not path.is_file():
            problems.append(f"{path} is missing.")
        elif path.stat().st_size != entry["size"]:
            problems.append(
                f"{path} has {path.stat().st_size} bytes instead of {entry['size']}: it is cut off or was changed.",
            )
    return problems


def part_file(name: str, part: str) -> str:
    """The file of a part of a database within its set; bytes that a file name cannot hold are percent-encoded."""
    safe = re.sub(r"[^A-Za-z0-9_-]", lambda match: "".join(f"%{byte:02X}" for byte in match.group().encode()), name)
    return f"{safe}.{part}.sql.zst"


def files_of(manifest: Manifest) -> list[str]:
    """Names of all the files of a set, the manifest first: what has to be copied to have the set elsewhere."""
    return [MANIFEST_FILE, *(entry["file"] for entry in entries_of(manifest))]


def entries_of(manifest: Manifest) -> list[dict[str, t.Any]]:
    """The files of a set beside the manifest, each with its ``file`` (name), ``size`` in bytes and ``sha256``."""
    server = [manifest["server"]] if manifest["method"] in (PHYSICAL, CHANGES) else []
    return [*server, *(entry for each in manifest["databases"].values() for entry in each["files"])]


def describe_set(*, path: Path) -> dict[str, t.Any]:
    """A dump set with its manifest and what is wrong with it (if anything).

    Validity here means: the manifest reads, and every file is there with its size.
    """
    entry: dict[str, t.Any] = {"id": path.name, "path": str(path), "manifest": None}
    if is_partial(path):
        problems = [f"{path} is the remains of a dump that never finished."]
    else:
        try:
            manifest = entry["manifest"] = read_manifest(directory=path)
            problems = file_problems(directory=path, manifest=manifest, databases=manifest["databases"])
        except WebstackError as error:
            problems = [error.message]
    return {**entry, "problems": problems, "valid": not problems}


def list_sets(*, directory: Path) -> list[dict[str, t.Any]]:
    """The finished dump sets of a directory, newest first."""
    found = [
        describe_set(path=path)
        for path in sorted(directory.iterdir() if directory.is_dir() else [], reverse=True)
        if path.is_dir() and not is_partial(path) and not path.name.startswith(".")
    ]
    return sorted(found, key=lambda entry: (entry["manifest"] or {}).get("snapshot_at", entry["id"]), reverse=True)
