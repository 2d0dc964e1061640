# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a dump from a host to the controller, a piece at a time: it may be larger than this machine's memory."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import retention
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.manifest import MANIFEST_FILE, entries_of
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.verify import verify_copy
from ansible_collections.phoenix.webstack.plugins.plugin_utils._mysql.pieces import DumpReader

ARGUMENTS: dict[str, t.Any] = {
    "path": {"type": "str", "required": True},
    "manifest": {"type": "dict", "required": True},
    "dest": {"type": "path", "required": True},
    "keep": {"type": "int", "default": 0},
    "keep_days": {"type": "int", "default": 0},
}


class ActionModule(DumpReader):
    """See the module documentation of ``mysql_dump_fetch``."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Fetch what is not here yet; the manifest comes last, so that a folder with one holds the whole dump."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        folder, entries = Path(args["dest"]), entries_of(args["manifest"])
        lacking = [entry for entry in entries if verify_copy(path=folder / entry["file"], entry=entry)]
        manifest = folder / MANIFEST_FILE
        changed = bool(lacking) or not holds(manifest, args["manifest"])
        if changed and not self._task.check_mode:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                manifest.unlink(missing_ok=True)
                self._fetch_all(lacking, source=args["path"], folder=folder)
                text, _said = self._run(f"base64 --wrap=0 {shlex.quote(args['path'])}/{MANIFEST_FILE}")
                write(manifest, [text])
            except OSError as error:
                raise AnsibleActionFail(
                    f"{error.filename or folder} on the controller: {error.strerror}. The dump is still whole on its"
                    " host. Make room or name another folder, and run the same command again: what is here stays."
                ) from error
        expired = self._remove_expired(folder.parent, args) if not self._task.check_mode else []
        result.update(
            changed=changed or bool(expired),
            path=str(folder),
            bytes=sum(entry["size"] for entry in lacking),
            removed_sets=expired,
        )
        return result

    def _fetch_all(self, entries: t.Sequence[t.Mapping[str, t.Any]], *, source: str, folder: Path) -> None:
        total = sum(entry["size"] for entry in entries)
        for entry in entries:
            write(folder / entry["file"], self._pieces(entry, source=source, total=total, verb="fetched"))

    @staticmethod
    def _remove_expired(folder: Path, args: t.Mapping[str, t.Any]) -> list[str]:
        """Remove older dumps of the same host and databases, as far as they may go, and name them."""
        return retention.prune(
            directory=folder,
            host=args["manifest"]["host"],
            databases=list(args["manifest"]["databases"]),
            keep=args["keep"],
            keep_days=args["keep_days"],
            now=datetime.datetime.now(tz=datetime.timezone.utc),
        )


def holds(path: Path, manifest: t.Mapping[str, t.Any]) -> bool:
    """Tell whether a file holds this manifest."""
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")) == manifest)
    except (OSError, ValueError):
        return False


def write(path: Path, pieces: t.Iterable[bytes]) -> None:
    """Write a file that its owner alone may read, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
