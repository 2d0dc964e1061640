# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a dump from a host to the controller, a piece at a time: it may be larger than this machine's memory."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.manifest import MANIFEST_FILE, entries_of
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.verify import verify_copy

MIB = 1 << 20
# What the connection hands over in one answer is held in memory, more than once, while it grows.
PIECE = 4 * MIB
SHOWN_EVERY = 256 * MIB

ARGUMENTS: dict[str, t.Any] = {
    "path": {"type": "str", "required": True},
    "manifest": {"type": "dict", "required": True},
    "dest": {"type": "path", "required": True},
}


class ActionModule(ActionBase):
    """See the module documentation of ``mysql_dump_fetch``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

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
        result.update(changed=changed, path=str(folder), bytes=sum(entry["size"] for entry in lacking))
        return result

    def _fetch_all(self, entries: t.Sequence[t.Mapping[str, t.Any]], *, source: str, folder: Path) -> None:
        total, done = sum(entry["size"] for entry in entries), 0
        for entry in entries:
            place = f"{source}/{entry['file']}"
            digest = hashlib.sha256()

            def pieces(place: str = place, size: int = entry["size"], digest: t.Any = digest) -> t.Iterator[bytes]:
                nonlocal done
                for start in range(0, size, PIECE):
                    piece = self._read(place, start=start, size=min(PIECE, size - start))
                    digest.update(piece)
                    yield piece
                    before, done = done, done + len(piece)
                    if done // SHOWN_EVERY > before // SHOWN_EVERY:
                        Display().display(f"  fetched {done // MIB} of {total // MIB} MiB")

            target = folder / entry["file"]
            write(target, pieces())
            if digest.hexdigest() != entry["sha256"]:
                target.unlink()
                raise AnsibleActionFail(
                    f"{place} has the SHA-256 {digest.hexdigest()} instead of {entry['sha256']}: its content is"
                    " damaged, on the host or on the way here. It was not kept. Run the same command again; where that"
                    " does not help, take another dump: ansible-playbook phoenix.webstack.back_up_database"
                )

    def _read(self, place: str, *, start: int, size: int) -> bytes:
        """Read a piece of a file on the host; base64, since a connection may change line ends."""
        part = f"bs={MIB} skip={start // MIB} count={PIECE // MIB}"
        piece, said = self._run(f"dd if={shlex.quote(place)} {part} status=none | base64 --wrap=0")
        if len(piece) != size:
            raise AnsibleActionFail(
                f"{place} could not be read: {size} bytes were to come from byte {start} on, and {len(piece)} came."
                f" {said} Run the same command again; where that does not help, take another dump:"
                " ansible-playbook phoenix.webstack.back_up_database"
            )
        return piece

    def _run(self, command: str) -> tuple[bytes, str]:
        """Give what a command on the host prints as base64, and what it says beside that."""
        done = self._low_level_execute_command(command)
        said = done["stderr"].strip()
        if done["rc"] != 0:
            raise AnsibleActionFail(
                f"The dump could not be read on its host: {said or done['rc']}. Run the same command again: files that"
                " are here already stay."
            )
        return base64.b64decode(done["stdout"]), said


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
