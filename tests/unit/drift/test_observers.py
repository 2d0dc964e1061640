"""What each observer makes of a host, where that takes no host."""

from __future__ import annotations

import getpass
import grp
import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._drift import (
    database,
    files,
    firewall,
    observe,
    system,
    who,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.around import Around
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import DRIFT, EXTRA, Difference, Item
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.record import Record
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.plan import Wanted
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import Rule
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.state import Settings

ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


class Runner:
    """Answers every command with one text."""

    def __init__(self, stdout: str = "", rc: int = 0) -> None:
        self.stdout, self.rc = stdout, rc

    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        assert stdin is None
        assert not check
        return CommandResult(argv=tuple(argv), rc=self.rc, stdout=self.stdout, stderr="")


def around(stdout: str = "", *, rc: int = 0, record: Record | None = None, managed: t.Iterable[str] = ()) -> Around:
    return Around(runner=Runner(stdout, rc), record=record or Record(), managed=frozenset(managed))


def told(items: t.Iterable[Item]) -> list[Difference]:
    return [difference for item in items for difference in item.differences]


def entry(path: Path, **values: t.Any) -> dict[str, t.Any]:
    return {"path": str(path), "content": "x\n", "secret_content": None, "sha256": None, "mode": "0640", **ME, **values}


def test_a_file_as_wanted_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x\n")
    path.chmod(0o640)
    assert told(files.observe_files([entry(path)], around())) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.chmod(0o666), "differs in mode"),
        (lambda path: path.write_text("y\n"), "differs in content"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/hostname")), "is a link to /etc/hostname"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file"),
    ],
)
def test_a_file_that_is_otherwise_is_told(tmp_path: Path, spoil: t.Callable[[Path], t.Any], words: str) -> None:
    path = tmp_path / "a"
    path.write_text("x\n")
    path.chmod(0o640)
    spoil(path)
    (found,) = told(files.observe_files([entry(path)], around()))
    assert words in found.what


def test_a_file_whose_text_is_elsewhere_is_compared_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("x\n")
    path.chmod(0o640)
    digests = {"73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac": 0, "0" * 64: 1}
    for digest, count in digests.items():
        by_digest = entry(path, content=None, sha256=digest)
        assert len(told(files.observe_files([by_digest], around()))) == count


def test_a_secret_is_in_no_diff(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("canary of the host\n")
    (found,) = told(files.observe_files([entry(path, content=None, secret_content="canary of ours")], around()))
    assert "canary" not in f"{found.what}{found.before}{found.after}"


def test_a_folder_that_a_service_reads_holds_no_strangers(tmp_path: Path) -> None:
    for name in ("ours.conf", "other.conf", "other.txt"):
        (tmp_path / name).write_text("")
    folder = {"path": str(tmp_path), "pattern": "*.conf"}
    (found,) = told(files.observe_folders([folder], around(rc=1, managed=[f"{tmp_path}/ours.conf"])))
    assert (found.path, found.nature) == (f"{tmp_path}/other.conf", EXTRA)


def test_watched_files_are_told_only_once_there_was_an_apply(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (item,) = files.observe_watched([str(tmp_path)], around())
    assert item.differences == ()
    noted = Record().with_items([item], keep_seen=False)
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("2")
    found = told(files.observe_watched([str(tmp_path)], around(record=noted)))
    assert [(each.path, each.nature) for each in found] == [(f"{tmp_path}/a", DRIFT), (f"{tmp_path}/b", EXTRA)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nginx install installed", ""),
        ("nginx hold installed", "held back"),
        ("nginx deinstall config-files", "not installed"),
        ("", "not installed"),
    ],
)
def test_packages(line: str, words: str) -> None:
    found = told(system.observe_packages(["nginx"], around(line)))
    assert (words in found[0].what) if words else found == []


UNIT = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "FragmentPath": "/lib/systemd/system/x.service",
    "DropInPaths": "",
    "NeedDaemonReload": "no",
}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, []),
        ({"ActiveState": "failed"}, ["does not run (failed)"]),
        ({"UnitFileState": "disabled"}, ["does not start at boot (disabled)"]),
        ({"LoadState": "masked", "UnitFileState": "masked", "ActiveState": "inactive"}, ["masked", "does not run"]),
        ({"LoadState": "not-found"}, ["does not exist"]),
        ({"NeedDaemonReload": "yes"}, ["older unit files"]),
        ({"DropInPaths": "/etc/systemd/system/x.service.d/a.conf"}, ["/a.conf changes x.service"]),
        ({"FragmentPath": "/etc/systemd/system/x.service"}, ["changes x.service"]),
    ],
)
def test_units(values: dict[str, str], words: list[str]) -> None:
    shown = "\n".join(f"{key}={value}" for key, value in {**UNIT, **values}.items())
    found = told(system.observe_units([{"name": "x.service"}], around(shown)))
    assert len(found) == len(words)
    assert all(word in each.what for word, each in zip(words, found))


@pytest.mark.parametrize(
    ("end", "words"),
    [("Jan  1 00:00:00 2020 GMT", "has expired"), ("Jan  1 00:00:00 2120 GMT", ""), (None, "holds no certificate")],
)
def test_certificates(tmp_path: Path, end: str | None, words: str) -> None:
    path = tmp_path / "site.pem"
    path.write_text("")
    asked = around(f"notAfter={end}\n" if end else "")
    found = told(system.observe_certificates([{"path": str(path), "days": 21}], asked))
    assert (words in found[0].what) if words else found == []


HTTP = Rule("allow", proto="tcp", port="80")
WANTED = Wanted(
    rules=(HTTP,),
    settings=Settings(incoming="deny", outgoing="allow", routed="deny", logging="low", ipv6=True),
    purge=True,
    ports=(22,),
    networks=(),
)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([Rule("deny", proto="tcp", port="80"), HTTP], "it decides before `allow 80/tcp`"),
        ([HTTP, Rule("deny", proto="tcp", port="80")], "no effect"),
        ([Rule("deny", source="192.0.2.0/24"), HTTP], "it changes nothing, since that is closed anyway"),
        ([HTTP, Rule("allow", proto="tcp", port="9999")], "opens what was closed"),
        ([Rule("deny", port="22"), HTTP], "the guard accepts first"),
        ([HTTP, Rule("deny", direction="out", proto="tcp", port="25")], "it closes what was open"),
    ],
)
def test_a_foreign_rule_is_told_by_what_it_does(rules: list[Rule], words: str) -> None:
    stranger = next(rule for rule in rules if rule != HTTP)
    assert words in firewall.effect(stranger, rules=rules, wanted=WANTED)


def test_who_has_changed_a_file_is_whoever_ran_something_just_before(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("")
    when = path.stat().st_ctime
    commands = [
        (when - 9999, "ana : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/vim /long/ago"),
        (when - 5, "ana : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/vim a"),
        (when - 1, "bot : PWD=/ ; USER=root ; COMMAND=/bin/sh -c echo BECOME-SUCCESS-x ; /usr/bin/python3"),
        (when + 60, "ana : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/vim later"),
    ]
    lines = [json.dumps({"MESSAGE": text, "__REALTIME_TIMESTAMP": str(int(at * 1e6))}) for at, text in commands]
    findings: list[dict[str, t.Any]] = [{"path": str(path)}, {"path": ""}]
    who.attribute(findings, runner=Runner("\n".join([*lines, "{"])))
    assert findings[0]["changed_by"] == "ana: /usr/bin/vim a"
    assert "changed_at" not in findings[1]


def test_what_cannot_be_looked_at_is_told_and_hinders_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_wanted: t.Any, _around: Around) -> t.Iterator[Item]:
        raise WebstackError("no answer")

    monkeypatch.setitem(observe.OBSERVERS, "packages", broken)
    roles = [{"role": "a", "packages": ["x"]}, {"role": "b", "files": []}]
    ((role, item),) = observe.observe(roles, runner=Runner(), record=Record())
    assert (role, item.differences[0].nature) == ("a", "probe")
    assert "packages of the role a could not be looked at: no answer" in item.differences[0].what


@pytest.mark.parametrize(
    ("service", "rc", "expected"),
    [("webstack-mysql-backup.service", 0, ["The last dump of the timer failed"]), ("x.service", 1, []), ("", 0, [])],
)
def test_a_dump_of_the_timer_that_failed_is_told(service: str, rc: int, expected: list[str], tmp_path: Path) -> None:
    wanted = {"directory": str(tmp_path), "hours": 168, "service": service}
    found = told(database.observe_backups(wanted, around(rc=rc)))
    assert [difference.what.partition(".")[0] for difference in found] == expected


def test_the_accounts_of_every_role_are_known() -> None:
    roles: list[dict[str, t.Any]] = [
        {"role": "mysql", "database": {"users": [{"name": "app", "host": "localhost"}]}},
        {"role": "mysql_backup", "accounts": [{"name": "webstack-backup", "host": "localhost"}], "database": None},
        {"role": "nginx"},
    ]
    assert set(observe._accounts(roles)) == {("app", "localhost"), ("webstack-backup", "localhost")}
