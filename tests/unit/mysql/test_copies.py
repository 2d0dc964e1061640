"""A copy of another host's dump is laid down file by file, and is a dump only once it was compared."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import subprocess
import types
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.phoenix.webstack.plugins.action import mysql_dump_copy
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import copies
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.plugin_utils._mysql import pieces

from .conftest import make_connection

NOW = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.timezone.utc)
CONTENTS = {"shop.schema.sql.zst": b"schema", "shop.data-01.sql.zst": bytes(range(256)) * 5000}


@pytest.fixture
def dump(manifest: manifests.Manifest) -> manifests.Manifest:
    """The manifest of a dump with `CONTENTS`."""
    for entry in manifest["databases"]["shop"]["files"]:
        content = CONTENTS[entry["file"]]
        entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    return manifest


def lay_down(directory: Path, dump: manifests.Manifest, *, names: t.Iterable[str] = tuple(CONTENTS)) -> Path:
    partial = copies.partial_of(directory=directory, manifest=dump)
    for name in names:
        (partial / name).write_bytes(CONTENTS[name])
    return partial


def age(path: Path, *, seconds: float) -> None:
    moment = path.stat().st_mtime - seconds
    for each in (*path.iterdir(), path):
        os.utime(each, (moment, moment))


def commit(directory: Path, dump: manifests.Manifest, *, keep: int = 0) -> list[str]:
    return copies.commit(directory=directory, manifest=dump, keep=keep, keep_days=0, now=NOW)


def test_a_copy_gets_its_name_once_it_is_whole(tmp_path: Path, dump: t.Any) -> None:
    directory = tmp_path / "copies"
    assert copies.begin(directory=directory, manifest=dump, check_mode=True) == list(CONTENTS)
    assert not directory.exists()
    assert copies.begin(directory=directory, manifest=dump, check_mode=False) == list(CONTENTS)
    lay_down(directory, dump, names=["shop.schema.sql.zst"])
    with pytest.raises(WebstackError, match=r"has 0 bytes instead of 1280000.* It was not taken for a dump"):
        commit(directory, dump)
    assert not copies.is_here(directory=directory, manifest=dump)
    lay_down(directory, dump)
    commit(directory, dump)
    assert copies.is_here(directory=directory, manifest=dump)
    assert [path.name for path in directory.iterdir()] == [dump["id"]]
    assert {path.stat().st_mode & 0o777 for path in (directory / dump["id"]).iterdir()} == {0o600}


def test_what_is_whole_stays_and_a_run_that_goes_on_is_left_alone(tmp_path: Path, dump: t.Any) -> None:
    copies.begin(directory=tmp_path, manifest=dump, check_mode=False)
    partial = lay_down(tmp_path, dump)
    (partial / "shop.schema.sql.zst").write_bytes(b"sch")
    with pytest.raises(WebstackError, match="Another run copies this dump"):
        copies.begin(directory=tmp_path, manifest=dump, check_mode=False)
    age(partial, seconds=60)
    assert copies.begin(directory=tmp_path, manifest=dump, check_mode=False) == ["shop.schema.sql.zst"]
    assert (partial / "shop.schema.sql.zst").read_bytes() == b""  # it is appended to


def test_a_damaged_copy_is_made_whole_again(tmp_path: Path, dump: t.Any) -> None:
    copies.begin(directory=tmp_path, manifest=dump, check_mode=False)
    lay_down(tmp_path, dump)
    commit(tmp_path, dump)
    damaged = tmp_path / dump["id"]
    (damaged / "shop.schema.sql.zst").unlink()
    age(damaged, seconds=60)
    assert not copies.is_here(directory=tmp_path, manifest=dump)
    assert copies.begin(directory=tmp_path, manifest=dump, check_mode=False) == ["shop.schema.sql.zst"]
    lay_down(tmp_path, dump)
    commit(tmp_path, dump)
    assert copies.is_here(directory=tmp_path, manifest=dump)


def test_older_copies_and_what_nobody_copies_any_more_go(tmp_path: Path, dump: t.Any) -> None:
    for day in (20, 21, 22):
        name = f"202611{day}T080000Z-web-02"
        each = {**dump, "id": name, "snapshot_at": f"2026-11-{day}T08:00:00.000Z"}
        copies.begin(directory=tmp_path, manifest=each, check_mode=False)
        lay_down(tmp_path, each)
        gone = commit(tmp_path, each, keep=2)
    assert gone == ["20261120T080000Z-web-02"]
    stale, other = tmp_path / "old.partial", tmp_path / "new.partial"
    stale.mkdir()
    other.mkdir()
    age(stale, seconds=2 * 24 * 3600)
    copies.begin(directory=tmp_path, manifest=dump, check_mode=False)
    lay_down(tmp_path, dump)
    commit(tmp_path, dump)
    assert other.exists()
    assert not stale.exists()


@pytest.mark.parametrize("name", ["..", "../x", ""])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path, dump: t.Any) -> None:
    with pytest.raises(WebstackError, match="is no name of a dump"):
        copies.begin(directory=tmp_path, manifest={**dump, "id": name}, check_mode=False)


class Hosts:
    """Two hosts, whose shells are this machine's and who answer as the module does."""

    def __init__(self, action: mysql_dump_copy.ActionModule, peer: t.Any) -> None:
        self.action, self.own, self.peer = action, action._connection, peer
        self.asked: list[tuple[str, str]] = []

    def module(self, *, module_args: dict[str, t.Any], **_more: t.Any) -> dict[str, t.Any]:
        assert self.action._connection is self.peer
        directory, dump = Path(module_args["dest"]), module_args["manifest"]
        self.asked.append((module_args["phase"], module_args["to"]))
        if module_args["phase"] == "commit":
            return {"changed": True, "removed_sets": commit(directory, dump)}
        partial = str(copies.partial_of(directory=directory, manifest=dump))
        if copies.is_here(directory=directory, manifest=dump):
            return {"changed": False, "lacking": [], "partial": partial}
        lacking = copies.begin(directory=directory, manifest=dump, check_mode=False)
        return {"changed": True, "lacking": lacking, "partial": partial}

    def shell(self, command: str, in_data: bytes | None = None) -> dict[str, t.Any]:
        if self.action._connection not in (self.own, self.peer):  # it wants to know how a command is run
            self.action._connection.exec_command(command)
            return {}
        assert (self.action._connection is self.peer) == (in_data is not None)
        done = subprocess.run(["sh", "-c", command], input=in_data, capture_output=True, check=False)
        return {"rc": done.returncode, "stdout": done.stdout.decode(), "stderr": done.stderr.decode()}


@pytest.fixture(params=["local", "ssh"])
def copy(request: pytest.FixtureRequest, tmp_path: Path, dump: t.Any, monkeypatch: pytest.MonkeyPatch) -> t.Any:
    """Copy the dump, which lies in a folder ``source``, to another host's folder ``copies``."""
    source = tmp_path / "source"
    source.mkdir()
    for name, content in CONTENTS.items():
        (source / name).write_bytes(content)
    monkeypatch.setattr(pieces, "PIECE", pieces.MIB)
    peer = make_connection(request.param)
    monkeypatch.setattr(mysql_dump_copy, "open_connection", lambda **_given: peer)

    def run(*, to: str = "web-01") -> tuple[dict[str, t.Any], Hosts]:
        arguments = {"path": str(source), "manifest": dump, "to": to, "dest": str(tmp_path / "copies")}
        task = types.SimpleNamespace(
            args=arguments, check_mode=False, async_val=0, action="mysql_dump_copy", diff=False
        )
        action = mysql_dump_copy.ActionModule(
            task=task,
            connection=make_connection(request.param),
            play_context=types.SimpleNamespace(password=None),
            loader=None,
            templar=None,
            shared_loader_obj=None,
        )
        hosts = Hosts(action, peer)
        monkeypatch.setattr(action, "_execute_module", hosts.module)
        monkeypatch.setattr(action, "_low_level_execute_command", hosts.shell)
        hostvars: dict[str, t.Any] = {"web-01": {}, "web-02": {}}
        return action.run(task_vars={"inventory_hostname": "web-02", "hostvars": hostvars}), hosts

    return run


def test_a_dump_goes_from_host_to_host_once(copy: t.Any, tmp_path: Path, dump: t.Any) -> None:
    result, hosts = copy()
    assert (result["changed"], result["bytes"]) == (True, sum(map(len, CONTENTS.values())))
    assert hosts.asked == [("begin", "web-01"), ("commit", "web-01")]
    assert copies.is_here(directory=tmp_path / "copies", manifest=dump)
    result, hosts = copy()
    assert not result["changed"]
    assert hosts.asked == [("begin", "web-01")]


@pytest.mark.parametrize(("to", "words"), [("web-02", "Name another host"), ("web-9", "There is no host web-9")])
def test_a_host_that_is_none_or_its_own_is_refused(copy: t.Any, to: str, words: str) -> None:
    with pytest.raises(AnsibleActionFail, match=words):
        copy(to=to)


def test_a_dump_that_is_damaged_on_its_host_is_no_copy(copy: t.Any, tmp_path: Path) -> None:
    (tmp_path / "source" / "shop.data-01.sql.zst").write_bytes(CONTENTS["shop.data-01.sql.zst"][:-1] + b"!")
    with pytest.raises(AnsibleActionFail, match="its content is damaged"):
        copy()
    assert [path.suffix for path in (tmp_path / "copies").iterdir()] == [".partial"]


def test_a_host_that_cannot_write_says_so(copy: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Hosts.shell

    def spoilt(self: Hosts, command: str, in_data: bytes | None = None) -> dict[str, t.Any]:
        return shell(self, command.replace(">> ", ">> /dev/full # "), in_data)

    monkeypatch.setattr(Hosts, "shell", spoilt)
    with pytest.raises(AnsibleActionFail, match=r"on web-01 could not be written: .*No space left on device"):
        copy()


def test_the_own_connection_comes_back_whatever_happens(copy: t.Any) -> None:
    _result, hosts = copy()
    own = hosts.action._connection
    with contextlib.suppress(RuntimeError), hosts.action._at("peer", "web-01"):
        raise RuntimeError
    assert hosts.action._connection is own
