"""What the guard hears of files, of a real kernel."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.watch import Inotify

if t.TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_with_two_names_is_heard_of_by_the_names_of_both(tmp_path: Path) -> None:
    """/lib is a link to /usr/lib, and the kernel has one watch for both."""
    real, link = tmp_path / "usr", tmp_path / "lib"
    real.mkdir()
    link.symlink_to(real)
    for first, second in itertools.permutations([(real, "libpam.so.0.85"), (link, "libpam.so.0")]):
        heard = Inotify()
        heard.follow({first[0]: {first[1]}})
        heard.follow({first[0]: {first[1]}, second[0]: {second[1]}})
        for name, counts in {"libpam.so.0.85": True, "libpam.so.0": True, "libfun.so": False}.items():
            (real / name).touch()
            assert heard.changed() is counts, (first, name)
            (real / name).unlink()
            heard.changed()


def test_a_folder_is_let_go_of_with_the_last_of_its_names(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    heard = Inotify()
    heard.follow({tmp_path: {"a"}, link: {"b"}})
    heard.follow({link: {"b"}})
    (tmp_path / "b").touch()
    assert heard.changed()
    heard.follow({})
    heard.changed()
    (tmp_path / "b").unlink()
    assert not heard.changed()


def test_a_folder_that_counts_for_itself_by_another_name_is_heard_of_all_the_same(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    heard = Inotify()
    heard.follow({link: {"b"}})
    heard.follow({link: {"b"}, tmp_path: set()})
    (tmp_path / "b").touch()
    assert heard.changed()
