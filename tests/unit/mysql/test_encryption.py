"""What of encrypted dumps needs no age: which files are, who opens them, and where the key goes."""

from __future__ import annotations

import subprocess
import types
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.phoenix.webstack.plugins.action import mysql_restore
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import dump, encryption, verify

KEY = b"AGE-SECRET-KEY-1\n"
# Stands in for age: it turns letters around for whoever has the right key.
AGE = """\
#!/bin/sh
case "$*" in
*nonsense*) echo 'age: error: malformed recipient "nonsense"' >&2; exit 1 ;;
*wrong*) echo 'age: error: no identity matched any of the recipients' >&2; exit 1 ;;
esac
exec tr a-z n-za-m
"""


@pytest.fixture
def age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "age"
    program.parent.mkdir()
    program.write_text(AGE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_each_recipient_is_named() -> None:
    assert encryption.encrypt_argv(["age1a", "age1b"]) == [
        "age",
        "--encrypt",
        "--recipient",
        "age1a",
        "--recipient",
        "age1b",
    ]


@pytest.mark.usefixtures("age")
def test_a_recipient_that_is_none_is_refused() -> None:
    encryption.refuse_recipients([])
    encryption.refuse_recipients(["age1a"])
    with pytest.raises(
        WebstackError, match=r'`nonsense` is no public key of age: malformed recipient "nonsense"\. Noth'
    ):
        encryption.refuse_recipients(["age1a", "nonsense"])


def test_without_age_it_is_named(monkeypatch: pytest.MonkeyPatch, manifest: t.Any, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    encryption.refuse_recipients([])
    with pytest.raises(WebstackError, match="Install it with: apt-get install age"):
        encryption.refuse_recipients(["age1a"])
    encrypted = {**manifest, "encryption": {"recipients": ["age1a"]}}
    assert "apt-get install age" in encryption.judge_identity(manifest=encrypted, directory=tmp_path, identity=None)[0]
    assert encryption.judge_identity(manifest=manifest, directory=tmp_path, identity=None) == []


@pytest.mark.usefixtures("age")
@pytest.mark.parametrize(
    ("identity", "problem"),
    [
        (None, "The dump is encrypted to age1a, and no identity was given."),
        ("wrong", "The dump cannot be decrypted: no identity matched any of the recipients."),
        ("right", ""),
    ],
)
def test_who_cannot_open_a_dump_is_told(identity: str | None, problem: str, manifest: t.Any, tmp_path: Path) -> None:
    encrypted = {**manifest, "encryption": {"recipients": ["age1a"]}}
    (tmp_path / "shop.schema.sql.zst").write_bytes(b"nopq")
    found = encryption.judge_identity(
        manifest=encrypted, directory=tmp_path, identity=Path(identity) if identity else None
    )
    assert [each.startswith(problem) for each in found] == ([True] if problem else [])


@pytest.mark.usefixtures("age")
def test_a_dump_goes_through_age_and_back(tmp_path: Path) -> None:
    text = b"INSERT INTO `t` VALUES (1);\n" * 200_000
    source = tmp_path / "text"
    source.write_bytes(text)
    path = tmp_path / "shop.data-01.sql.zst.age"
    stream = dump.Stream(argv=["cat", str(source)], path=path, level=1, recipients=["age1a"])
    entry = stream.finish(database="shop")
    assert entry["file"] == path.name
    assert not (tmp_path / "shop.data-01.sql.zst.log").exists()
    wanted = {"path": path, "database": "shop", "part": "data", "size": entry["size"], "sha256": entry["sha256"]}
    assert verify.verify_file(**wanted, identity=Path("right")) == []
    assert "cannot be decompressed" in verify.verify_file(**wanted)[0]
    assert "no identity matched" in verify.verify_file(**wanted, identity=Path("wrong"))[0]
    encryption.copy_decrypted(path, tmp_path / "plain.zst", identity=Path("right"))
    with verify.start_zstd(source=(tmp_path / "plain.zst").open("rb")) as decoder:
        assert decoder.stdout.read() == text
        assert decoder.wait() == 0


def test_a_file_that_is_not_encrypted_needs_no_key() -> None:
    assert encryption.identity_of(Path("a.zst"), Path("key")) is None
    assert encryption.identity_of(Path("a.zst.age"), Path("key")) == Path("key")
    assert encryption.identity_of(Path("a.zst.age"), None) is None


class Host:
    """A host whose /run is a folder here."""

    def __init__(self, run: Path, *, memory: str = "tmpfs") -> None:
        self.run, self.memory = run, memory
        self.given: list[bytes | None] = []

    def shell(self, command: str, in_data: bytes | None = None) -> dict[str, t.Any]:
        self.given.append(in_data)
        here = command.replace("/run/webstack", f"{self.run}/run/webstack").replace(
            '"$(stat --file-system --format=%T /run)"', self.memory
        )
        done = subprocess.run(["sh", "-c", here], input=in_data or b"", capture_output=True, check=False)
        return {"rc": done.returncode, "stdout": done.stdout.decode().replace(str(self.run), ""), "stderr": "no"}

    @property
    def keys(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.run / "run" / "webstack").glob("age-*")]


@pytest.fixture
def restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Any:
    """Run the action with a file of the controller, and with what the module does and answers."""
    (tmp_path / "identity").write_bytes(KEY)

    def run(
        host: Host, module: t.Callable[..., dict[str, t.Any]], *, name: str = "identity", wait: int = 0
    ) -> dict[str, t.Any]:
        task = types.SimpleNamespace(
            args={"path": "/d", "age_identity": str(tmp_path / name)} if name else {"path": "/d"},
            check_mode=False,
            async_val=wait,
            action="mysql_restore",
            diff=False,
        )
        connection = types.SimpleNamespace(has_native_async=False, _shell=types.SimpleNamespace(tmpdir="unused"))
        loader = types.SimpleNamespace(get_real_file=lambda path: path, cleanup_tmp_file=lambda _path: None)
        action = mysql_restore.ActionModule(
            task=task, connection=connection, play_context=None, loader=loader, templar=None, shared_loader_obj=None
        )
        monkeypatch.setattr(action, "_low_level_execute_command", host.shell)
        monkeypatch.setattr(action, "_execute_module", module)
        monkeypatch.setattr(action, "_remove_tmp_path", lambda _path: None)
        return action.run(task_vars={})

    return run


def test_the_key_is_on_the_host_while_the_module_runs(restore: t.Any, tmp_path: Path) -> None:
    host = Host(tmp_path)
    seen: dict[str, t.Any] = {}

    def module(*, module_args: dict[str, t.Any], **_more: t.Any) -> dict[str, t.Any]:
        seen.update(module_args, keys=host.keys)
        return {"changed": True}

    assert restore(host, module)["changed"]
    assert seen["keys"] == [KEY]
    assert seen["age_identity_file"].startswith("/run/webstack/age-")
    assert host.keys == []
    assert host.given == [KEY, None]


def test_it_goes_when_the_module_fails_and_stays_for_one_in_the_background(restore: t.Any, tmp_path: Path) -> None:
    host = Host(tmp_path)
    restore(host, lambda **_given: {"failed": True})
    assert host.keys == []

    def dies(**_given: t.Any) -> dict[str, t.Any]:
        raise AnsibleActionFail("no")

    with pytest.raises(AnsibleActionFail):
        restore(host, dies, wait=60)
    assert host.keys == []
    restore(host, lambda **_given: {"ansible_job_id": "j1"}, wait=60)
    assert host.keys == [KEY]  # the module removes it


def test_where_it_cannot_be_had_it_is_told(restore: t.Any, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match=r"There is no .*/none on the controller"):
        restore(Host(tmp_path), dict, name="none")
    with pytest.raises(AnsibleActionFail, match="is on a disk and not in memory"):
        restore(Host(tmp_path, memory="ext4"), dict)


def test_a_dump_that_is_not_encrypted_brings_no_key(restore: t.Any, tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert restore(host, lambda **_given: {"changed": False}, name="") == {"changed": False}
    assert host.given == []
