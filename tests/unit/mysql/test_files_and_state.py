from __future__ import annotations

import os
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import files, state


def test_json_is_written_for_root_alone_and_whole(tmp_path: t.Any) -> None:
    path = tmp_path / "a.json"
    files.write_json(path=path, value={"b": 1})
    assert path.read_text() == '{\n  "b": 1\n}\n'
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_private_directories_have_ordinary_parents(tmp_path: t.Any) -> None:
    before = os.umask(0o077)
    try:
        files.ensure_private_directory(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "b" / "c").stat().st_mode & 0o777 == 0o700


def test_a_lock_is_for_one(tmp_path: t.Any) -> None:
    lock = tmp_path / "lock"
    with files.exclusive_lock(path=lock, what="Another dump"):
        with pytest.raises(WebstackError) as caught, files.exclusive_lock(path=lock, what="Another dump"):
            pass
        assert caught.value.message == (
            f"Another dump is running (process {os.getpid()} holds {lock}); nothing was changed. "
            f"Wait until it is done. To look at it: ps -fp {os.getpid()}"
        )
    with files.exclusive_lock(path=lock, what="Another dump"):
        pass


def test_the_remains_of_a_dead_run_are_waited_for(tmp_path: t.Any) -> None:
    lock = tmp_path / "lock"
    with files.exclusive_lock(path=lock, what="x") as descriptor:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"], pass_fds=(descriptor,))
    lock.write_text("999999999")  # the parent is gone, its child still holds the lock
    with files.exclusive_lock(path=lock, what="x", patience=20):
        assert child.poll() is not None or child.wait(1) == 0


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 * 1024**3, "3.0 GiB"), (2**50, "1024.0 TiB")],
)
def test_sizes_for_people(size: t.Any, text: t.Any) -> None:
    assert files.human_size(size) == text


def test_states_come_and_go(tmp_path: t.Any) -> None:
    store = state.StateStore(directory=tmp_path / "s")
    assert store.read("shop") is None
    store.write({"database": "shop", "state": "loading"})
    assert store.read("shop") == {"schema": state.SCHEMA, "database": "shop", "state": "loading"}
    store.clear("shop")
    store.clear("shop")
    assert store.read("shop") is None


@pytest.mark.parametrize("name", ["a/b", "..", "it`s", "ü", "."])
def test_states_of_odd_names_stay_in_the_directory(tmp_path: t.Any, name: t.Any) -> None:
    store = state.StateStore(directory=tmp_path / "s")
    store.write({"database": name, "state": "loading"})
    assert store.path(name).parent == tmp_path / "s"
    assert (store.read(name) or {})["database"] == name


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "x"}', '{"schema": "phoenix.webstack.restore/1", "database": "b"}']
)
def test_a_state_that_cannot_be_understood_is_no_state(tmp_path: t.Any, text: t.Any) -> None:
    store = state.StateStore(directory=tmp_path)
    store.path("shop").write_text(text)
    with pytest.raises(WebstackError):
        store.read("shop")
