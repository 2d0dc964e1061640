# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a login needs."""

from __future__ import annotations

import grp
import pwd
import re
import sys
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.daemon import (
    BOOT_TARGETS,
    RUNTIME_FOLDER,
    SSHD,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.files import Tracked

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

SETTINGS = (
    "/etc/ssh",
    "/etc/pam.d",
    "/etc/security",
    "/etc/nsswitch.conf",
    "/etc/hosts.allow",
    "/etc/hosts.deny",
    "/etc/nologin",
    "/run/nologin",
    "/etc/environment",
    "/etc/motd",
    "/etc/update-motd.d",
    "/etc/profile",
    "/etc/profile.d",
    "/etc/bash.bashrc",
    "/etc/zsh",
    "/etc/default/ssh",
    "/etc/default/locale",
    "/etc/login.defs",
    "/etc/shells",
    "/etc/ld.so.preload",
    "/etc/ld.so.cache",
    "/etc/ssl/openssl.cnf",
    "/etc/systemd/system.conf",
    "/etc/systemd/system.conf.d",
)
MANAGER_SETTINGS = "/etc/systemd/system.conf"  # systemd reads them when it starts
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/etc/systemd/system.control",
    "/run/systemd/system",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/usr/lib/systemd/system",
)
UNITS = ("ssh.service", "ssh.socket", "ssh@.service", "sshd.service", "sshd.socket")
# What holds for several units at once, these among them.
WIDER_UNITS = ("service.d", "system.slice", "user.slice", "user-.slice", "user@.service", "-.slice", "session-.scope")
LINKS = ("default.target", *BOOT_TARGETS, "multi-user.target.wants/ssh.service", "sockets.target.wants/ssh.socket")
HOME_FILES = (
    ".ssh",
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".profile",
    ".zshenv",
    ".zshrc",
    ".zprofile",
    ".cshrc",
    ".login",
    ".pam_environment",
)
PROGRAMS = (SSHD, "/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth", "/usr/bin/echo", "/usr/bin/env")
# Of these only kind, mode and owner count.
OUTSIDE = (
    "/",
    "/bin",
    "/dev",
    "/dev/null",
    "/dev/urandom",
    "/etc",
    "/etc/ld.so.conf.d",
    "/home",
    "/lib",
    "/lib64",
    "/run",
    "/sbin",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/sbin",
    "/var",
    str(RUNTIME_FOLDER),
)
# The account that sshd puts its unprivileged part into.
SYSTEM_ACCOUNTS = ("root", "sshd")
OWN_UNIT_FOLDERS = tuple(
    Path("/etc/systemd/system") / folder
    for folder in ("", "multi-user.target.wants", "rescue.target.wants", "timers.target.wants")
)
LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def is_unit_path(path: str) -> bool:
    """Tell whether a path says something to systemd."""
    return path.startswith(UNIT_FOLDERS)


def unit_paths() -> list[Path]:
    """Return the files and folders of the units of SSH, wherever systemd may read them."""
    found = []
    for folder in map(Path, UNIT_FOLDERS):
        found += [folder / name for unit in UNITS for name in (unit, f"{unit}.d")]
        found += [folder / (unit if unit.endswith(".d") else f"{unit}.d") for unit in WIDER_UNITS]
        found += [folder / link for link in LINKS]
    return found


def home_paths(account: pwd.struct_passwd) -> list[Path]:
    """Return the files in an account's home that a login reads."""
    return [Path(account.pw_dir) / name for name in HOME_FILES]


def libraries(text: str) -> list[Path]:
    """Read the output of ldd."""
    return [Path(match[1]) for match in LIBRARY.finditer(text)]


def programs(*, runner: CommandRunner, shells: t.Iterable[str]) -> list[Path]:
    """Return the programs of a login with the libraries they load, links and what they lead to."""
    wanted = [Path(name) for name in (*PROGRAMS, *shells)]
    there = [path for path in wanted if path.exists()]
    loaded = libraries(runner.run(["ldd", *map(str, there)], check=False).stdout) if there else []
    modules = [folder for path in loaded for folder in [path.parent / "security"] if folder.is_dir()][:1]
    return sorted({*wanted, *loaded, *(path.resolve() for path in (*there, *loaded)), *modules})


def find_own(*, known: t.Iterable[str]) -> Tracked:
    """Return what the guard itself needs to start again: interpreter, modules, settings and units.

    :arg known: What is known already: which modules are loaded differs from time to time.
    """
    modules = {str(getattr(module, "__file__", "") or "") for module in list(sys.modules.values())}
    interpreter = Path(sys.executable or "/usr/bin/python3")
    programs_ = {interpreter, interpreter.resolve(), Path("/usr/bin/python3"), paths.COMMAND, paths.SETTINGS}
    units = {folder / unit for folder in OWN_UNIT_FOLDERS for unit in (paths.UNIT, paths.TIMER)}
    files = {Path(name) for name in {*modules, *known} if name.startswith("/")}
    return Tracked(whole=tuple(sorted(files | programs_ | units)))


def find_tracked(*, runner: CommandRunner, accounts: t.Sequence[str]) -> Tracked:
    """Return what a login to the accounts needs on this host."""
    known = [pwd.getpwnam(name) for name in accounts if name in {each.pw_name for each in pwd.getpwall()}]
    names = (*SYSTEM_ACCOUNTS, *accounts)
    groups = [each.gr_name for each in grp.getgrall() if set(each.gr_mem) & set(accounts)]
    groups += [each.gr_name for each in grp.getgrall() if each.gr_gid in {account.pw_gid for account in known}]
    homes = [Path(account.pw_dir) for account in known]
    return Tracked(
        whole=(
            *map(Path, SETTINGS),
            *unit_paths(),
            *(path for account in known for path in home_paths(account)),
            *programs(runner=runner, shells=sorted({account.pw_shell for account in known})),
        ),
        outside=(*map(Path, OUTSIDE), *homes, *(parent for home in homes for parent in home.parents)),
        lines={
            Path("/etc/passwd"): names,
            Path("/etc/shadow"): names,
            Path("/etc/group"): tuple(groups),
            Path("/etc/gshadow"): tuple(groups),
        },
    )
