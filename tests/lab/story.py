"""The outage and its repair, as steps that the demo shows and the end to end tests judge.

A `Story` is a lab of bare machines, and a folder from which an admin types playbooks. What an admin
would do goes over SSH; `hand` is the test's own hand, which needs none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import images
import lab as labs
from engine import CACHE, ROOT, LabError

DATABASE = "sakila"
SAMPLE = ROOT / "tests" / "data" / "sakila"
# The sample has no event of its own, and an event must survive a rebuild as well.
EVENT = f"""
CREATE EVENT {DATABASE}.forget_old_rentals ON SCHEDULE EVERY 1 DAY DISABLE
  DO DELETE FROM {DATABASE}.rental WHERE rental_date < NOW() - INTERVAL 50 YEAR;
"""
GUARD_FILES = ("/etc/ufw/before.rules", "/etc/ufw/before6.rules")
GUARD_BLOCK = "/^# BEGIN phoenix.webstack SSH guard$/,/^# END phoenix.webstack SSH guard$/d"
TAIL = 60  # lines of a failed run's log that are shown

Found = TypeVar("Found")


class StoryError(Exception):
    """The story took another turn than it must; the message is for a person."""


# -- playbooks -------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A finished run of a command."""

    title: str
    code: int
    output: str
    log: Path
    seconds: float

    @property
    def words(self) -> str:
        """The output with every white space as one blank: messages are wrapped."""
        return " ".join(self.output.split())

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Ansible's closing counts by host."""
        lines = re.findall(r"^(\S+) +: (ok=\d+ .*)$", self.output, re.MULTILINE)
        return {host: {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line)} for host, line in lines}

    @property
    def changed(self) -> dict[str, int]:
        """How many tasks changed something, by host, where any did."""
        return {host: counts["changed"] for host, counts in self.recap.items() if counts["changed"]}

    @property
    def tail(self) -> str:
        """The end of the output, and where the whole of it is."""
        lines = [f"    {line}" for line in self.output.splitlines()[-TAIL:]]
        return "\n".join([*lines, f"    (all of it: {self.log})"])

    def require_success(self) -> Run:
        """Return this run, or show how it failed."""
        if self.code != 0:
            raise StoryError(f"{self.title} ended with code {self.code}:\n{self.tail}")
        return self


class Running:
    """A command under way, in a process group of its own, its output in a log."""

    def __init__(self, argv: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self.title = shlex.join([Path(argv[0]).name, *argv[1:]])
        self._log = log
        self._started = time.monotonic()
        with log.open("ab") as output:
            output.write(f"\n$ {self.title}\n".encode())
            self._offset = output.tell()
            self.process = subprocess.Popen(
                argv,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it printed so far."""
        with self._log.open("rb") as log:
            log.seek(self._offset)
            return log.read().decode(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, as a terminal does for Ctrl-C."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def wait(self, on_line: Callable[[str], None] | None = None) -> Run:
        """Wait for the end, handing over each line as it comes; whatever interrupts this ends the command too."""
        try:
            while self.process.poll() is None:
                if on_line:
                    self._hand_over(on_line)
                time.sleep(0.05)
        except BaseException:
            self.send(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.send(signal.SIGKILL)
            raise
        if on_line:
            self._hand_over(on_line)
        seconds = time.monotonic() - self._started
        return Run(self.title, self.process.returncode, self.output, self._log, seconds)

    _shown = 0

    def _hand_over(self, on_line: Callable[[str], None]) -> None:
        lines = self.output.split("\n")[:-1]
        for line in lines[self._shown :]:
            on_line(line)
        self._shown = len(lines)


# -- the story -------------------------------------------------------------------------


@dataclass
class Story:
    """A lab, and the folder from which an admin works on it."""

    lab: labs.Lab
    log: Path
    on_line: Callable[[str], None] | None = None
    # The machine behind a name of the inventory: a rebuilt web-01 lives in another container.
    machines: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the playbooks are typed; a rebuild keeps its journal below."""
        return self.lab.folder / "work"

    @property
    def inventory(self) -> Path:
        """The folder of the inventory."""
        return self.lab.folder / "inventory"

    # -- the lab

    def begin(self, hosts: Sequence[str], *, suite: str = "12") -> None:
        """Start bare machines and write their inventory."""
        labs.up(self.lab, [labs.Host(host, f"lab/debian:{suite}") for host in hosts])
        labs.write_inventory(self.lab, self.inventory)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.machines = {host: host for host in hosts}

    def end(self) -> None:
        """Leave nothing behind but the log."""
        labs.down(self.lab)

    def address(self, machine: str, *, version: int = 4) -> str:
        """Return a machine's address (an empty one where the lab has no IPv6)."""
        return self.lab.addresses(machine)[0 if version == 4 else 1]

    def fingerprint(self, machine: str) -> str:
        """Return what a provider's console would show of a machine's host key."""
        return self.hand(machine, "ssh-keygen", "-l", "-f", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]

    def host_key(self, machine: str) -> str:
        """Return a machine's public host key, as a line of known_hosts has it behind the name."""
        return " ".join(self.hand(machine, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])

    def hand(self, machine: str, *argv: str, stdin: str = "") -> str:
        """Run a command as root on a machine, around SSH, and return what it printed."""
        return self.lab.podman.run("exec", "--interactive", self.lab.container(machine), *argv, stdin=stdin.encode())

    # -- the admin

    @property
    def environment(self) -> dict[str, str]:
        """What the admin's shell has: this checkout's Ansible and settings, and nobody else's."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return {
            **own,
            "PATH": f"{Path(sys.executable).parent}:{own['PATH']}",
            "PWD": str(self.folder),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_INVENTORY": str(self.inventory),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        }

    def start(self, playbook: str, variables: Mapping[str, object] | None = None, *options: str) -> Running:
        """Start a playbook of the collection with extra variables."""
        given = [word for name, value in (variables or {}).items() for word in ("-e", f"{name}={value}")]
        return self.start_command("ansible-playbook", f"phoenix.webstack.{playbook}", *given, *options)

    def start_command(self, *argv: str) -> Running:
        """Start any command the admin may type."""
        return Running(argv, folder=self.folder, environment=self.environment, log=self.log)

    def play(self, playbook: str, variables: Mapping[str, object] | None = None, *options: str) -> Run:
        """Run a playbook to its end, whatever that is."""
        return self.start(playbook, variables, *options).wait(self.on_line)

    def rebuild_variables(self, host: str, machine: str) -> dict[str, object]:
        """Return what an admin says to rebuild a host on a new machine, with no terminal."""
        return {
            "rebuild_host": host,
            "rebuild_address": self.address(machine),
            "rebuild_host_key_fingerprint": self.fingerprint(machine),
            "rebuild_confirm": host,
            "rebuild_write_inventory": "true",
        }

    def module(self, hosts: str, name: str, arguments: Mapping[str, object]) -> dict[str, dict[str, Any]]:
        """Run one of the collection's modules as root on hosts; return the results by host."""
        argv = ["ansible", hosts, "--become", "--one-line"]
        argv += ["--module-name", f"phoenix.webstack.{name}", "--args", json.dumps(arguments)]
        run = self.start_command(*argv).wait().require_success()
        found = re.findall(r"^(\S+) \| \w+ => (\{.*\})$", run.output, re.MULTILINE)
        return {host: json.loads(result) for host, result in found}

    # -- SSH

    def ssh_argv(self, host: str, *, version: int = 4, seconds: int = 4) -> list[str]:
        """Return the command that opens a NEW connection to a host, as the admin, with its key checked."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": seconds,
            "ControlMaster": "no",
            "ControlPath": "none",
            "HostKeyAlias": host,
            "IdentitiesOnly": "yes",
            "IdentityFile": self.lab.private_key,
            "LogLevel": "ERROR",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.lab.known_hosts,
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        address = self.address(self.machines.get(host, host), version=version)
        return ["ssh", "-F", "none", *words, f"{labs.ADMIN}@{address}"]

    def ssh(self, host: str, *command: str, version: int = 4) -> subprocess.CompletedProcess[str]:
        """Type a command on a host over a new connection."""
        argv = [*self.ssh_argv(host, version=version), shlex.join(command)]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def lets_in(self, host: str, *, version: int = 4) -> bool:
        """Tell whether a new SSH connection gets the admin in."""
        return self.ssh(host, "true", version=version).returncode == 0

    # -- the data

    def load_sample(self, host: str) -> None:
        """Fill a server's database by hand, as if it had always been there."""
        for part in ("schema", "data"):
            self.query(host, (SAMPLE / f"{DATABASE}-{part}.sql").read_text(encoding="utf-8"))
        self.query(host, EVENT)

    def query(self, host: str, sql: str) -> str:
        """Run statements as the database's root; return the rows, columns parted by tabs."""
        client = ["mariadb", "--no-defaults", "--default-character-set=utf8mb4", "--batch", "--skip-column-names"]
        return self.hand(self.machines[host], *client, stdin=sql)

    def export(self, host: str) -> dict[str, str]:
        """Return the sha256 of every table's sorted logical export, made by the engine's own client."""
        options = ["--hex-blob", "--complete-insert", "--skip-extended-insert", "--no-create-info", "--compact"]
        options += ["--skip-triggers", "--skip-tz-utc", "--default-character-set=utf8mb4"]
        dumped = self.hand(self.machines[host], "mariadb-dump", "--no-defaults", *options, DATABASE)
        rows: dict[str, list[str]] = {}
        for line in dumped.splitlines():
            if found := re.match(r"INSERT INTO `([^`]+)`", line):
                rows.setdefault(found[1], []).append(line)
        return {table: sha256("\n".join(sorted(lines))) for table, lines in sorted(rows.items())}

    def objects(self, host: str) -> dict[str, str]:
        """Return the digest of every view, trigger, routine and event, by kind and name."""
        wanted = {
            "view": ("views", "table_schema", "table_name, security_type, definer, view_definition"),
            "trigger": (
                "triggers",
                "trigger_schema",
                "trigger_name, action_timing, event_manipulation, event_object_table, definer, action_statement",
            ),
            "routine": (
                "routines",
                "routine_schema",
                "routine_name, routine_type, dtd_identifier, security_type, definer, routine_definition",
            ),
            "event": (
                "events",
                "event_schema",
                "event_name, status, interval_value, interval_field, definer, event_definition",
            ),
        }
        found = {}
        for kind, (table, schema, columns) in wanted.items():
            select = f"SELECT {columns} FROM information_schema.{table} WHERE {schema} = '{DATABASE}'"
            for line in self.query(host, select).splitlines():
                found[f"{kind} {line.split(chr(9))[0]}"] = sha256(line)
        return dict(sorted(found.items()))

    def grants(self, host: str) -> list[str]:
        """Return what every account but the server's own may do."""
        accounts = self.query(host, "SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user").split()
        own = ("'root'", "'mysql'", "'mariadb.sys'")
        asked = [account for account in sorted(accounts) if not account.startswith(own)]
        return [line for account in asked for line in self.query(host, f"SHOW GRANTS FOR {account}").splitlines()]

    # -- the lockout

    @contextmanager
    def open_shell(self, host: str) -> Iterator[OpenShell]:
        """Keep one SSH connection open, the way an admin sits in front of it."""
        shell = OpenShell([*self.ssh_argv(host), "sh"])
        try:
            yield shell
        finally:
            shell.close()

    def take_guard_off(self, shell: OpenShell) -> None:
        """Stop the guard on the host, and remove that of ufw's files: from now on the admin can be locked out."""
        shell.type("sudo ssh-lifeline off")
        shell.type(f"sudo sed -i {shlex.quote(GUARD_BLOCK)} {' '.join(GUARD_FILES)}")
        shell.type("sudo ufw reload")

    def let_guard(self, verb: str, machine: str) -> None:
        """Stop or start the guard of a machine that has one: it would put itself first in the test's own chains."""
        units = "ssh-lifeline.timer ssh-lifeline.service"
        script = f"! systemctl is-enabled --quiet {units} || systemctl {verb} {units}"
        self.hand(machine, "sh", "-c", f"{script} 2>/dev/null")

    def count_ssh_attempts(self, machine: str) -> None:
        """Begin to count, in the machine's kernel and ahead of its firewall, who tries its SSH port."""
        self.let_guard("stop", machine)
        with suppress(LabError):
            self.hand(machine, "nft", "delete", "table", "inet", "witness")
        rules = """
        table inet witness {
          counter ssh_attempts { }
          chain input {
            type filter hook prerouting priority -400; policy accept;
            tcp dport 22 tcp flags & (syn | ack) == syn counter name ssh_attempts
          }
        }
        """
        self.hand(machine, "nft", "-f", "-", stdin=rules)

    def ssh_attempts(self, machine: str) -> int:
        """Return how often somebody tried since."""
        shown = self.hand(machine, "nft", "list", "counter", "inet", "witness", "ssh_attempts")
        self.let_guard("start", machine)
        found = re.search(r"packets (\d+)", shown)
        return int(found[1]) if found else -1

    @contextmanager
    def ssh_shut(self, machine: str) -> Iterator[None]:
        """Cut a machine's SSH port off for the length of a block, the connections that are open as well."""
        self.let_guard("stop", machine)
        rules = """
        table inet shut {
          chain input {
            type filter hook input priority -400; policy accept;
            tcp dport 22 reject with tcp reset
          }
        }
        """
        self.hand(machine, "nft", "-f", "-", stdin=rules)
        try:
            yield
        finally:
            self.hand(machine, "nft", "delete", "table", "inet", "shut")
            self.let_guard("start", machine)

    # -- comparing

    def snapshot(self, machine: str) -> dict[str, Any]:
        """Return what a refused run must not change on a machine."""
        script = Path(__file__).with_name("snapshot.py").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(self.hand(machine, "python3", "-", stdin=script))
        return found

    def balancer_knows(self, address: str) -> list[str]:
        """Return every place of the balancer that holds an address: its files, and the running HAProxy."""
        shown = self.snapshot("lb-01")["balancer"]
        grep = ["grep", "--recursive", "--fixed-strings", "--word-regexp", address, "/etc/haproxy"]
        files = self.lab.podman.attempt("exec", self.lab.container("lb-01"), *grep).stdout.decode()
        return [*files.splitlines(), *(line for line in shown if f" {address}:" in line)]

    def serving(self) -> set[str]:
        """Return the servers that the running HAProxy sends requests to."""
        shown = (line.split() for line in self.snapshot("lb-01")["balancer"])
        return {words[1] for words in shown if "state=2" in words}

    @property
    def url(self) -> str:
        """What users ask."""
        return f"http://{self.address('lb-01')}/"


class OpenShell:
    """An SSH session that stays open while the door behind it closes."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )

    def type(self, command: str, *, seconds: float = 20.0) -> str:
        """Type a command and return what it printed; a failure or a dead connection is an error."""
        assert self._process.stdin
        assert self._process.stdout
        watchdog = threading.Timer(seconds, self._process.kill)
        watchdog.start()
        lines: list[str] = []
        try:
            self._process.stdin.write(f"{command}\necho; echo end-of-command $?\n")
            for line in self._process.stdout:
                if line.startswith("end-of-command "):
                    if line.split()[1] != "0":
                        break
                    return "".join(lines).strip()
                lines.append(line)
        except BrokenPipeError:
            pass
        finally:
            watchdog.cancel()
        raise StoryError(f"over the open SSH connection, `{command}` failed:\n{''.join(lines).strip()}")

    def close(self) -> None:
        """Hang up."""
        self._process.kill()
        self._process.communicate()


def new_story(name: str, *, log: Path, on_line: Callable[[str], None] | None = None) -> Story:
    """Prepare a story in a lab of that name; nothing is started yet."""
    log.parent.mkdir(parents=True, exist_ok=True)
    return Story(labs.Lab(name, CACHE / "labs" / name), log, on_line)


def prepare_images(story: Story, *, suite: str = "12") -> None:
    """Build what the machines start from, where it is missing."""
    images.ensure(story.lab.podman, {f"lab/debian:{suite}"})


def wait_for(what: str, look: Callable[[], Found], *, seconds: float = 30.0) -> Found:
    """Wait until a look shows something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise StoryError(f"waited {seconds:.0f} s in vain for: {what}")
        time.sleep(0.1)
    return found


def sha256(text: str) -> str:
    """Return the digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
