"""Settings that are read, and words that are told."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import (
    cli,
    daemon,
    login,
    program,
    report,
    setup,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import (
    Settings,
    choose_accounts,
    load_settings,
    parse_settings,
)

GIVEN = {"accounts": ["admin"], "admin_cidrs": ["192.0.2.0/24"], "ports": [22], "port_thief": "report"}


def test_settings_as_the_role_writes_them() -> None:
    settings = parse_settings(json.dumps(GIVEN))
    assert settings.accounts == ("admin",)
    assert settings.port_thief == "report"
    assert settings.admits(4)
    assert not settings.admits(6)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"ports": []}', '{"admin_cidrs": ["10.0.0.300/8"]}'])
def test_settings_that_somebody_broke(text: str) -> None:
    with pytest.raises(WebstackError, match="cannot be used"):
        parse_settings(text)


def test_the_last_good_settings_hold_when_the_file_is_gone(tmp_path: Path) -> None:
    file, kept = tmp_path / "settings.json", tmp_path / "state" / "settings.json"
    file.write_text(json.dumps(GIVEN))
    wanted = load_settings(file=file, kept=kept)
    file.write_text("{ broken")
    assert load_settings(file=file, kept=kept) == wanted
    file.unlink()
    assert load_settings(file=file, kept=kept) == wanted


def test_a_record_of_the_journal() -> None:
    record = report.journal_record(message="two\nlines", priority=4, fields={"SSH_LIFELINE_KIND": "healed"})
    assert record.startswith(b"MESSAGE\n" + (9).to_bytes(8, "little") + b"two\nlines\n")
    assert record.endswith(b"PRIORITY=4\nSYSLOG_IDENTIFIER=ssh-lifeline\nSSH_LIFELINE_KIND=healed\n")


def test_what_stays_wrong_is_told_once() -> None:
    voice = report.Report(quiet=True)
    voice.tell_once("login", "no key")
    voice.tell_once("login", "no key")
    assert len(voice.events) == 1
    assert voice.hindrances == {"login": "no key"}
    assert "ssh_lifeline_open 0\n" in voice.metrics()
    voice.settle("login")
    assert "ssh_lifeline_open 1\n" in voice.metrics()
    assert 'ssh_lifeline_events_total{subject="login",kind="found"} 1\n' in voice.metrics()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"login_tried_at": 9, "hindrances": {}}, "one was tried just now"),
        ({"login_tried_at": 1, "hindrances": {}}, "busy"),
        ({"login_tried_at": 9, "hindrances": {"port": "taken"}}, "STAY LOGGED IN.*port: taken"),
        (
            {"login_tried_at": 9, "hindrances": {}, "events": [{"kind": "healed", "at": 8, "message": "put back it"}]},
            "It would not have, but was healed: put back it",
        ),
    ],
)
def test_the_last_line_of_a_session(status: dict[str, t.Any], expected: str) -> None:
    line = cli.logout_line(status, asked_at=5)
    assert "\n" not in line
    assert re.search(expected, line)


def test_a_logout_file_keeps_what_others_wrote() -> None:
    ours = setup.with_logout("clear\n")
    assert ours.startswith("clear\n")
    assert ours.count(setup.LOGOUT_BEGIN) == 1
    assert setup.with_logout(f"{ours}date\n") == setup.with_logout("clear\ndate\n")


def test_sshd_settings_of_the_guard() -> None:
    given: dict[str, t.Any] = {"ports": (22, 2222), "keys_file": ".ssh/authorized_keys"}
    lines = login.drop_in(**given, admin_cidrs=["192.0.2.0/24"], penalties=True).splitlines()
    assert lines[1:3] == ["Port 22", "Port 2222"]
    assert "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/ssh-lifeline/%u" in lines
    assert "PerSourcePenaltyExemptList 192.0.2.0/24" in lines
    assert not any(line.startswith("PerSourcePenalties") for line in lines)
    assert "PerSource" not in login.drop_in(**given, admin_cidrs=[], penalties=False)


def test_nobody_is_turned_away_for_long_for_what_others_behind_his_address_did() -> None:
    text = login.drop_in(ports=(22,), keys_file=".ssh/authorized_keys", admin_cidrs=[], penalties=True)
    assert "\nPerSourcePenaltyExemptList 198.51.100.22,2001:db8:22::22\n" in text
    assert "\nPerSourcePenalties max:30s\n" in text


def test_a_pattern_of_a_file_of_keys() -> None:
    given = {"account": "admin", "home": "/home/admin"}
    assert login.expand(".ssh/authorized_keys", **given) == Path("/home/admin/.ssh/authorized_keys")
    assert login.expand("/etc/keys/%u", **given) == Path("/etc/keys/admin")
    assert login.expand("%h/k%%1", **given) == Path("/home/admin/k%1")


def test_a_folder_that_others_may_write_spoils_the_keys(tmp_path: Path) -> None:
    home = tmp_path / "home"
    keys = home / ".ssh" / "authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text("")
    uid = keys.stat().st_uid
    assert login.mode_problem(keys, home=home, uid=uid) == ""
    home.chmod(0o777)
    assert login.mode_problem(keys, home=home, uid=uid) == f"{home} may be written by others"
    keys.unlink()
    assert "No such file" in login.mode_problem(keys, home=home, uid=uid)


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        ("0::/system.slice/nginx.service", "nginx.service"),
        ("1:name=systemd:/lab/user.slice/user-1000.slice/session-4.scope\n0::/", "session-4.scope"),
        ("0::/", ""),
    ],
)
def test_the_unit_of_a_process(cgroup: str, expected: str) -> None:
    assert daemon.unit_of(cgroup) == expected


def test_the_program_is_whole() -> None:
    files = program.PROGRAM.sources()
    folder = "ansible_collections/phoenix/webstack/plugins/module_utils"
    assert {f"{folder}/_lifeline/cli.py", f"{folder}/_lifeline/guard.py", f"{folder}/_ssh/procfs.py"} <= set(files)
    # Whichever module brings it, it is the same program: `setup` is loaded here, and by one of them only.
    assert not {f"{folder}/_lifeline/{name}.py" for name in ("install", "program", "setup")} & set(files)
    assert f"{folder}/_program.py" not in files
    # On the host there is no Ansible.
    imports = [line for text in files.values() for line in text.splitlines() if line.startswith("from ansible.")]
    assert imports == []


def test_the_guards_files_do_not_depend_on_their_order() -> None:
    server = setup.SshServer(keys_file=".ssh/authorized_keys", penalties=False, reads_drop_ins=False)
    files = setup.host_files(settings=Settings(accounts=("admin",)), server=server)
    assert login.DROP_IN not in files
    assert all(text.endswith("\n") for text, _mode in files.values())


@pytest.mark.parametrize(
    ("named", "caller", "held", "expected"),
    [
        (["ana", "ben"], "admin", ["eva"], ("ana", "ben")),
        ([], "admin", ["eva"], ("admin",)),
        ([], "", ["eva"], ("eva",)),
        ([], "", [], ("root",)),
    ],
)
def test_a_run_on_the_host_itself_leaves_the_accounts_that_are_held(
    named: list[str],
    caller: str,
    held: list[str],
    expected: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUDO_USER", caller)
    file = tmp_path / "settings.json"
    if held:
        file.write_text(json.dumps(GIVEN | {"accounts": held}), encoding="utf-8")
    assert choose_accounts(named, file=file) == expected


ED, RSA = "ssh-ed25519 AAAAC3Nza", "ssh-rsa AAAAB3Nza"


def test_the_keys_of_a_file() -> None:
    text = f'# mine\n{ED} admin@desk\r\n\nfrom="192.0.2.0/24,10.*",command="echo \\"a b\\" # c" {RSA} x y\nnonsense\n'
    assert login.parse_keys(text.encode()) == {
        (b"", b"ssh-ed25519", b"AAAAC3Nza"),
        (b'from="192.0.2.0/24,10.*",command="echo \\"a b\\" # c"', b"ssh-rsa", b"AAAAB3Nza"),
    }


@pytest.mark.parametrize(
    ("now", "taken_back"),
    [
        (f"{ED} other comment\n", False),
        (f"{RSA} new\n{ED} old\n", False),
        (f"{RSA} new\n", True),
        (f'command="/bin/false" {ED} old\n', True),
        (f'expiry-time="20200101" {ED} old\n', True),
    ],
)
def test_one_key_of_before_has_to_stay(
    now: str, taken_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".ssh" / "authorized_keys"
    file.parent.mkdir()
    file.write_text(now)
    monkeypatch.setattr(login.pwd, "getpwnam", lambda _name: SimpleNamespace(pw_dir=str(tmp_path)))
    none: t.Any = None
    logins = login.Logins(runner=none, accounts=("admin",), port=22, is_open=lambda: True)
    monkeypatch.setattr(logins, "effective", lambda _account: {"authorizedkeysfile": ".ssh/authorized_keys"})
    told = logins.strangers("admin", lambda path: f"{ED} old\n".encode() if path == str(file) else None)
    assert bool(told) == taken_back
    assert logins.strangers("admin", lambda _path: None) == ""


OWN = {(b"", b"ssh-rsa", b"AAAAB3Nza")}


@pytest.mark.parametrize(
    ("settings", "uid", "told"),
    [
        ({}, 0, ""),
        ({"pubkeyacceptedalgorithms": "ssh-ed25519,rsa-sha2-256"}, 0, ""),
        ({"pubkeyacceptedalgorithms": "ssh-ed25519"}, 0, "PubkeyAcceptedAlgorithms has no algorithm of a key"),
        ({"permitrootlogin": "prohibit-password"}, 0, ""),
        ({"permitrootlogin": "forced-commands-only"}, 1000, ""),
        ({"permitrootlogin": "forced-commands-only"}, 0, "PermitRootLogin lets in those alone whose key has a command"),
    ],
)
def test_what_sshd_takes_of_the_guard_but_not_of_an_admin(settings: dict[str, str], uid: int, told: str) -> None:
    assert login.refusal_of(OWN, settings, uid=uid) == told
    assert login.refusal_of([], settings, uid=uid) == ""


def test_keys_that_are_revoked(tmp_path: Path) -> None:
    (tmp_path / "revoked").write_text(f"{RSA} lost\n")
    settings = {"revokedkeys": str(tmp_path / "revoked")}
    assert login.refusal_of(OWN, settings, uid=1000) == "every key is revoked"
    assert login.refusal_of({*OWN, (b"", b"ssh-ed25519", b"AAAAC3Nza")}, settings, uid=1000) == ""
