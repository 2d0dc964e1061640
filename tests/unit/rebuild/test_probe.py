"""What a web server shows before a rebuild."""

from __future__ import annotations

import fcntl
import json
import pathlib

from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import probe

OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'
SS = (
    'LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=812,fd=5),("nginx",pid=811,fd=5))\n'
    'LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=99,fd=4))\n'
    "LISTEN 0 80 127.0.0.1:3306 0.0.0.0:*\n"
)


def test_the_distribution() -> None:
    assert probe.parse_os_release(OS_RELEASE) == {"id": "debian", "version": "13"}


def test_the_listeners() -> None:
    assert probe.parse_listeners(SS) == {"80": "nginx", "22": "sshd", "3306": "unknown"}


def test_databases_show_without_a_server(tmp_path: pathlib.Path) -> None:
    for folder in ("mysql", "sys", "performance_schema", "#innodb_redo", ".cache", "shop@002dold", "empty", "mixed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "empty" / "db.opt").write_text("x", encoding="utf-8")
    (tmp_path / "mixed" / "log.MYD").write_bytes(b"12")
    (tmp_path / "shop@002dold" / "orders.ibd").write_bytes(b"12345")
    (tmp_path / "ibdata1").write_bytes(b"not a folder")
    assert probe.databases(tmp_path) == {
        "empty": {"bytes": 0, "empty": True, "innodb_only": True},
        "mixed": {"bytes": 2, "empty": False, "innodb_only": False},
        "shop-old": {"bytes": 5, "empty": False, "innodb_only": True},
    }
    assert probe.databases(tmp_path / "absent") == {}


def test_only_a_proven_restore_counts(tmp_path: pathlib.Path) -> None:
    for name, state in (("shop", "restored"), ("blog", "loading")):
        beside = {"incoming": f"{name}__incoming"} if state == "loading" else {}
        content = {"database": name, "state": state, "dump_id": "d1", **beside}
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    assert probe.restores(tmp_path, "restored") == {"shop": "d1"}
    assert probe.restores(tmp_path, "loading") == {"blog": "d1", "blog__incoming": "d1"}
    assert probe.restores(tmp_path / "absent", "restored") == {}


def test_a_restore_that_goes_on_is_waited_for(tmp_path: pathlib.Path) -> None:
    assert probe.wait_for_restore(tmp_path, seconds=0)
    lock = tmp_path / ".lock"
    lock.touch()
    assert probe.wait_for_restore(tmp_path, seconds=0)
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not probe.wait_for_restore(tmp_path, seconds=0)
