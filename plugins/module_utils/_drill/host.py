# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scratch host: what a drill leaves on it, and taking that away again.

Nothing is removed from a host that no drill has claimed. The claim is a file with the packages the host had
before; what came since goes, except what keeps SSH reachable and what that needs.
"""

from __future__ import annotations

import json
import os
import pathlib
import pwd
import re
import shutil
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._files import replace_file

SCHEMA = "phoenix.webstack.drill-host/1"
# `rc` (removed, configuration left) counts as there: its configuration has to go as well.
QUERY = "${db:Status-Abbrev}\\t${Package}\\t${Pre-Depends}, ${Depends}\\t${Provides}\\n"
LOCK_SECONDS = 300
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
FORBIDDEN = (
    "/",
    "/etc",
    "/home",
    "/root",
    "/srv",
    "/usr",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/backups",
    "/opt",
    "/boot",
)


class Package(t.NamedTuple):
    """What dpkg knows of a package: the names it depends on (any alternative), and those it stands for."""

    depends: frozenset[str]
    provides: frozenset[str]


Packages = t.Mapping[str, Package]


class Leavings(t.NamedTuple):
    """What a drill brings to a host beside packages."""

    units: t.Sequence[str]
    users: t.Sequence[str]
    paths: t.Sequence[str]


# -- packages --------------------------------------------------------------------------


def parse_packages(text: str) -> dict[str, Package]:
    """The packages of ``dpkg-query --show`` in the format `QUERY`."""
    found = {}
    for line in text.splitlines():
        status, name, depends, provides = line.split("\t")
        if status[1:2] != "n":
            found[name] = Package(depends=_names(depends), provides=_names(provides))
    return found


def _names(relation: str) -> frozenset[str]:
    """The names in a relation such as ``libc6 (>= 2.36), debconf (>= 0.5) | debconf-2.0, python3:any``."""
    matches = (NAME.match(each.strip()) for each in re.split(r"[,|]", relation))
    return frozenset(match.group() for match in matches if match)


def needed_by(names: t.Iterable[str], packages: Packages) -> set[str]:
    """The given packages with all they depend on, whichever alternative it is."""
    providers: dict[str, set[str]] = {}
    for name, package in packages.items():
        for provided in (name, *package.provides):
            providers.setdefault(provided, set()).add(name)
    needed: set[str] = set()
    ahead = list(names)
    while ahead:
        for name in providers.get(ahead.pop(), set()) - needed:
            needed.add(name)
            ahead += packages[name].depends
    return needed


def to_purge(packages: Packages, *, before: t.Iterable[str], keep: t.Iterable[str]) -> list[str]:
    """The packages that came since the claim, without those that are kept and what these need."""
    return sorted(set(packages) - set(before) - needed_by(keep, packages))


def removed_by(simulation: str) -> set[str]:
    """The packages that ``apt-get --simulate`` would remove."""
    return set(re.findall(r"^(?:Purg|Remv) (\S+?)(?::\S+)? ", simulation, re.MULTILINE))


# -- the host --------------------------------------------------------------------------


class ScratchHost:
    """A host that drills may overwrite.

    :arg claim: The file that says so.
    """

    def __init__(
        self, *, runner: CommandRunner, claim: pathlib.Path, leavings: Leavings, keep: t.Sequence[str]
    ) -> None:
        refuse_wide_paths(leavings.paths)
        self._runner = runner
        self._claim = claim
        self._leavings = leavings
        self._keep = keep

    @property
    def claimed(self) -> bool:
        """Whether a drill has claimed the host and not given it back."""
        return self._claim.exists()

    def leftovers(self) -> list[str]:
        """What is on the host of all that a drill brings, packages aside: paths and users."""
        paths = [path for path in self._leavings.paths if os.path.lexists(path)]
        return paths + [f"the user {name}" for name in self._leavings.users if _has_user(name)]

    def claim(self) -> bool:
        """Claim the host; a claim that a drill left behind stays, since it knows what was there before that."""
        if self.claimed:
            return False
        noted = {"schema": SCHEMA, "packages": sorted(self._packages())}
        self._claim.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        replace_file(self._claim, json.dumps(noted).encode(), mode=0o600)
        return True

    def make_bare(self) -> dict[str, list[str]]:
        """Remove what drills have left, see that it is gone, and give the host back.

        :returns: The ``packages`` and ``paths`` that were removed.
        :raises WebstackError: No drill has claimed the host, or something of it is left; then the claim stays.
        """
        before = self._read_claim()
        for unit in self._leavings.units:
            # Also where it is not there, or does not stop: what counts is looked at in the end.
            self._runner.run(["systemctl", "disable", "--now", unit], check=False)
        purged, reasons = self._try_to_purge(before)
        removed = self._remove_files()
        self._runner.run(["systemctl", "daemon-reload"])
        self._runner.run(["systemctl", "reset-failed", *self._leavings.units], check=False)
        left = [*self.leftovers(), *(f"the package {name}" for name in self._surplus(before)), *self._active()]
        if left or reasons:
            told = f"After the drill this is still there, perhaps with data of users: {', '.join(left)}."
            raise WebstackError(
                " ".join([told, *reasons, "Remove it by hand, or run the drill again, which begins with that."]),
                left=left,
            )
        self._claim.unlink()
        return {"packages": purged, "paths": removed}

    def _read_claim(self) -> list[str]:
        try:
            noted = json.loads(self._claim.read_text(encoding="utf-8"))
            return list(noted["packages"])
        except FileNotFoundError:
            raise WebstackError(f"No drill has claimed this host (no {self._claim}); nothing was removed.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WebstackError(
                f"{self._claim} cannot be read ({error}), so that nothing was removed: it says what was here before the"
                " drill. Reinstall the host, or remove by hand what the drill left, and that file last."
            ) from error

    def _packages(self) -> dict[str, Package]:
        return parse_packages(self._runner.run(["dpkg-query", "--show", f"--showformat={QUERY}"]).stdout)

    def _surplus(self, before: t.Sequence[str]) -> list[str]:
        return to_purge(self._packages(), before=before, keep=self._keep)

    def _try_to_purge(self, before: t.Sequence[str]) -> tuple[list[str], list[str]]:
        """Purge, or tell why that did not go: the data has to go all the same."""
        try:
            return self._purge(before), []
        except WebstackError as error:
            return [], [error.message]

    def _purge(self, before: t.Sequence[str]) -> list[str]:
        surplus = self._surplus(before)
        if not surplus:
            return []
        purge = ["apt-get", "--yes", "--quiet", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}", "purge", *surplus]
        others = removed_by(self._runner.run([purge[0], "--simulate", *purge[1:]]).stdout) - set(surplus)
        if others:
            # It would take along what was there before the drill, sshd for all we know.
            raise WebstackError(
                f"Removing the packages of the drill would remove {', '.join(sorted(others))} as well, which is not the"
                f" drill's; no package was removed. See: apt-get --simulate purge {' '.join(surplus)}"
            )
        noninteractive = ["env", "DEBIAN_FRONTEND=noninteractive", *purge]
        if self._runner.run(noninteractive, check=False).rc != 0:
            # An installation that was cut off has to be finished before anything can be removed.
            self._runner.run(["env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--configure", "-a"], check=False)
            self._runner.run(noninteractive)
        return surplus

    def _remove_files(self) -> list[str]:
        removed = [path for path in self._leavings.paths if os.path.lexists(path)]
        for path in removed:
            if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 lexists has no twin in pathlib
                shutil.rmtree(path)
            else:
                pathlib.Path(path).unlink()
        for name in filter(_has_user, self._leavings.users):
            self._runner.run(["userdel", name], check=False)  # what counts is looked at in the end
        return removed

    def _active(self) -> list[str]:
        states = {
            unit: self._runner.run(["systemctl", "is-active", unit], check=False) for unit in self._leavings.units
        }
        return [f"the unit {unit}" for unit, state in states.items() if state.stdout.strip() == "active"]


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def refuse_wide_paths(paths: t.Iterable[str]) -> None:
    """Refuse to remove what holds more than a drill's own.

    :raises WebstackError: A path is not absolute, or is a folder of the system itself.
    """
    wide = [path for path in paths if not path.startswith("/") or os.path.normpath(path) in FORBIDDEN or ".." in path]
    if wide:
        raise WebstackError(
            f"A drill would have to remove {', '.join(wide)}, which is not its own. Nothing was changed."
        )
