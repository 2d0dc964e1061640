from __future__ import annotations

import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.plan import Pending
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(directory=str(tmp_path), name="web")


class Haproxy:
    """A `CommandRunner` that notes what it was shown and answers as told."""

    def __init__(self, *, rc: int = 0, stderr: str = "") -> None:
        self.rc, self.stderr = rc, stderr
        self.argv: t.Sequence[str] = ()
        self.shown: dict[str, str] = {}

    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        assert stdin is None
        assert not check
        self.argv = argv
        self.shown = {path.name: path.read_text() for path in sorted(Path(argv[-1]).iterdir())}
        return CommandResult(
            argv=tuple(argv), rc=self.rc, stdout="", stderr=self.stderr.replace("STAGED", str(argv[-1]))
        )


def test_a_file_is_written_whole_and_taken_away(store: Store, tmp_path: Path) -> None:
    assert store.read() is None
    store.write("frontend web\n")
    store.write("frontend web\n    bind *:80\n")
    assert store.read() == "frontend web\n    bind *:80\n"
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["web.cfg"]
    store.write(None)
    store.write(None)
    assert list(tmp_path.iterdir()) == []


def test_the_journal_is_hidden_from_haproxy(store: Store, tmp_path: Path) -> None:
    assert store.pending() is None
    store.begin(Pending(servers=("web-01",), reload=True))
    assert store.pending() == Pending(servers=("web-01",), reload=True)
    assert [path.name for path in tmp_path.iterdir()] == [".web.pending"]
    store.end()
    assert store.pending() is None


def test_half_a_file_of_a_run_that_was_cut_off_goes_away(store: Store, tmp_path: Path) -> None:
    for name in (".web.cfg.abc123", ".web.pending.abc123", ".api.cfg.abc123", "web.cfg"):
        (tmp_path / name).write_text("")
    store.begin(Pending())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".api.cfg.abc123", ".web.pending", "web.cfg"]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    store = Store(directory=str(tmp_path / "gone"), name="web")
    with pytest.raises(WebstackError, match=r"gone/web\.cfg cannot be written: No such file or directory"):
        store.write("x")


def test_the_candidate_is_tried_beside_the_other_services(store: Store, tmp_path: Path) -> None:
    for name, text in {"web.cfg": "old", "api.cfg": "api", ".web.pending": "{}", "notes.txt": "x"}.items():
        (tmp_path / name).write_text(text)
    haproxy = Haproxy()
    store.validate("new", runner=haproxy, binary="/usr/sbin/haproxy", config_file="/etc/haproxy/haproxy.cfg")
    assert haproxy.argv[:-1] == ["/usr/sbin/haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg", "-f"]
    assert haproxy.shown == {"api.cfg": "api", "web.cfg": "new"}
    assert not Path(haproxy.argv[-1]).exists()
    assert store.read() == "old"


def test_a_refused_candidate(store: Store, tmp_path: Path) -> None:
    haproxy = Haproxy(
        rc=1,
        stderr="[NOTICE]   (706) : haproxy version is 3.0.11\n"
        "[ALERT]    (706) : config : parsing [STAGED/web.cfg:16] : unknown keyword 'servet'.\n"
        "[ALERT]    (706) : config : Fatal errors found in configuration.\n",
    )
    with pytest.raises(WebstackError) as caught:
        store.validate("new", runner=haproxy, binary="haproxy", config_file="/etc/haproxy/haproxy.cfg")
    assert caught.value.message == (
        "HAProxy does not accept the configuration with the new web.cfg:"
        f" parsing [{tmp_path}/web.cfg:16] : unknown keyword 'servet'. Nothing was changed."
        f" Next, on the balancer: haproxy -c -f /etc/haproxy/haproxy.cfg -f {tmp_path}"
    )


def test_two_runs_do_not_meet(store: Store, tmp_path: Path) -> None:
    with store.lock(timeout=0):
        other = Store(directory=str(tmp_path), name="web")
        with (
            pytest.raises(WebstackError, match="Another run is changing HAProxy's configuration"),
            other.lock(timeout=0),
        ):
            pass
    with store.lock(timeout=0):
        pass
