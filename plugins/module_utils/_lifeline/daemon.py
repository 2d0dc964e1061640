# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH server: who listens on its port, and how it is brought back."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths, sockets
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import write_atomically
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import STOP
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.procfs import Proc

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

SSHD = "/usr/sbin/sshd"
# No boot gets to its services without them.
BOOT_TARGETS = ("multi-user.target", "basic.target", "sysinit.target")
SERVICE, SOCKET = "ssh.service", "ssh.socket"
# PAM, NSS and whoever writes to the journal wait for their answers: a stopped one holds up every login.
LOGIN_SERVICES = frozenset(
    f"{name}.service"
    for name in (
        "systemd-logind",
        "dbus",
        "dbus-broker",
        "systemd-journald",
        "systemd-userdbd",
        "nscd",
        "nslcd",
        "sssd",
    )
)
STAND_IN = "ssh-lifeline-server.service"
BY_HAND = "ssh-lifeline-emergency.service"
STAND_IN_FLAG = paths.RUNTIME / "stand-in"  # ssh.service has a condition on it
STAND_IN_FOLDER = paths.RUNTIME / "server"
# Whatever the defaults for all units are set to.
LIMITS = {"LimitAS": "infinity", "LimitNOFILE": "65536", "LimitNPROC": "infinity", "TasksMax": "infinity"}
STAND_IN_UNIT = {
    "Restart": "always",
    "RestartSec": "1",
    "StartLimitIntervalSec": "0",  # it has to come back as often as somebody ends it
    "KillMode": "process",
    "RuntimeDirectory": "sshd",
    "RuntimeDirectoryPreserve": "yes",
    **LIMITS,
}
RUNTIME_FOLDER = Path("/run/sshd")
START_SECONDS = 3.0
TERM_SECONDS = 2.0
DEAF_SECONDS = 1.5  # a server takes a connection within milliseconds


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process that listens on an SSH port.

    :arg unit: The systemd unit it belongs to; empty for none.
    :arg rightful: Whether it is sshd, or systemd on its behalf.
    """

    pid: int
    name: str
    unit: str
    address: str
    port: int
    rightful: bool
    stopped: bool

    def __str__(self) -> str:
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.name} (process {self.pid}{unit}) on {self.address} port {self.port}"


def unit_at(pid: int) -> str:
    """Return the service or scope that a process belongs to now."""
    try:
        return unit_of(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"))
    except OSError:
        return ""


def unit_of(cgroup: str) -> str:
    """Return the service or scope that a process belongs to, by the text of /proc/PID/cgroup."""
    for line in cgroup.splitlines():
        for part in reversed(line.split(":", 2)[-1].split("/")):
            if part.endswith((".service", ".scope")):
                return part
    return ""


class Daemon:
    """The SSH server of this host."""

    def __init__(self, *, runner: CommandRunner, settings: Settings, proc: Proc | None = None) -> None:
        self._runner = runner
        self._settings = settings
        self._proc = proc or Proc()
        self._listening: frozenset[tuple[str, int, str]] = frozenset()
        self._holders: list[Holder] = []
        self._waiting_since: float | None = None

    def holders(self) -> list[Holder]:
        """Return who listens on the SSH ports; processes are searched only when the sockets are other ones."""
        found = [each for port in self._settings.ports for each in sockets.listening(port)]
        self._note_waiting(any(each.waiting for each in found))
        listening = frozenset((each.address, each.port, each.inode) for each in found)
        if listening != self._listening or any(not Path(f"/proc/{holder.pid}").exists() for holder in self._holders):
            self._holders = [self._holder(pid, each) for pid, each in self._owners(listening)]
            self._listening = listening
        return [dataclasses.replace(each, stopped=self._is_stopped(each.pid)) for each in self._holders]

    def started_at(self) -> float | None:
        """Return when the server was started that listens, in seconds since the epoch; None where that is not known."""
        pid = self.main_pid(now=True)
        try:
            ticks = int(
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
            )
            uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        except (OSError, ValueError, IndexError):
            return None
        return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")

    def main_pid(self, *, now: bool = False) -> int | None:
        """Return the process to be watched, as of the last look, or as of now; None where there is none."""
        if now:
            self.holders()
        return next((each.pid for each in self._holders if each.rightful and each.pid > 1), None)

    def _note_waiting(self, waiting: bool) -> None:
        self._waiting_since = (self._waiting_since or time.monotonic()) if waiting else None

    def is_deaf(self) -> bool:
        """Tell whether connections wait that nobody takes, as of the last look.

        The kernel goes on to answer for a server that is out of descriptors, held by a debugger, or frozen.
        """
        return self._waiting_since is not None and time.monotonic() - self._waiting_since > DEAF_SECONDS

    def unit(self) -> str:
        """Return the unit that brings SSH to this host."""
        active = self._runner.run(["systemctl", "is-active", "--quiet", SOCKET], check=False)
        return SOCKET if active.rc == 0 else SERVICE

    def starts_at_boot(self, unit: str) -> bool:
        """Tell whether SSH will be there after the next boot."""
        return self._runner.run(["systemctl", "is-enabled", "--quiet", unit], check=False).rc == 0

    def boots_to_network(self) -> bool:
        """Tell whether the next boot ends in a target that has services, and gets there."""
        target = self._runner.run(["systemctl", "get-default"], check=False).stdout.strip()
        states = self._runner.run(["systemctl", "show", "--property=LoadState", "--value", *BOOT_TARGETS], check=False)
        return "masked" not in states.stdout.split() and target not in (
            "rescue.target",
            "emergency.target",
            "halt.target",
            "poweroff.target",
            "reboot.target",
        )

    # -- bringing it back

    def wake(self, holder: Holder) -> str:
        """Let a stopped server go on."""
        os.kill(holder.pid, signal.SIGCONT)
        return f"{holder} was stopped and goes on"

    def wake_helpers(self) -> list[str]:
        """Let stopped services go on that a login waits for, and say which."""
        woken = []
        for pid in self._proc.pids():
            unit = unit_at(pid) if self._is_stopped(pid) else ""
            if unit in LOGIN_SERVICES:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                woken.append(f"{unit} (process {pid}), which a login waits for, was stopped and goes on")
        return woken

    def end_deaf(self) -> str:
        """End the server that takes no connections, and say which; its sessions are processes of their own."""
        deaf = {each.pid: each for each in self._holders if each.rightful and each.pid > 1}
        self._waiting_since = None
        for pid in deaf:
            tracer = tracer_of(pid)
            if tracer and self._settings.port_thief == STOP:  # as long as it lives, the server does not end
                end_process(tracer)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # it may be deaf to everything else
        return f"{', '.join(map(str, deaf.values())) or 'the server'} took no connections"

    def evict(self, holder: Holder) -> str:
        """Make room on the port, where the policy says so, and say what was done."""
        if self._settings.port_thief != STOP:
            return ""
        self._stop(holder.pid, holder.unit)
        return f"stopped {holder}, which held the port of SSH"

    def disown(self, family: str, table: str) -> str:
        """End the process that keeps a table of the packet filter to itself, where the policy says so.

        The table goes with it.
        """
        port = sockets.table_owners().get((family, table))
        if port is None or self._settings.port_thief != STOP:
            return ""
        inode = sockets.netlink_inode(port, Path("/proc/net/netlink").read_text(encoding="ascii"))
        for pid in self._proc.pids() if inode else []:
            if inode in self._proc.socket_inodes(pid):
                name = self._proc.comm(pid)
                self._stop(pid, unit_at(pid))
                return f"stopped {name} (process {pid}), whose table {family} {table} stopped SSH"
        return ""

    def _stop(self, pid: int, unit: str) -> None:
        name, _dot, kind = unit.rpartition(".")
        if kind in ("service", "socket"):  # the socket first: it would start the service again
            self._runner.run(["systemctl", "stop", f"{name}.socket", f"{name}.service"], check=False)
        if pid > 1:
            end_process(pid)

    def start(self, unit: str, *, restart: bool = False) -> bool:
        """Have systemd start the server, and tell whether it then listens."""
        if self.stands_in():
            self._run_unit(STAND_IN, restart=restart)
            return self._wait_for_listener()
        RUNTIME_FOLDER.mkdir(mode=0o755, exist_ok=True)
        self._runner.run(["systemctl", "reset-failed", SERVICE, SOCKET], check=False)
        other = SERVICE if unit == SOCKET else SOCKET
        if unit == SERVICE:  # a socket that somebody switched on holds the service back
            self._runner.run(["systemctl", "stop", other], check=False)
        for orphan in self._orphans():
            end_process(orphan.pid)
        return self._run_unit(unit, restart=restart) and self._wait_for_listener(unit)

    def _run_unit(self, unit: str, *, restart: bool) -> bool:
        """Start a unit, anew where it runs although nobody listens: somebody may have destroyed its socket."""
        runs = restart or self._runner.run(["systemctl", "is-active", "--quiet", unit], check=False).rc == 0
        verb = "restart" if runs else "start"
        return self._runner.run(["systemctl", "--no-block", verb, unit], check=False).rc == 0

    def comes_by_itself(self, unit: str) -> bool:
        """Tell whether systemd is about to start the server, since somebody restarts it, and it then listens."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if any(each.rightful for each in self.holders()):
                return True
            shown = self._runner.run(["systemctl", "show", "--property=ActiveState,SubState,Job", unit], check=False)
            state = dict(line.partition("=")[::2] for line in shown.stdout.splitlines())
            moves = state.get("Job") or state.get("ActiveState") in ("activating", "deactivating", "reloading")
            if not moves or state.get("SubState") == "auto-restart" or self.stands_in():
                return False
            time.sleep(0.05)
        return False

    def reload(self) -> None:
        """Have a server that runs read its settings anew."""
        self._runner.run(["systemctl", "--no-block", "reload-or-restart", SERVICE], check=False)

    def repair_units(self, unit: str) -> None:
        """Undo what keeps systemd from starting the server, once the files are right."""
        self._runner.run(["systemctl", "unmask", "--runtime", SERVICE, SOCKET], check=False)
        self._runner.run(["systemctl", "unmask", SERVICE, SOCKET], check=False)
        self._runner.run(["systemctl", "daemon-reload"], check=False)
        self._runner.run(["systemctl", "enable", "--quiet", unit], check=False)
        # A new identity is better than none; where the old one is known, it has been put back before.
        if not any(Path("/etc/ssh").glob("ssh_host_*_key")):
            self._runner.run(["ssh-keygen", "-A"], check=False)

    # -- a server of the guard's own, where somebody stops or spoils the real one again and again

    @staticmethod
    def stands_in() -> bool:
        """Tell whether there is one."""
        return STAND_IN_FLAG.exists()

    def stand_in(self, settings: t.Mapping[str, bytes], *, instead_of: str = SERVICE) -> bool:
        """Start it, and have the real one not come in its way; tell whether it listens.

        The real one is only stopped for a server that would start, and comes back where that does not listen.

        :arg settings: The files that sshd_config and its drop-ins were, by path, when a login last worked.
        """
        for path, content in settings.items():
            text = content.replace(b"/etc/ssh/sshd_config.d", bytes(STAND_IN_FOLDER / "sshd_config.d"))
            write_atomically(STAND_IN_FOLDER / Path(path).relative_to("/etc/ssh"), text)
        server = [SSHD, "-f", str(STAND_IN_FOLDER / "sshd_config")]
        RUNTIME_FOLDER.mkdir(mode=0o755, exist_ok=True)
        if self._runner.run([*server, "-t"], check=False).rc != 0:
            return False
        STAND_IN_FLAG.touch()
        self._runner.run(["systemctl", "stop", SOCKET, SERVICE, STAND_IN], check=False)
        for orphan in self._orphans():
            end_process(orphan.pid)
        properties = [f"--property={name}={value}" for name, value in STAND_IN_UNIT.items()]
        self._runner.run(
            ["systemd-run", "--quiet", "--collect", f"--unit={STAND_IN}", *properties, *server, "-D"], check=False
        )
        if self._wait_for_listener():
            return True
        self.hand_back(instead_of)
        return False

    def hand_back(self, unit: str) -> None:
        """End it, and start the real one."""
        STAND_IN_FLAG.unlink(missing_ok=True)
        self._runner.run(["systemctl", "stop", STAND_IN], check=False)
        self.start(unit)

    def start_by_hand(self) -> bool:
        """Start the server without its unit, and without systemd where that is no help: the last resort.

        What systemd starts is not bound by what the guard may not do.
        """
        self._runner.run(["systemctl", "--no-block", "stop", SERVICE], check=False)  # it would try for ever
        RUNTIME_FOLDER.mkdir(mode=0o755, exist_ok=True)
        properties = [f"--property={name}={value}" for name, value in {"KillMode": "process", **LIMITS}.items()]
        by_systemd = ["systemd-run", "--quiet", "--collect", f"--unit={BY_HAND}", *properties, SSHD, "-D"]
        started = self._runner.run(by_systemd, check=False).rc == 0
        if started and self._wait_for_listener(BY_HAND):
            return True
        self._runner.run([SSHD], check=False)
        return self._wait_for_listener()

    def is_orphaned(self) -> bool:
        """Tell whether the server that listens is none that systemd knows of, and keeps systemd from starting one.

        systemd then tries again and again, and takes the server's runtime folder away each time.
        """
        return bool(self._orphans()) and self._property("ActiveState") == "activating"

    def _orphans(self) -> list[Holder]:
        found = [each for each in self.holders() if each.rightful and each.pid > 1 and each.unit != STAND_IN]
        main = self._property("MainPID") if found else ""
        return [each for each in found if str(each.pid) != main]

    def _property(self, name: str) -> str:
        argv = ["systemctl", "show", f"--property={name}", "--value", SERVICE]
        return self._runner.run(argv, check=False).stdout.strip()

    def _wait_for_listener(self, unit: str = "") -> bool:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if any(each.rightful for each in self.holders()):
                return True
            if unit and self._has_failed(unit):
                return False
            time.sleep(0.1)
        return False

    def _has_failed(self, unit: str) -> bool:
        shown = self._runner.run(["systemctl", "show", "--property=SubState", "--value", unit], check=False)
        return shown.stdout.strip() in ("failed", "auto-restart")

    # -- processes

    def _owners(self, listening: t.Collection[tuple[str, int, str]]) -> list[tuple[int, tuple[str, int, str]]]:
        by_inode = {each[2]: each for each in listening}
        found = []
        for pid in self._proc.pids() if by_inode else []:
            found += [(pid, by_inode[inode]) for inode in self._proc.socket_inodes(pid) & by_inode.keys()]
        return found

    def _holder(self, pid: int, socket: tuple[str, int, str]) -> Holder:
        try:
            program = str(Path(f"/proc/{pid}/exe").readlink()).replace(" (deleted)", "")
        except OSError:
            program = ""
        unit = unit_at(pid)
        if pid == 1:  # systemd listens for a unit of which it will start the service
            unit = self._socket_unit(socket[1])
        return Holder(
            pid=pid,
            name=self._proc.comm(pid),
            unit=unit,
            address=socket[0],
            port=socket[1],
            rightful=program == SSHD or (pid == 1 and unit in ("", SOCKET, "sshd.socket")),
            stopped=False,
        )

    def _socket_unit(self, port: int) -> str:
        """Return the socket unit that listens on a port."""
        listed = self._runner.run(["systemctl", "list-sockets", "--no-legend", "--plain", "--full"], check=False)
        lines = [line.split() for line in listed.stdout.splitlines()]
        return next((words[1] for words in lines if len(words) > 1 and words[0].endswith(f":{port}")), "")

    def _is_stopped(self, pid: int) -> bool:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return False
        return bool(fields) and fields[0] == "T"


def tracer_of(pid: int) -> int:
    """Return the process that holds another one, as a debugger does; 0 for none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("TracerPid:")), 0)


def end_process(pid: int) -> None:
    """End a process, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + TERM_SECONDS
        while time.monotonic() < end and Path(f"/proc/{pid}").exists():
            time.sleep(0.05)
