# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace trees of files by their hashes, and send what the host lacks of them in one archive."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

if t.TYPE_CHECKING:
    from ansible.parsing.dataloader import DataLoader

Tree = t.Mapping[str, t.Any]
TREE: dict[str, t.Any] = {
    "src": {"type": "path", "required": True},
    "dest": {"type": "path", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "directory_mode": {"type": "str", "default": "0755"},
}
ARGUMENTS: dict[str, t.Any] = {
    "files": {"type": "list", "elements": "dict", "default": []},
    "trees": {"type": "list", "elements": "dict", "default": [], "options": TREE},
}


def walk(tree: Tree) -> tuple[list[str], dict[str, Path]]:
    """Find what is in a tree.

    :returns: Its folders on the host, from the top, and its files: path on the host, path here.
    :raises AnsibleActionFail: when there is no such folder.
    """
    source, target = Path(tree["src"]), Path(tree["dest"])
    if not source.is_dir():
        raise AnsibleActionFail(f"There is no folder {source} on the controller. Nothing was changed.")
    folders, files = [], {}
    for folder, names, found in os.walk(source, followlinks=True):
        names.sort()
        place = target / Path(folder).relative_to(source)
        folders.append(str(place))
        files.update({str(place / name): Path(folder) / name for name in sorted(found)})
    return folders, files


def hash_of(path: Path) -> str:
    """Give the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def pack(files: t.Mapping[str, Path], *, into: t.IO[bytes]) -> None:
    """Write files to an archive, under their paths on the host."""
    with tarfile.open(fileobj=into, mode="w:gz", compresslevel=3, dereference=True) as archive:
        for target, source in files.items():
            archive.add(source, arcname=target, recursive=False)
    into.flush()


class ActionModule(ActionBase):
    """See the module documentation of ``files``."""

    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Ask the host what it lacks, and send that."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        folders, entries, sources = self._expand(args["trees"], loader=self._loader)
        arguments = {"files": [*entries, *args["files"]], "folders": folders}
        answer = self._execute_module(module_args=arguments, task_vars=task_vars)
        missing = answer.get("missing")
        if missing:
            archive = self._send({path: sources[path] for path in missing})
            answer = self._execute_module(module_args={**arguments, "archive": archive}, task_vars=task_vars)
            self._remove_tmp_path(self._connection._shell.tmpdir)
        result.update(answer)
        return result

    @staticmethod
    def _expand(
        trees: t.Iterable[Tree], *, loader: DataLoader
    ) -> tuple[list[dict[str, str]], list[dict[str, str]], dict[str, Path]]:
        folders, entries, sources = [], [], {}
        for tree in trees:
            ownership = {"owner": tree["owner"], "group": tree["group"]}
            found, files = walk(tree)
            folders += [{"path": path, "mode": tree["directory_mode"], **ownership} for path in found]
            for path, source in files.items():
                sources[path] = Path(loader.get_real_file(str(source)))
                entries.append({"path": path, "sha256": hash_of(sources[path]), "mode": tree["mode"], **ownership})
        return folders, entries, sources

    def _send(self, files: t.Mapping[str, Path]) -> str:
        """Bring files to the host, and say where their archive is."""
        folder = self._make_tmp_path()
        archive = self._connection._shell.join_path(folder, "files.tar.gz")
        with tempfile.NamedTemporaryFile() as local:
            pack(files, into=local)
            self._transfer_file(local.name, archive)
        self._fixup_perms2((folder, archive))
        return str(archive)
