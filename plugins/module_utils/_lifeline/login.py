# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the guarded accounts could log in: real logins with a key of the guard's own, and a look at the real keys.

The guard's key stands in a file of its own beside the account's, and opens nothing but one word.
"""

from __future__ import annotations

import pwd
import re
import stat
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths, trial
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.daemon import SSHD
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.probe import ANYWHERE, connect
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import (
    TOO_LONG,
    make_private,
    write_atomically,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult, CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.probe import Way

WORD = "ssh-lifeline-was-here"
KEY = paths.STATE / "probe" / "id_ed25519"
KEYS_FOLDER = Path("/etc/ssh/ssh-lifeline")
OUR_KEYS = f"{KEYS_FOLDER}/%u"
DROP_IN = Path("/etc/ssh/sshd_config.d/00-ssh-lifeline.conf")
CLIENT = ["ssh", "-F", "none", "-T", "-i", str(KEY)]
OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    "ControlPath": "none",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "LogLevel": "ERROR",
    "PreferredAuthentications": "publickey",
    "GlobalKnownHostsFile": "/dev/null",
}
# As long as nobody knows the host's keys: to this very host, there is nobody whose identity could be proven.
TRUSTING = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null"}
KNOWN_HOSTS = paths.STATE / "probe" / "known_hosts"
HOST_ALIAS = "ssh-lifeline"
# Kinds of host keys in the order in which clients ask for them, hence the one that most of them have kept.
KEY_KINDS = {
    "ssh-ed25519": "ssh-ed25519",
    "ecdsa-sha2-nistp256": "ecdsa-sha2-nistp256",
    "ssh-rsa": "rsa-sha2-512,rsa-sha2-256",
}
LONGEST_PENALTY = 30  # seconds
# Seconds to wait for a login, and how many times as long as the usual one may take: many hang for ever in the end.
SHORTEST, LONGEST, PATIENCE = 2.0, 10.0, 3.0
FORGETTING = 0.7  # what is left of a slow one's weight after each of the next
KEY_LINE = re.compile(
    rb'(?P<options>(?:[^\s"#]|"(?:\\.|[^"\\])*")+\s+)??(?P<kind>(?:ssh|ecdsa|sk)-\S+)\s+(?P<blob>[A-Za-z0-9+/=]+)'
)
# What a key of a kind may sign with, where that is not just named like it.
ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")}
GROUP_OR_WORLD = stat.S_IWGRP | stat.S_IWOTH


def parse_effective(text: str) -> dict[str, str]:
    """Read ``sshd -T``: the first value of each keyword."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _blank, value = line.partition(" ")
        found.setdefault(name.lower(), value.strip())
    return found


def last_line(done: CommandResult) -> str:
    """Return a failed command's last words."""
    words = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return words[-1][:200] if words else ""


def known_host(public_keys: t.Iterable[str]) -> str:
    """Return the line of known_hosts by which clients know a host with these keys; an empty text for none."""
    keys = [line.split()[:2] for line in public_keys if line.split()]
    order = list(KEY_KINDS)
    usual = sorted((key for key in keys if key[0] in order), key=lambda key: order.index(key[0]))
    return f"{HOST_ALIAS} {' '.join(usual[0])}\n" if usual else ""


def given_options() -> list[str]:
    """Return the options of the client as words."""
    try:
        kind = KNOWN_HOSTS.read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        options = {**OPTIONS, **TRUSTING}
    else:
        options = {
            **OPTIONS,
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(KNOWN_HOSTS),
            "HostKeyAlias": HOST_ALIAS,
            "HostKeyAlgorithms": KEY_KINDS[kind],
        }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def expand(pattern: str, *, account: str, home: str) -> Path:
    """Return the file that a pattern of AuthorizedKeysFile stands for."""
    text = pattern.replace("%%", "\0").replace("%u", account).replace("%h", home).replace("\0", "%")
    return Path(home) / text


def drop_in(*, ports: t.Sequence[int], keys_file: str, admin_cidrs: t.Sequence[str], penalties: bool) -> str:
    """Return the guard's own settings of sshd, which are read first.

    The first value counts, but ports add up: whatever other port is set, these stay.

    :arg keys_file: The value of AuthorizedKeysFile without the guard's.
    :arg admin_cidrs: The admins' networks; none means that they may come from anywhere.
    :arg penalties: Whether this sshd has PerSourcePenalties (OpenSSH 9.8 and newer).
    """
    lines = [
        "# Managed by ssh-lifeline. These settings are read first, so that they cannot be set otherwise elsewhere.",
        *(f"Port {port}" for port in ports),
        "PubkeyAuthentication yes",
        f"AuthorizedKeysFile {keys_file} {OUR_KEYS}",
        # Room for many who connect and say nothing, and not for long.
        "MaxStartups 200:30:500",
        "LoginGraceTime 30",
        "UseDNS no",
    ]
    if penalties:
        # Neither an admin who mistyped nor the guard itself is to be turned away for a while.
        lines.append(f"PerSourcePenaltyExemptList {','.join(admin_cidrs or ANYWHERE.values())}")
        if not admin_cidrs:
            # Others who share the admin's address, behind a NAT, may bring a penalty on it: ten minutes by default.
            lines.append(f"PerSourcePenalties max:{LONGEST_PENALTY}s")
    return "".join(f"{line}\n" for line in lines)


def bare_settings(*, ports: t.Sequence[int], accounts: t.Sequence[str]) -> str:
    """Return settings of sshd that need no others, and let nobody in but some accounts, by their keys."""
    lines = [
        *(f"Port {port}" for port in ports),
        f"AllowUsers {' '.join(accounts)}",
        f"AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2 {OUR_KEYS}",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM yes",
        "UseDNS no",
        "Subsystem sftp internal-sftp",
    ]
    return "".join(f"{line}\n" for line in lines)


def key_files(settings: t.Mapping[str, str], *, account: str, home: str) -> list[Path]:
    """Return the files of an account's own keys, by sshd's effective settings."""
    patterns = [each for each in settings.get("authorizedkeysfile", "").split() if each not in (OUR_KEYS, "none")]
    return [expand(each, account=account, home=home) for each in patterns]


def parse_keys(content: bytes) -> set[tuple[bytes, bytes, bytes]]:
    """Read a file of keys: the options, kind and blob of each, but not its comment."""
    found = (KEY_LINE.match(line.strip()) for line in content.splitlines())
    return {((match["options"] or b"").strip(), match["kind"], match["blob"]) for match in found if match}


def refusal_of(keys: t.Collection[tuple[bytes, bytes, bytes]], settings: t.Mapping[str, str], *, uid: int) -> str:
    """Tell why sshd takes the guard's key, but none of these; an empty text where it takes one, or none is known.

    :arg keys: As `parse_keys` returns them.
    :arg settings: sshd's effective settings.
    """
    kinds = {kind.decode("ascii", "replace") for _options, kind, _blob in keys}
    if not kinds:
        return ""
    accepted = settings.get("pubkeyacceptedalgorithms", "").split(",")
    if accepted != [""] and not any(name in accepted for kind in kinds for name in ALGORITHMS.get(kind, (kind,))):
        return "PubkeyAcceptedAlgorithms has no algorithm of a key"
    revoked = {blob for _options, _kind, blob in parse_keys(read_bytes(Path(settings.get("revokedkeys", "none"))))}
    if all(blob in revoked for _options, _kind, blob in keys):
        return "every key is revoked"
    forced = any(b"command=" in options for options, _kind, _blob in keys)
    if uid == 0 and settings.get("permitrootlogin") == "forced-commands-only" and not forced:
        return "PermitRootLogin lets in those alone whose key has a command"
    return ""


def read_bytes(file: Path) -> bytes:
    """Return what a file holds, nothing where it cannot be read."""
    try:
        return file.read_bytes() if file.is_file() else b""
    except OSError:
        return b""


class Logins:
    """Logins to the guarded accounts of this host.

    :arg is_open: Tells whether new connections get an answer: where they do not, no login is worth a long wait.
    """

    def __init__(
        self, *, runner: CommandRunner, accounts: t.Sequence[str], port: int, is_open: t.Callable[[], bool]
    ) -> None:
        self._runner = runner
        self._accounts = accounts
        self._port = port
        self._is_open = is_open
        self._usual: float | None = None  # seconds that a login takes on this host

    def problem(self, account: str) -> str:
        """Return what would keep an account out with the files as they are now; an empty text for nothing."""
        try:
            words = self._key_problem(account)
            if words:
                return f"{account}: {words}"
            words = self._trial(account)
        except WebstackError as error:
            return error.message
        return f"{account} could not log in: {words}" if words else ""

    def prepare(self) -> None:
        """Make the guard's key where it is missing, and let it into the accounts."""
        make_private(KEY.parent)
        if not KEY.exists():
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ssh-lifeline", "-f", str(KEY)]
            self._runner.run(argv)
        public = KEY.with_suffix(".pub").read_text(encoding="ascii").strip()
        # With what the account does at each login: it may hang.
        line = f'restrict,user-rc,command="/bin/echo {WORD}" {public}\n'
        KEYS_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        for account in self._accounts:
            file = KEYS_FOLDER / account
            if not file.exists() or file.read_text(encoding="utf-8", errors="replace") != line:
                write_atomically(file, line.encode(), mode=0o644)

    @staticmethod
    def know_host(keys: t.Iterable[bytes]) -> None:
        """Have logins fail from now on where the host shows another key than admins know it by.

        :arg keys: The host's public keys, as their files hold them.
        """
        line = known_host(key.decode("ascii", "replace") for key in keys)
        if line:
            write_atomically(KNOWN_HOSTS, line.encode())

    def effective(self, account: str) -> dict[str, str]:
        """Return what sshd's files say about a login to an account.

        :raises WebstackError: when sshd refuses them.
        """
        who = f"user={account},host=localhost,addr={trial.LOOPBACK},laddr={trial.LOOPBACK},lport={self._port}"
        done = self._runner.run([SSHD, "-T", "-C", who], check=False)
        if done.rc != 0:
            raise WebstackError(f"sshd would not start: {last_line(done) or done.rc}")
        return parse_effective(done.stdout)

    def refusal(self) -> str:
        """Return what sshd has against its files; an empty text for nothing."""
        done = self._runner.run([SSHD, "-t"], check=False)
        return f"sshd would not start: {last_line(done) or done.rc}" if done.rc else ""

    def _trial(self, account: str) -> str:
        """Log in to a server of its own, started with the files as they are now; return what went wrong.

        So a fault is seen before a restart of the real server would meet it.
        """
        own = [each for each in self.effective(account).get("authorizedkeysfile", "").split() if each != OUR_KEYS]
        keys = " ".join([*own, OUR_KEYS])
        server = [SSHD, "-i", "-o", "LogLevel=QUIET", "-o", f"AuthorizedKeysFile={keys}"]
        client = [*CLIENT, *given_options(), f"{account}@{trial.LOOPBACK}", "true"]
        return self._judge(client, lambda: trial.served_by(server))

    def online(self, account: str, way: Way) -> str:
        """Log in to the real server by the probe's way in; return what went wrong."""
        client = [*CLIENT, *given_options(), f"{account}@{trial.LOOPBACK}", "true"]
        try:
            return self._judge(client, lambda: trial.served_over(connect(way, port=self._port)))
        except WebstackError as error:
            return error.message

    def _judge(self, client: t.Sequence[str], serve: t.Callable[[], trial.Serve]) -> str:
        patience = LONGEST if self._usual is None else min(LONGEST, max(SHORTEST, PATIENCE * self._usual))
        began = time.monotonic()
        done = trial.log_in(client=client, serve=serve(), seconds=patience)
        if done.rc == TOO_LONG and self._is_open():  # a machine under load may be too slow once
            began = time.monotonic()
            done = trial.log_in(client=client, serve=serve(), seconds=2 * patience)
        if WORD in done.stdout:
            self._usual = max(time.monotonic() - began, FORGETTING * (self._usual or 0.0))
            return ""
        return last_line(done) or f"no answer (exit code {done.rc})"

    def _key_problem(self, account: str) -> str:
        """Tell what keeps the account's own keys from being used; an empty text for nothing."""
        try:
            known = pwd.getpwnam(account)
        except KeyError:
            return "there is no such account"
        settings = self.effective(account)
        files = key_files(settings, account=account, home=known.pw_dir)
        usable = [file for file in files if self._keys_in(file)]
        if not usable and settings.get("authorizedkeyscommand", "none") == "none":
            return f"no key in {', '.join(map(str, files)) or 'any file'}"
        if usable and not any(self._may_read(known, file) for file in usable):
            return f"may not read {usable[0]} as the user it is for"
        refused = refusal_of(
            {key for file in usable for key in parse_keys(read_bytes(file))}, settings, uid=known.pw_uid
        )
        if refused:
            return refused
        if settings.get("strictmodes") == "yes":
            problems = [mode_problem(file, home=Path(known.pw_dir), uid=known.pw_uid) for file in usable]
            if problems and all(problems):
                return problems[0]
        return ""

    def strangers(self, account: str, good: t.Callable[[str], bytes | None]) -> str:
        """Tell whether every key of before is gone, or has other options: nobody has proven the new ones.

        Who wants to replace them all adds the new first, and removes the old once that works.

        :arg good: Returns what a file held when a login last worked; None for a file that was not there.
        """
        try:
            home = pwd.getpwnam(account).pw_dir
            files = key_files(self.effective(account), account=account, home=home)
        except (KeyError, WebstackError):
            return ""  # which is another problem
        usual = [Path(home) / ".ssh" / name for name in ("authorized_keys", "authorized_keys2")]
        before = {key for file in {*files, *usual} for key in parse_keys(good(str(file)) or b"")}
        now = {key for file in files for key in parse_keys(read_bytes(file))}
        if not before or before & now:
            return ""
        return f"{account}: none of the keys of before is left as it was in {', '.join(map(str, files))}"

    def hidden(self, account: str, server: int | None) -> str:
        """Tell which of an account's key files a server does not see as they are; an empty text for none.

        Its unit may give it file systems of its own. The guard's key is none of those that may be hidden.

        :arg server: The process that listens; None for none that is known.
        """
        try:
            views = [Path("/proc", str(each), "ns/mnt").stat().st_ino for each in (server, "self")]
            home = pwd.getpwnam(account).pw_dir
            if server is None or views[0] == views[1]:
                return ""
            files = key_files(self.effective(account), account=account, home=home)
        except (OSError, KeyError, WebstackError):
            return ""
        inside = Path("/proc", str(server), "root")
        for file in files:
            if read_bytes(file) != read_bytes(inside / file.relative_to("/")):
                return f"the server does not see {file}"
        return ""

    def _may_read(self, account: pwd.struct_passwd, file: Path) -> bool:
        """Tell whether an account may read a file of keys: sshd does so as that user."""
        who = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
        done = self._runner.run(["setpriv", *who, "test", "-r", str(file)], check=False)
        return done.rc != 1 or bool(done.stderr)  # which is the word of `setpriv`, not of `test`

    def _keys_in(self, file: Path) -> bool:
        """Tell whether a file holds a key; ssh-keygen fails where one line of several is none."""
        return file.is_file() and bool(self._runner.run(["ssh-keygen", "-l", "-f", str(file)], check=False).stdout)


def mode_problem(file: Path, *, home: Path, uid: int) -> str:
    """Tell what sshd's StrictModes has against a file: its owner or mode, or those of a folder above it."""
    for path in (file, *file.parents):
        try:
            found = path.stat()
        except OSError as error:
            return f"{path}: {error.strerror}"
        if found.st_uid not in (0, uid):
            return f"{path} belongs to another user"
        if found.st_mode & GROUP_OR_WORLD:
            return f"{path} may be written by others"
        if path == home:
            break
    return ""
