"""The files of a service: compared, refused, written."""

from __future__ import annotations

import dataclasses
import getpass
import grp
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.action import files as action
from ansible_collections.phoenix.webstack.plugins.module_utils import _files
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.modules import files

ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


def entry(path: Path, **options: t.Any) -> dict[str, t.Any]:
    given = {"content": None, "secret_content": None, "sha256": None, "validate": None, "mode": "0640", **ME, **options}
    return {"path": str(path), **given}


def item(path: Path, *, archive: t.Mapping[str, bytes] | None = None, **options: t.Any) -> files.Item:
    return files.file_item(entry(path, **options), archive=archive or {}, check_mode=False)


@dataclasses.dataclass
class Judge:
    """Reads the copy that it is asked about, and refuses or accepts it."""

    rc: int = 0
    seen: str = ""

    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        assert stdin is None
        assert not check
        self.seen = Path(argv[-1]).read_text(encoding="utf-8")
        return CommandResult(argv=tuple(argv), rc=self.rc, stdout="", stderr=f"line 1 of {argv[-1]} is wrong\n")


def test_a_written_file_is_as_wanted(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    assert item(path, content="new\n").differs
    files.put(item(path, content="new\n"))
    assert not item(path, content="new\n").differs
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert list(tmp_path.iterdir()) == [path], "half a file was left"


def test_a_mode_alone_is_mended_in_place(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    files.put(item(path, content="new\n"))
    number = path.stat().st_ino
    stricter = item(path, content="new\n", mode="0600")
    assert stricter.differs
    files.put(stricter)
    assert (path.stat().st_mode & 0o7777, path.stat().st_ino) == (0o600, number)


def test_a_folder(tmp_path: Path) -> None:
    wanted = {"path": str(tmp_path / "shop"), "mode": "0750", **ME}
    assert files.folder_item(wanted, check_mode=False).differs
    files.put(files.folder_item(wanted, check_mode=False))
    assert not files.folder_item(wanted, check_mode=False).differs


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(WebstackError, match=r"is no file\. Nothing was changed"):
            files.look(path)
    (tmp_path / "file").touch()
    with pytest.raises(WebstackError, match=r"is no folder\. Nothing was changed"):
        files.look(tmp_path / "file", folder=True)


@pytest.mark.parametrize("wrong", [{"owner": "nobody-of-that-name"}, {"group": "no-such-group"}, {"mode": "rw-r--r--"}])
def test_an_owner_or_mode_that_means_nothing(tmp_path: Path, wrong: dict[str, t.Any]) -> None:
    with pytest.raises(WebstackError, match=r"cannot belong to .* Nothing was changed"):
        item(tmp_path / "settings", content="", **wrong)


def test_a_link_is_replaced_by_the_file(tmp_path: Path) -> None:
    target, path = tmp_path / "elsewhere", tmp_path / "settings"
    files.put(item(target, content="new\n"))
    path.symlink_to(target)
    linked = item(path, content="new\n")
    assert linked.differs
    files.put(linked)
    assert not item(path, content="new\n").differs
    assert not path.is_symlink()
    assert target.exists()


def test_a_user_who_is_only_announced_owns_nothing_yet(tmp_path: Path) -> None:
    face = files.wanted(entry(tmp_path / "settings", owner="nobody-of-that-name"), digest="", check_mode=True)
    assert face.uid == _files.UNKNOWN


def test_a_refusal_names_the_real_file() -> None:
    judge = Judge(rc=1)
    with pytest.raises(WebstackError) as refused:
        files.validate(runner=judge, command="judge -c %s", path=Path("/etc/settings"), content=b"new\n")
    assert refused.value.message == "/etc/settings is refused: line 1 of /etc/settings is wrong"
    assert judge.seen == "new\n"


def test_a_secret_is_not_in_the_diff(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    path.write_text("hunter1")
    secret = item(path, secret_content="hunter2")
    assert secret.content == b"hunter2"
    assert not [text for text in secret.diff().values() if "hunter" in text]
    assert "hunter2" in item(path, content="hunter2").diff()["after"]


def test_a_tree_on_its_way(tmp_path: Path) -> None:
    source, host = tmp_path / "here", tmp_path / "there"
    (source / "static").mkdir(parents=True)
    (source / "app.py").write_text("app\n")
    (source / "static" / "logo").write_bytes(b"\x00\xff")
    folders, found = action.walk({"src": str(source), "dest": str(host)})
    assert folders == [str(host), str(host / "static")]
    for folder in folders:
        files.put(files.folder_item({"path": folder, "mode": "0750", **ME}, check_mode=False))
    (host / "app.py").write_text("app\n")

    def look(archive: t.Mapping[str, bytes]) -> list[files.Item]:
        hashes = {path: action.hash_of(file) for path, file in found.items()}
        return [item(Path(path), sha256=digest, archive=archive) for path, digest in hashes.items()]

    missing = [str(each.path) for each in look({}) if each.lacks_content]
    assert missing == [str(host / "static" / "logo")], "what the host has is not sent"
    with (tmp_path / "archive").open("wb") as file:
        action.pack({path: found[path] for path in missing}, into=file)
    for each in look(files.read_archive(str(tmp_path / "archive"))):
        files.put(each)
    assert not [each for each in look({}) if each.differs]
    assert (host / "static" / "logo").read_bytes() == b"\x00\xff"
