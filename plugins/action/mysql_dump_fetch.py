# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a dump from a host to the controller, a piece at a time: it may be larger than this machine's memory.

Another host can have it at the same time, from the very same pieces. It is laid down there in a folder with a name of
its own, and gets its name once it is whole.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
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
from ansible_collections.phoenix.webstack.plugins.plugin_utils._connections import open_connection
from ansible_collections.phoenix.webstack.plugins.plugin_utils._mysql.pieces import (
    MIB,
    DumpMover,
    refuse_unwritten,
    variables_of,
)

if t.TYPE_CHECKING:
    from ansible.plugins.connection import ConnectionBase

ARGUMENTS: dict[str, t.Any] = {
    "path": {"type": "str", "required": True},
    "manifest": {"type": "dict", "required": True},
    "dest": {"type": "path", "required": True},
    "keep": {"type": "int", "default": 0},
    "keep_days": {"type": "int", "default": 0},
    "hand_to": {"type": "str"},
    "hand_to_path": {"type": "str"},
}
# Prints where the dump grows, and which files are there by their SHA-256, each in base64. The others are emptied.
LOOK = """\
folder={folder}; test -d "$folder" || folder=$folder.partial
mkdir -p -m 0700 "$folder" && cd "$folder" || exit 1
umask 077
tell() {{ printf %s "$1" | base64 --wrap=0; echo; }}
tell "$folder"
for each in {files}; do
  name=${{each#*:}}
  if test -f "$name" && test "$(sha256sum < "$name")" = "${{each%%:*}}  -"; then tell "$name"; else : > "$name"; fi
done
"""
FINISH = """\
umask 077; base64 --decode > {partial}/{name} && {{ test {partial} = {folder} || mv {partial} {folder}; }}
"""
Entries = t.Sequence[t.Mapping[str, t.Any]]


@dataclasses.dataclass(frozen=True)
class Taker:
    """Another host that gets the dump: where it goes there, where it grows until then, and which files it lacks."""

    host: str
    peer: ConnectionBase
    path: str
    partial: str
    lacking: set[str]


class ActionModule(DumpMover):
    """See the module documentation of ``mysql_dump_fetch``."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Fetch what is not here yet; the manifest comes last, so that a folder with one holds the whole dump."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS, required_together=[("hand_to", "hand_to_path")])
        folder, entries = Path(args["dest"]), entries_of(args["manifest"])
        lacking = [entry for entry in entries if verify_copy(path=folder / entry["file"], entry=entry)]
        manifest = folder / MANIFEST_FILE
        changed = bool(lacking) or not holds(manifest, args["manifest"])
        if not self._task.check_mode:
            taker = self._meet_taker(args, entries, task_vars or {}) if args["hand_to"] else None
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._move(entries, lacking, args=args, taker=taker)
                if changed:
                    text, _said = self._run(f"base64 --wrap=0 {shlex.quote(args['path'])}/{MANIFEST_FILE}")
                    write(manifest, [text])
            except OSError as error:
                raise AnsibleActionFail(
                    f"{error.filename or folder} on the controller: {error.strerror}. The dump is still whole on its"
                    " host. Make room or name another folder, and run the same command again: what is here stays."
                ) from error
            changed |= bool(taker and self._finish(taker, manifest.read_bytes()))
        expired = self._remove_expired(folder.parent, args) if not self._task.check_mode else []
        result.update(
            changed=changed or bool(expired),
            path=str(folder),
            bytes=sum(entry["size"] for entry in lacking),
            removed_sets=expired,
        )
        return result

    def _move(self, entries: Entries, lacking: Entries, *, args: t.Mapping[str, t.Any], taker: Taker | None) -> None:
        """Bring files here, and to the other host, each as far as it lacks there."""
        folder = Path(args["dest"])
        if lacking:
            (folder / MANIFEST_FILE).unlink(missing_ok=True)
        total = sum(entry["size"] for entry in lacking)
        for entry in entries:
            here = folder / entry["file"]
            pieces = read(here)
            if entry in lacking:
                pieces = self._pieces(entry, source=args["path"], total=total, verb="fetched")
            with contextlib.ExitStack() as stack:
                if taker and entry["file"] in taker.lacking:
                    target = f"{taker.partial}/{entry['file']}"
                    put = stack.enter_context(self._writing(taker.peer, target=target, host=taker.host))
                    pieces = passing(pieces, put)
                if entry in lacking:
                    write(here, pieces)
                else:
                    collections.deque(pieces, maxlen=0)

    def _meet_taker(self, args: t.Mapping[str, t.Any], entries: Entries, task_vars: t.Mapping[str, t.Any]) -> Taker:
        """Connect to the other host, and see what it lacks."""
        host, path = args["hand_to"], args["hand_to_path"]
        variables = variables_of(host, task_vars)
        peer = open_connection(host=host, variables=variables, task=self._task, play_context=self._play_context)
        wanted = " ".join(shlex.quote(f"{entry['sha256']}:{entry['file']}") for entry in entries)
        with self._at(peer, host):
            said = self._low_level_execute_command(LOOK.format(folder=shlex.quote(path), files=wanted))
        lines = str(said["stdout"]).split()
        if said["rc"] != 0 or not lines:
            refuse_unwritten(path, host=host, said=said["stderr"].strip() or str(said["rc"]))
        partial, *whole = [base64.b64decode(line).decode() for line in lines]
        lacking = {entry["file"] for entry in entries} - set(whole)
        return Taker(host=host, peer=peer, path=path, partial=partial, lacking=lacking)

    def _finish(self, taker: Taker, manifest: bytes) -> bool:
        """Give the other host the manifest, and the folder its name.

        :returns: Whether it lacked anything.
        """
        if taker.partial == taker.path and not taker.lacking:
            return False
        command = FINISH.format(partial=shlex.quote(taker.partial), folder=shlex.quote(taker.path), name=MANIFEST_FILE)
        with self._at(taker.peer, taker.host):
            said = self._low_level_execute_command(command, in_data=base64.b64encode(manifest))
        if said["rc"] != 0:
            refuse_unwritten(taker.path, host=taker.host, said=said["stderr"].strip() or str(said["rc"]))
        return True

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


def read(path: Path) -> t.Iterator[bytes]:
    """Read a file a piece at a time."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(MIB), b"")


def passing(pieces: t.Iterator[bytes], put: t.Callable[[bytes], object]) -> t.Iterator[bytes]:
    """Give pieces on, and each to somebody else as well."""
    for piece in pieces:
        put(piece)
        yield piece


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
