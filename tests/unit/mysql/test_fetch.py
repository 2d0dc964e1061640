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

from .conftest import make_connection

PLAY = types.SimpleNamespace(password=None)
LARGE = bytes(range(256)) * 20_000  # more than one piece, where a piece is a MiB


class Host:
    """The host's side: its shell is this machine's."""

    def __init__(self, transport: str) -> None:
        self.commands: list[str] = []
        self.connection, self.taker = make_connection(transport), make_connection(transport)
        self.action: t.Any = None

    def __call__(self, command: str, in_data: bytes | None = None) -> dict[str, t.Any]:
        self.commands.append(command)
        if self.action._connection not in (self.connection, self.taker):  # it wants to know how a command is run
            self.action._connection.exec_command(command)
            return {}
        given = in_data.decode() if in_data else None
        done = subprocess.run(["sh", "-c", command], input=given, capture_output=True, text=True, check=False)
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


@pytest.fixture(params=["local", "ssh"])
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(pieces, "PIECE", pieces.MIB)
    host = Host(request.param)
    monkeypatch.setattr(mysql_dump_fetch, "open_connection", lambda **_given: host.taker)
    return host


def fetch(
    host: Host, dump: Path, dest: Path, *, check_mode: bool = False, hand_to_path: Path | None = None
) -> dict[str, t.Any]:
    manifest = json.loads((dump / MANIFEST_FILE).read_text())
    handed = {"hand_to": "web-01", "hand_to_path": str(hand_to_path)} if hand_to_path else {}
    task = types.SimpleNamespace(
        args={"path": str(dump), "manifest": manifest, "dest": str(dest), **handed},
        check_mode=check_mode,
        async_val=0,
        action="mysql_dump_fetch",
        diff=False,
    )
    action = mysql_dump_fetch.ActionModule(
        task=task, connection=host.connection, play_context=PLAY, loader=None, templar=None, shared_loader_obj=None
    )
    action._low_level_execute_command, host.action = host, action
    return action.run(task_vars={"hostvars": {"web-01": {}}})


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
    streamed = host.connection.transport == "ssh"
    assert len(host.commands) == 1 + (2 if streamed else -(-len(LARGE) // pieces.MIB))

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


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_another_host_has_it_at_the_same_time(host: Host, dump: Path, tmp_path: Path) -> None:
    dest, there = tmp_path / "here", tmp_path / "the other's" / "incoming"
    assert fetch(host, dump, dest, hand_to_path=there)["changed"]
    assert content(dest) == content(there) == content(dump)
    assert [path.name for path in there.parent.iterdir()] == ["incoming"]
    assert there.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in there.iterdir()} == {0o600}
    assert not fetch(host, dump, dest, hand_to_path=there)["changed"]


def test_it_goes_on_where_it_was_cut_off(host: Host, dump: Path, tmp_path: Path) -> None:
    dest, there = tmp_path / "here", tmp_path / "incoming"
    fetch(host, dump, dest)
    partial = tmp_path / "incoming.partial"
    partial.mkdir()
    (partial / "shop.data.sql.zst").write_bytes(LARGE[:1000])
    (dump / "shop.data.sql.zst").unlink()  # it is here, so the host of the dump is not asked for it
    result = fetch(host, dump, dest, hand_to_path=there)
    assert (result["changed"], result["bytes"]) == (True, 0)
    assert content(there) == content(dest)
    assert not partial.exists()


def test_what_came_damaged_to_the_other_host_comes_again(host: Host, dump: Path, tmp_path: Path) -> None:
    there = tmp_path / "incoming"
    fetch(host, dump, tmp_path / "here", hand_to_path=there)
    (there / "shop.data.sql.zst").write_bytes(LARGE[:-1] + b"!")
    assert fetch(host, dump, tmp_path / "here", hand_to_path=there)["changed"]
    assert content(there) == content(dump)


def test_a_host_that_cannot_take_it_is_named(host: Host, dump: Path, tmp_path: Path) -> None:
    (tmp_path / "incoming.partial").write_text("a file in the place of the folder")
    with pytest.raises(AnsibleActionFail, match=r"(?s)incoming on web-01 could not be written: .*File exists"):
        fetch(host, dump, tmp_path / "here", hand_to_path=tmp_path / "incoming")


def test_a_host_whose_disk_is_full_leaves_nothing_here(host: Host, dump: Path, tmp_path: Path) -> None:
    partial, dest = tmp_path / "incoming.partial", tmp_path / "here"
    partial.mkdir()
    (partial / "shop.data.sql.zst").symlink_to("/dev/full")
    with pytest.raises(AnsibleActionFail, match=r"(?s)on web-01 could not be written: .*No space left on device"):
        fetch(host, dump, dest, hand_to_path=tmp_path / "incoming")
    assert not (tmp_path / "incoming").exists()
    assert sorted(content(dest)) == ["shop.schema.sql.zst"]
