"""What a login needs, as it last worked, and the way back to it."""

from __future__ import annotations

import os
import socket
import types
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import files
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.files import Store, Tracked


class Runner:
    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        raise AssertionError(f"no command is needed, not {argv} {stdin} {check}")


class World:
    """A home, an account file, and a store that knows both in their good state."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.keys = self.home / ".ssh" / "authorized_keys"
        self.passwd = root / "passwd"
        self.aside = root / "aside"
        self.keys.parent.mkdir(parents=True)
        self.home.chmod(0o755)
        self.keys.write_text("ssh-ed25519 AAAA admin\n")
        self.keys.chmod(0o600)
        self.passwd.write_text("root:x:0:\nadmin:x:1000:/bin/bash\nguest:x:1001:\n")
        self.tracked = Tracked(
            whole=(self.keys.parent, root / "nologin"), outside=(self.home,), lines={self.passwd: ("admin",)}
        )
        self.store = Store(folder=root / "good", aside=self.aside)
        self.store.keep(self.store.scan(self.tracked))

    def changed(self) -> list[str]:
        return [Path(path).name for path in self.store.differences(self.store.scan(self.tracked))]

    def restore(self) -> None:
        self.store.restore(self.store.differences(self.store.scan(self.tracked)), runner=Runner())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def remove_keys(world: World) -> None:
    world.keys.unlink()


def empty_keys(world: World) -> None:
    world.keys.write_text("")


def open_keys(world: World) -> None:
    world.keys.chmod(0o666)


def open_home(world: World) -> None:
    world.home.chmod(0o777)


def keys_as_folder(world: World) -> None:
    world.keys.unlink()
    world.keys.mkdir()


def keys_as_dangling_link(world: World) -> None:
    world.keys.unlink()
    world.keys.symlink_to("nowhere")


def remove_folder(world: World) -> None:
    world.keys.unlink()
    world.keys.parent.rmdir()


def forbid_logins(world: World) -> None:
    (world.home.parent / "nologin").write_text("not today\n")


def change_shell(world: World) -> None:
    world.passwd.write_text(world.passwd.read_text().replace("/bin/bash", "/bin/fish"))


def remove_account(world: World) -> None:
    world.passwd.write_text("root:x:0:\nguest:x:1001:\n")


FAULTS = (
    remove_keys,
    empty_keys,
    open_keys,
    open_home,
    keys_as_folder,
    keys_as_dangling_link,
    remove_folder,
    forbid_logins,
    change_shell,
    remove_account,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_seen_and_taken_back(world: World, fault: t.Callable[[World], None]) -> None:
    assert world.changed() == []
    fault(world)
    assert world.changed() != []
    world.restore()
    assert world.changed() == []
    assert world.keys.read_text() == "ssh-ed25519 AAAA admin\n"
    assert world.keys.stat().st_mode & 0o777 == 0o600
    assert world.home.stat().st_mode & 0o777 == 0o755
    assert sorted(world.passwd.read_text().splitlines()) == [
        "admin:x:1000:/bin/bash",
        "guest:x:1001:",
        "root:x:0:",
    ]


def test_what_is_replaced_is_kept_aside(world: World) -> None:
    world.keys.write_text("a key that somebody may miss\n")
    forbid_logins(world)
    world.restore()
    kept = {path.name: path.read_text() for path in world.aside.rglob("*") if path.is_file()}
    assert kept == {"authorized_keys": "a key that somebody may miss\n", "nologin": "not today\n"}


def test_other_accounts_may_come_and_go(world: World) -> None:
    world.passwd.write_text("root:x:0:\nadmin:x:1000:/bin/bash\nnew:x:1002:\n")
    assert world.changed() == []
    change_shell(world)
    world.restore()
    assert "new:x:1002:" in world.passwd.read_text()


def test_a_state_that_was_kept_is_there_after_a_restart(world: World, tmp_path: Path) -> None:
    empty_keys(world)
    again = Store(folder=tmp_path / "good", aside=world.aside)
    assert [Path(path).name for path in again.differences(again.scan(world.tracked))] == ["authorized_keys"]
    again.restore([str(world.keys)], runner=Runner())
    assert world.keys.read_text() == "ssh-ed25519 AAAA admin\n"


def test_another_process_may_keep_a_state(world: World, tmp_path: Path) -> None:
    world.keys.write_text("ssh-ed25519 BBBB admin\n")
    other = Store(folder=tmp_path / "good", aside=world.aside)
    other.keep(other.scan(world.tracked))
    world.store.refresh()
    assert world.changed() == []


def test_contents_that_were_lost_are_left_out(world: World, tmp_path: Path) -> None:
    assert world.store.contents(str(world.home)) == {str(world.keys): b"ssh-ed25519 AAAA admin\n"}
    for blob in (tmp_path / "good" / "blobs").iterdir():
        blob.unlink()
    assert world.store.contents(str(world.home)) == {}
    assert world.store.content(str(world.keys)) is None


def test_what_cannot_be_put_back_does_not_keep_the_rest_so(world: World) -> None:
    open_keys(world)
    change = world.store._restore_one

    def restore_one(path: str, place: Path) -> None:
        if path.endswith("authorized_keys"):
            raise PermissionError(1, "Operation not permitted", path)
        change(path, place)

    world.store._restore_one = restore_one  # type: ignore[method-assign]
    forbid_logins(world)
    tried: list[str] = []
    runner = t.cast("t.Any", types.SimpleNamespace(run=lambda argv, **_options: tried.append(argv[0])))
    restored, stuck = world.store.restore(world.store.differences(world.store.scan(world.tracked)), runner=runner)
    assert tried == ["chattr", "chattr"]
    assert stuck == [f"{world.keys}: Operation not permitted"]
    assert restored == [str(world.home.parent / "nologin")]
    assert not (world.home.parent / "nologin").exists()


def test_without_a_good_state_nothing_is_a_difference(tmp_path: Path) -> None:
    store = Store(folder=tmp_path / "good", aside=tmp_path / "aside")
    assert store.differences(store.scan(Tracked(whole=(tmp_path,)))) == []


def test_a_store_is_for_root_alone(world: World, tmp_path: Path) -> None:
    # It holds lines of /etc/shadow and host keys.
    for path in (tmp_path / "good").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "good").stat().st_mode & 0o077 == 0
    assert world.store.good


# -- others, who own the folder in which root writes


@pytest.fixture
def elsewhere(world: World) -> Path:
    """A folder of root's, to which the owner of the home would have the guard led; the home is somebody else's."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    folder = world.home.parent / "elsewhere"
    folder.mkdir()
    (folder / "authorized_keys").write_text("of root\n")
    os.chown(world.home, 65534, 65534)
    return folder


def lead_astray(world: World, elsewhere: Path) -> None:
    """Do what the owner of the home does between two steps of root's."""
    world.keys.unlink()
    world.keys.parent.rmdir()
    world.keys.parent.symlink_to(elsewhere)


def test_nothing_is_read_through_a_link_that_somebody_else_has_laid(world: World, elsewhere: Path) -> None:
    lead_astray(world, elsewhere)
    assert files.look_beyond(world.keys, content=True) is None
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"), files.anchored(world.keys):
        pass


def test_nothing_is_written_through_it(world: World, elsewhere: Path) -> None:
    lead_astray(world, elsewhere)
    world.restore()
    assert (elsewhere / "authorized_keys").read_text() == "of root\n"
    assert not world.keys.parent.is_symlink()
    assert world.keys.read_text() == "ssh-ed25519 AAAA admin\n"


def test_owner_and_mode_are_not_set_through_it(world: World, elsewhere: Path) -> None:
    world.keys.unlink()
    world.keys.symlink_to(elsewhere / "authorized_keys")
    with pytest.raises(OSError, match="symbolic links"):
        files.give(world.keys, files.Entry(files.FILE, mode=0o666, uid=65534, gid=65534))
    assert (elsewhere / "authorized_keys").stat().st_uid == 0


def test_roots_own_links_are_followed(world: World) -> None:
    link = world.home.parent / "link"
    link.symlink_to(world.home)
    with files.anchored(link / ".ssh" / "authorized_keys") as itself:
        assert itself.read_text() == "ssh-ed25519 AAAA admin\n"


def test_a_socket_where_nothing_was_is_nothing(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(world.home.parent / "nologin"))
        assert world.changed() == []
