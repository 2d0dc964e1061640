"""The files of a service: compared, refused, written."""

from __future__ import annotations

import dataclasses
import getpass
import grp
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.modules import files

ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


def entry(path: Path, **options: t.Any) -> dict[str, t.Any]:
    return {"path": str(path), "content": "new\n", "secret_content": None, "mode": "0640", **ME, **options}


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
    face = files.wanted(entry(path), check_mode=False)
    assert files.look(path) != face
    files.write(path, face)
    assert files.look(path) == face
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert list(tmp_path.iterdir()) == [path], "half a file was left"


def test_a_mode_alone_is_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    files.write(path, files.wanted(entry(path), check_mode=False))
    assert files.look(path) != files.wanted(entry(path, mode="0600"), check_mode=False)


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path, tmp_path / "link"):
        with pytest.raises(WebstackError, match=r"is no file\. Nothing was changed"):
            files.look(path)


@pytest.mark.parametrize("wrong", [{"owner": "nobody-of-that-name"}, {"group": "no-such-group"}, {"mode": "rw-r--r--"}])
def test_an_owner_or_mode_that_means_nothing(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(WebstackError, match=r"cannot belong to .* Nothing was changed"):
        files.wanted(entry(tmp_path / "settings", **wrong), check_mode=False)


def test_a_user_who_is_only_announced_owns_nothing_yet(tmp_path: Path) -> None:
    face = files.wanted(entry(tmp_path / "settings", owner="nobody-of-that-name"), check_mode=True)
    assert face.uid == files.UNKNOWN


def test_a_refusal_names_the_real_file() -> None:
    judge = Judge(rc=1)
    with pytest.raises(WebstackError) as refused:
        files.validate(runner=judge, command="judge -c %s", path="/etc/settings", content=b"new\n")
    assert refused.value.message == "/etc/settings is refused: line 1 of /etc/settings is wrong"
    assert judge.seen == "new\n"


def test_a_secret_is_not_in_the_diff(tmp_path: Path) -> None:
    face = files.wanted(entry(tmp_path / "settings", content=None, secret_content="hunter2"), check_mode=False)
    assert face.content == b"hunter2"
    assert "hunter2" not in face.describe(secret=True)
    assert "hunter2" in face.describe(secret=False)
