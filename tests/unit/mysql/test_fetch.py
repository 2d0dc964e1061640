"""A dump comes to the controller piece by piece, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import subprocess
import types
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.phoenix.webstack.plugins.action import mysql_dump_fetch
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.manifest import MANIFEST_FILE, entries_of
from ansible_collections.phoenix.webstack.plugins.plugin_utils._mysql import pieces

LARGE = bytes(range(256)) * 20_000  # more than one piece, where a piece is a MiB


class Host:
    """The host's side: its shell is this machine's."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def __call__(self, command: str) -> dict[str, t.Any]:
        self.commands.append(command)
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        # What a terminal and a chatty ssh make of it.
        return {"rc": done.returncode, "stdout": done.stdout + "\r\n", "stderr": f"mux_client: hello\n{done.stderr}"}


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    """A folder with a dump on the host."""
    folder = tmp_path / "host" / "a dump"
    folder.mkdir(parents=True)
    contents = {"shop.schema.sql.zst": b"", "shop.data.sql.zst": LARGE}
    entries = []
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        entries.append({"file": name, "part": name, "size": len(content), "sha256": digest})
    manifest = {"host": "web-02", "method": "logical", "databases": {"shop": {"files": entries}}}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=3))
    return folder


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(pieces, "PIECE", pieces.MIB)
    return Host()


def fetch(host: Host, dump: Path, dest: Path, *, check_mode: bool = False) -> dict[str, t.Any]:
    manifest = json.loads((dump / MANIFEST_FILE).read_text())
    task = types.SimpleNamespace(
        args={"path": str(dump), "manifest": manifest, "dest": str(dest)},
        check_mode=check_mode,
        async_val=0,
        action="mysql_dump_fetch",
        diff=False,
    )
    connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir="unused"))
    action = mysql_dump_fetch.ActionModule(
        task=task, connection=connection, play_context=None, loader=None, templar=None, shared_loader_obj=None
    )
    action._low_level_execute_command = host
    return action.run(task_vars={})


def test_all_of_it_comes_and_nobody_else_may_read_it(host: Host, dump: Path, tmp_path: Path) -> None:
    dest = tmp_path / "here" / "dumps" / "one"
    assert fetch(host, dump, dest, check_mode=True)["changed"]
    assert not dest.exists()
    result = fetch(host, dump, dest)
    assert (result["changed"], result["bytes"]) == (True, len(LARGE))
    assert {path.name: path.read_bytes() for path in dest.iterdir()} == {
        path.name: path.read_bytes() for path in dump.iterdir()
    }
    assert dest.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in dest.iterdir()} == {0o600}
    assert len(host.commands) == 1 + -(-len(LARGE) // pieces.MIB)

    host.commands.clear()
    assert not fetch(host, dump, dest)["changed"]
    assert host.commands == []


def test_what_is_here_already_does_not_come_again(host: Host, dump: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dumps"
    fetch(host, dump, dest)
    (dest / MANIFEST_FILE).unlink()
    (dest / "shop.schema.sql.zst").write_bytes(b"something else")
    assert fetch(host, dump, dest)["bytes"] == 0  # the schema of this dump is empty
    assert (dest / "shop.schema.sql.zst").read_bytes() == b""


@pytest.mark.parametrize("spoil", ["change", "cut", "remove"])
def test_a_file_that_is_not_what_the_manifest_says_is_not_kept(
    host: Host, dump: Path, tmp_path: Path, spoil: str
) -> None:
    manifest = json.loads((dump / MANIFEST_FILE).read_text())
    data = dump / entries_of(manifest)[1]["file"]
    if spoil == "change":
        data.write_bytes(LARGE[:-1] + b"!")
    elif spoil == "cut":
        data.write_bytes(LARGE[:-5])
    else:
        data.unlink()
    with pytest.raises(AnsibleActionFail) as caught:
        fetch(host, dump, tmp_path / "dumps")
    words = {"change": "its content is damaged", "cut": "bytes were to come", "remove": "No such file"}[spoil]
    assert words in str(caught.value)
    assert sorted(path.name for path in (tmp_path / "dumps").iterdir()) == ["shop.schema.sql.zst"]


def test_a_full_disk_says_so(host: Host, dump: Path, tmp_path: Path) -> None:
    (tmp_path / "dumps").write_text("a file in the place of the folder")
    with pytest.raises(AnsibleActionFail, match=r"dumps on the controller: .*still whole on its host"):
        fetch(host, dump, tmp_path / "dumps")
