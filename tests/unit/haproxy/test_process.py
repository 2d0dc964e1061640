from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.process import Process, find_process


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    def add(pid: int, parent: int, argv: t.Sequence[str]) -> None:
        (tmp_path / str(pid)).mkdir()
        fields = ["S", str(parent), *["0"] * 17, "4200", "0"]
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a ) name) {' '.join(fields)}\n")
        (tmp_path / str(pid) / "cmdline").write_text("\0".join(argv) + "\0")

    add(1, 0, ["/sbin/init"])
    add(10, 1, ["/usr/sbin/haproxy", "-Ws", "-f", "/etc/haproxy/haproxy.cfg", "-f", "/etc/haproxy/conf.d/"])
    add(11, 10, ["/usr/sbin/haproxy", "-sf", "9"])
    add(12, 1, ["/usr/sbin/haproxy", "-f", "/etc/haproxy/haproxy.cfg"])
    return tmp_path


def test_the_command_line_is_the_masters(proc: Path) -> None:
    process = find_process(11, proc=proc)
    assert process is not None
    assert process.master == 10
    assert process.reads("/etc/haproxy/conf.d")
    assert not process.reads("/etc/haproxy")


def test_without_a_master_it_is_its_own(proc: Path) -> None:
    process = find_process(12, proc=proc)
    assert process is not None
    assert not process.reads("/etc/haproxy/conf.d")


def test_a_process_that_is_gone(proc: Path) -> None:
    assert find_process(13, proc=proc) is None


def test_a_file_written_later_has_not_been_read(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    process = Process(pid=1, master=1, arguments=(), started=1000.0)
    assert not process.older_than(str(path))
    path.touch()
    os.utime(path, (999, 999))
    assert not process.older_than(str(path))
    os.utime(path, (1001, 1001))
    assert process.older_than(str(path))
