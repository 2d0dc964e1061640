# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted where a login looks: file systems that hide its files, are gone, or were made read-only."""

from __future__ import annotations

import ctypes
import os
import re
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.paths import PINNED, RUNTIME
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import NOT_RUN

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

MOUNTINFO = Path("/proc/self/mountinfo")
# Of the options those that a login meets, with what undoes each.
OPTIONS = {"ro": "rw", "noexec": "exec", "nosuid": "suid", "nodev": "dev"}
# linux/mount.h, sys/mount.h
FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "remount": 32, "bind": 4096}
MNT_DETACH = 2
ESCAPED = re.compile(r"\\([0-7]{3})")


def unescape(text: str) -> str:
    """Return a path as it is; mountinfo writes blanks as octal numbers."""
    return ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def parse(text: str) -> list[str]:
    """Read mountinfo: a line for each mount, ``point type source root options``, in the order they were made."""
    found = []
    for line in text.splitlines():
        before, _dash, after = line.partition(" - ")
        fields, (kind, source, *_rest) = before.split(), after.split()
        if is_pin(fields[3]):
            continue
        options = ",".join(name for name in OPTIONS if name in fields[5].split(","))
        found.append(" ".join([fields[4], kind, source, fields[3], options or "-"]))
    return found


def is_pin(root: str) -> bool:
    """Tell whether the root of a mount is a copy that the guard itself has mounted over a file."""
    return f"/{RUNTIME.name}/{PINNED.name}/" in root


def pinned(text: str) -> list[str]:
    """Return where such copies are mounted, as mountinfo tells."""
    lines = (line.split() for line in text.splitlines())
    return [unescape(fields[4]) for fields in lines if is_pin(fields[3])]


def above(line: str, paths: t.Collection[str]) -> bool:
    """Tell whether any of the paths lies on a mount, or would if that were not covered by another."""
    point = unescape(line.split(" ", 1)[0])
    return any(path == point or path.startswith(point.rstrip("/") + "/") for path in paths)


def commands(*, good: t.Sequence[str], now: t.Sequence[str]) -> list[list[str]]:
    """Return the commands that lead from ``now`` to ``good``: the topmost mount of a place comes off first."""
    places = {_identity(line): line for line in good}
    strange = [line for line in reversed(now) if _identity(line) not in places]
    argvs = [["umount", "--lazy", unescape(line.split()[0])] for line in strange]
    there = {_identity(line): line for line in now}
    for identity, line in places.items():
        point, kind, source, root, options = line.split()
        if identity not in there:
            argvs.append(["mount", unescape(point)])
            if root == "/":  # where fstab does not know it; else it is mounted twice no more than once
                argvs.append(["mount", "-t", kind, unescape(source), unescape(point)])
        elif there[identity] != line:
            wanted = ",".join(name if name in options.split(",") else undone for name, undone in OPTIONS.items())
            argvs += [["mount", "-o", f"remount,{how}{wanted}", unescape(point)] for how in ("", "bind,")]
    return argvs


def ask_kernel(argv: t.Sequence[str]) -> bool:
    """Do by a system call what a command of `commands` says, if it is one that takes no table of file systems."""
    libc = ctypes.CDLL(None, use_errno=True)
    point = os.fsencode(argv[-1])
    if argv[0] == "umount":
        return bool(libc.umount2(point, MNT_DETACH) == 0)
    options = argv[2].split(",") if argv[1] == "-o" else []
    if "remount" not in options:
        return False
    flags = sum(FLAGS.get(name, 0) for name in options)
    return bool(libc.mount(None, point, None, ctypes.c_ulong(flags), None) == 0)


def _identity(line: str) -> tuple[str, ...]:
    return tuple(line.split()[:4])


class Mounts:
    """The mounts that the files of a login lie on."""

    def __init__(self, *, runner: CommandRunner, file: Path = MOUNTINFO) -> None:
        self._runner = runner
        self._file = file

    def look(self, paths: t.Collection[str]) -> list[str]:
        """Return the mounts above any of the paths."""
        return [line for line in parse(self._file.read_text(encoding="utf-8")) if above(line, paths)]

    def pinned(self) -> list[str]:
        """Return the files over which a copy of the guard's is mounted."""
        return pinned(self._file.read_text(encoding="utf-8"))

    def restore(self, *, good: t.Sequence[str], paths: t.Collection[str]) -> list[str]:
        """Go back to how it was and return the commands that it took."""
        argvs = commands(good=good, now=self.look(paths)) if good else []
        return [" ".join(argv) for argv in argvs if self._run(argv)]

    def _run(self, argv: list[str]) -> bool:
        done = self._runner.run(argv, check=False)
        # No program may be started from there: then without one.
        return done.rc == 0 or (done.rc == NOT_RUN and ask_kernel(argv))
