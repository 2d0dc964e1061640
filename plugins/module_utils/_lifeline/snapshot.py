# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decides whether SSH answers, as it was before a change, and the way back to it.

A snapshot is one file, so that it is there as a whole or not at all: the packet filter as it is in the kernel, the
files below `WATCHED`, and whether the units of `UNITS` run.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import glob
import json
import os
import shutil
import stat
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.netfilter import Filter, KernelFilter
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import (
    NOT_RUN,
    make_private,
    write_atomically,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.listeners import SSHD, find_listeners
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh.procfs import LISTEN, Proc

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

FILE, FOLDER, LINK = "file", "folder", "link"
SSH, SOCKET = "ssh.service", "ssh.socket"
UNITS = (SSH, SOCKET, "ufw.service", "nftables.service")
# Where people change units. Whether one is enabled, masked or has a drop-in is a matter of files there, and only files
# tell it exactly: to systemd a unit that lost one of its links still is enabled.
UNIT_FOLDERS = (
    "etc/systemd/system",
    "etc/systemd/system.control",
    "run/systemd/system",
    "run/systemd/system.control",
)
UNIT_FILES = tuple(f"{each}{tail}" for each in (*UNITS, "sshd.service") for tail in ("", ".d"))
WATCHED = (
    "etc/ufw",
    "etc/default/ufw",
    "etc/ssh",
    "etc/nftables.conf",
    "etc/hosts.allow",
    "etc/hosts.deny",
    *(f"{folder}/{name}" for folder in UNIT_FOLDERS for name in UNIT_FILES),
)
LINKS = tuple(
    f"{folder}/*.{kind}/{unit}" for folder in UNIT_FOLDERS for kind in ("wants", "requires") for unit in UNITS
)
# sshd itself, whichever way it is configured.
SSHD_FILES = ("etc/ssh", *(f"{folder}/ssh" for folder in UNIT_FOLDERS))
LISTEN_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Entry:
    """One path.

    :arg content: A file's content in base64, or a link's target.
    """

    kind: str
    mode: int
    uid: int
    gid: int
    content: str = ""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The state of a host's way in.

    :arg active: The units of `UNITS` that run.
    :arg ports: Where SSH listened for connections from other machines.
    """

    kernel: Filter
    files: t.Mapping[str, Entry]
    active: tuple[str, ...]
    ports: tuple[int, ...]

    def as_json(self) -> str:
        """Return it as text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Snapshot:
        """Read what `as_json` wrote."""
        given = json.loads(text)
        return cls(
            kernel=Filter(**given["kernel"]),
            files={path: Entry(**entry) for path, entry in given["files"].items()},
            active=tuple(given["active"]),
            ports=tuple(given["ports"]),
        )


def read_entry(path: Path) -> Entry | None:
    """Return what is at a path; None for nothing, and for what is neither a file, a folder nor a link."""
    try:
        found = path.lstat()
        mode, uid, gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
        if stat.S_ISLNK(found.st_mode):
            return Entry(LINK, mode=0, uid=uid, gid=gid, content=str(path.readlink()))
        if stat.S_ISDIR(found.st_mode):
            return Entry(FOLDER, mode=mode, uid=uid, gid=gid)
        if stat.S_ISREG(found.st_mode):
            content = base64.b64encode(path.read_bytes()).decode("ascii")
            return Entry(FILE, mode=mode, uid=uid, gid=gid, content=content)
    except FileNotFoundError:
        pass
    return None


def read_files(*, root: Path) -> dict[str, Entry]:
    """Return every watched path that exists, relative to the root."""
    found = {}
    # Not Path.glob, which leaves out links that lead nowhere.
    links = [Path(path) for pattern in LINKS for path in glob.glob(str(root / pattern))]  # noqa: PTH207
    for path in (*(root / top for top in WATCHED), *links):
        below = sorted(path.rglob("*")) if path.is_dir() and not path.is_symlink() else []
        for each in (path, *below):
            entry = read_entry(each)
            if entry is not None:
                found[str(each.relative_to(root))] = entry
    return found


def parse_active(text: str) -> tuple[str, ...]:
    """Read `systemctl show --property=Id,ActiveState` of several units and return those that run."""
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.strip().split("\n\n")]
    running = ("active", "activating", "reloading")
    return tuple(block["Id"] for block in blocks if block.get("ActiveState") in running)


class Host:
    """The host, as far as snapshots are concerned."""

    def __init__(self, *, runner: CommandRunner, root: Path = Path("/"), proc: Proc | None = None) -> None:
        self._runner = runner
        self._root = root
        self._proc = proc or Proc()
        self._kernel = KernelFilter(runner=runner, root=root)

    def take(self) -> Snapshot:
        """Return the state of now."""
        listeners = find_listeners(runner=self._runner, proc=self._proc)
        # What is merely configured may never have listened, and need not do so afterwards.
        real = [each for each in listeners if each.source != "configured" and not each.local_only]
        return Snapshot(
            kernel=self._kernel.read(),
            files=read_files(root=self._root),
            active=self._active(),
            ports=tuple(sorted({each.port for each in real})),
        )

    def restore(self, wanted: Snapshot, *, aside: Path) -> tuple[list[str], list[str]]:
        """Go back to a snapshot where the host differs from it, and return what was done and what failed.

        The kernel comes first, since that opens SSH at once and cannot fail for want of space on the disk; and once
        more at the end, since units that are started and stopped change it.
        """
        before = self._kernel.read(native=wanted.kernel.nft)
        done, _refused = self._restore_kernel(wanted)
        if done:
            with contextlib.suppress(OSError):
                write_atomically(aside / "packet-filter.txt", before.as_text().encode())
        files, failed = self._restore_files(wanted.files, aside=aside)
        units, not_done = self._restore_units(wanted, files=files)
        again, problems = self._restore_kernel(wanted)
        return [*done, *(f"/{path}" for path in files), *units, *again], [*problems, *failed, *not_done]

    def _restore_kernel(self, wanted: Snapshot) -> tuple[list[str], list[str]]:
        done, refused = self._kernel.restore(wanted.kernel)
        if refused:
            self._kernel.hold(ports=wanted.ports)
            refused = [*refused, "SSH is held open by rules of its own instead"]
        return done, refused

    # -- files

    def _restore_files(self, wanted: t.Mapping[str, Entry], *, aside: Path) -> tuple[list[str], list[str]]:
        now = read_files(root=self._root)
        done: list[str] = []
        problems: list[str] = []
        # What is too much goes before what is missing, and from a folder's depth upwards: one may stand in the
        # other's way.
        surplus = sorted((path for path in now if path not in wanted), reverse=True)
        differing = sorted(path for path in wanted if now.get(path) != wanted[path])
        for path in (*surplus, *differing):
            problem = self._replace(path, wanted.get(path), aside=aside)
            (problems if problem else done).append(problem or path)
        return done, problems

    def _replace(self, path: str, wanted: Entry | None, *, aside: Path) -> str:
        """Bring one path back, and return what is in the way, if anything: the others must come back all the same."""
        try:
            self._keep_aside(path, aside=aside)
            self._restore_file(path, wanted)
        except OSError as error:
            return f"/{path}: {error}"
        return ""

    def _keep_aside(self, path: str, *, aside: Path) -> None:
        """Keep a copy of what is replaced; for want of space the way back must not fail."""
        source = self._root / path
        if source.is_dir() and not source.is_symlink():
            return
        with contextlib.suppress(OSError):
            target = aside / path
            make_private(target.parent)
            shutil.copy2(source, target, follow_symlinks=False)

    def _restore_file(self, path: str, wanted: Entry | None) -> None:
        target = self._root / path
        now = read_entry(target)
        if now is not None and (wanted is None or wanted.kind != now.kind):
            target.rmdir() if now.kind == FOLDER else target.unlink()
        if wanted is None:
            return
        if wanted.kind == FILE:
            content = base64.b64decode(wanted.content)
            write_atomically(target, content, mode=wanted.mode, uid=wanted.uid, gid=wanted.gid)
        elif wanted.kind == LINK:
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.symlink_to(wanted.content)
        else:
            target.mkdir(exist_ok=True)
            target.chmod(wanted.mode)
            os.chown(target, wanted.uid, wanted.gid)

    # -- units

    def _active(self) -> tuple[str, ...]:
        show = ["systemctl", "show", "--property=Id,ActiveState", *UNITS]
        return parse_active(self._runner.run(show, check=False).stdout)

    def _restore_units(self, wanted: Snapshot, *, files: t.Sequence[str]) -> tuple[list[str], list[str]]:
        if any(path.startswith(UNIT_FOLDERS) for path in files):
            self._systemctl("daemon-reload")
        active = self._active()
        renew = any(path.startswith(SSHD_FILES) for path in files)
        done: list[str] = []
        problems: list[str] = []
        if renew and SSH in active and (bad := self._bad_configuration()):
            # It was so before the change already; the sshd that runs is all there is.
            renew = False
            problems.append(f"sshd was not restarted, since it would not start: {bad}")
        commands = running(now=active, wanted=wanted.active, renew=(SSH, SOCKET) if renew else ())
        for command in commands:
            if command[0] == "restart":
                # Many failed attempts within seconds would have it refuse this one.
                self._systemctl("reset-failed", command[1])
            error = self._systemctl(*command)
            (problems if error else done).append(f"systemctl {' '.join(command)}{f': {error}' if error else ''}")
        return done, problems + self._wait_for_ssh(wanted.ports)

    def _bad_configuration(self) -> str:
        """Return what sshd has against its configuration, if anything."""
        result = self._runner.run([SSHD, "-t"], check=False)
        return "" if result.rc in (0, NOT_RUN) else result.stderr.strip()

    def _systemctl(self, *words: str) -> str:
        """Run systemctl and return what is wrong, if anything."""
        result = self._runner.run(["systemctl", *words], check=False)
        return "" if result.rc == 0 else (result.stderr.strip() or f"exit code {result.rc}")

    def _wait_for_ssh(self, ports: t.Collection[int]) -> list[str]:
        """Wait until SSH listens where it did."""
        end = time.monotonic() + LISTEN_SECONDS
        while True:
            open_ports = {socket.port for socket in self._proc.sockets() if socket.state == LISTEN}
            missing = sorted(set(ports) - open_ports)
            if not missing:
                return []
            if time.monotonic() > end:
                return [f"nothing listens on port {', '.join(map(str, missing))}"]
            time.sleep(0.1)


def running(*, now: t.Collection[str], wanted: t.Collection[str], renew: t.Collection[str]) -> list[tuple[str, str]]:
    """Return the systemctl commands that let run what ran, and nothing else.

    :arg renew: Units that have to read their files again. A restart of sshd leaves its sessions alone.
    """
    stops = [("stop", name) for name in UNITS if name in now and name not in wanted]
    starts = [
        ("restart" if name in (SSH, SOCKET) else "start", name)
        for name in UNITS
        if name in wanted and (name not in now or name in renew)
    ]
    return stops + starts
