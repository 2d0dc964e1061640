# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a plan out, so that SSH stays open whatever line it is interrupted on.

The order: SSH is held open in INPUT and OUTPUT themselves (ufw rebuilds only its own chains), then the
files are written with the guard first, then they are loaded, then the kernel is asked whether it has it
all, and only then the hold is let go. When anything fails, the old files are put back and loaded.
"""

from __future__ import annotations

import os
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.guard import IP, testable
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.live import (
    jump_repair,
    live_problems,
    transaction,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.plan import (
    LOAD_ALL,
    LOAD_ENABLE,
    LOAD_NOTHING,
    LOAD_RULES,
    POLICY_CHAINS,
    Plan,
    Wanted,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.state import (
    SBIN,
    Files,
    live_families,
    read_live,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner


def write_atomically(*, path: Path, text: str) -> None:
    """Replace a file in one step, keeping its owner and mode (0640 and root for a new one)."""
    descriptor, name = tempfile.mkstemp(dir=str(path.parent), prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            if path.exists():
                status = path.stat()
                os.fchmod(descriptor, status.st_mode & 0o7777)
                os.fchown(descriptor, status.st_uid, status.st_gid)
            else:
                os.fchmod(descriptor, 0o640)
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


class Applier:
    """Carries one plan out."""

    def __init__(self, *, runner: CommandRunner, files: Files, plan: Plan, wanted: Wanted) -> None:
        self._runner = runner
        self._files = files
        self._plan = plan
        self._wanted = wanted
        self._families = live_families(files=files)
        self._old_texts: dict[Path, str | None] = {}

    def run(self) -> None:
        """Carry the plan out, or leave the firewall as it was and raise.

        :raises WebstackError: when a file is refused, or the firewall could not be loaded.
        """
        texts = self._new_texts()
        self._test(texts)
        self._old_texts = {path: path.read_text(encoding="utf-8") if path.exists() else None for path in self._kept()}
        self._hold()
        try:
            for path, text in texts.items():
                write_atomically(path=path, text=text)
            self._load(self._plan.load)
            self._verify()
        except WebstackError as error:
            self._roll_back(error)
        self._let_go()

    def _new_texts(self) -> dict[Path, str]:
        """Return what to write, in the order to write it in: the guard first."""
        texts = {self._files.before(family): text for family, text in self._plan.before.items()}
        texts.update({self._files.user(family): text for family, text in self._plan.user.items()})
        if self._plan.defaults is not None:
            texts[self._files.defaults] = self._plan.defaults
        return texts

    def _kept(self) -> list[Path]:
        """Return every file that this run or ufw itself may change."""
        families = self._wanted.families
        rules = [path for family in families for path in (self._files.before(family), self._files.user(family))]
        return [*rules, self._files.defaults, self._files.conf]

    def _test(self, texts: t.Mapping[Path, str]) -> None:
        """Let iptables-restore judge the new files before any of them is put in place."""
        for family in self._families:
            for path in (self._files.before(family), self._files.user(family)):
                if path not in texts:
                    continue
                program = f"{SBIN}/ip{IP[family]}tables-restore"
                text = testable(text=texts[path], family=family)
                result = self._runner.run([program, "--test", "--noflush"], stdin=text, check=False)
                if result.rc != 0:
                    reasons = [line for line in result.stderr.splitlines() if not line.startswith("Try ")]
                    raise WebstackError(
                        f"{path} would not load: {'; '.join(reasons)}. Nothing was changed. "
                        f"See what was changed in it by hand: diff /usr/share/ufw/iptables/{path.name} {path}",
                        stderr=result.stderr,
                    )

    def _hold(self) -> None:
        for family in self._families:
            lines = [line.replace("-A ", "-I ", 1) for line in self._wanted.hold(family)]
            self._restore(family=family, text=transaction(lines))

    def _let_go(self) -> None:
        for family, live in read_live(runner=self._runner, files=self._files).items():
            self._restore(family=family, text=transaction(["-D" + line[2:] for line in live.holds()]))

    def _load(self, load: str) -> None:
        """Get the files into the kernel, and the log level into the files."""
        if load == LOAD_RULES:
            for family, text in self._plan.user.items():
                self._restore(family=family, text=text)
        elif load == LOAD_ENABLE:
            self._runner.run([str(self._files.program), "--force", "enable"])
        elif load == LOAD_ALL:
            self._runner.run([str(self._files.init), "force-reload"])
        if load != LOAD_NOTHING:
            self._repair_jumps()
        if self._plan.logging:
            self._runner.run([str(self._files.program), "logging", self._plan.logging])

    def _repair_jumps(self) -> None:
        """Hook ufw's chains into the built-in ones, which ufw does only when it creates them."""
        for family, live in read_live(runner=self._runner, files=self._files).items():
            if family in self._wanted.families:
                self._restore(family=family, text=jump_repair(live=live, family=family))

    def _verify(self) -> None:
        """Ask the kernel. ``ufw status`` would say that all is well in any case."""
        policies = {POLICY_CHAINS[name]: policy for name, policy in self._wanted.settings.policies().items()}
        problems = []
        for family, live in read_live(runner=self._runner, files=self._files).items():
            if family in self._wanted.families:
                stored = self._plan.user_files[family].stored
                problems += live_problems(
                    live=live,
                    family=family,
                    guard=self._wanted.guard(family),
                    policies=policies,
                    user_rules=[line for item in stored for line in item.iptables],
                )
        if problems:
            raise WebstackError("The firewall was loaded, but the kernel lacks part of it: " + "; ".join(problems))

    def _restore(self, *, family: int, text: str) -> None:
        if text and family in self._families:
            self._runner.run([f"{SBIN}/ip{IP[family]}tables-restore", "--noflush"], stdin=text)

    def _roll_back(self, error: WebstackError) -> t.NoReturn:
        """Put the old files back and load them; keep SSH held open when even that fails."""
        for path, text in self._old_texts.items():
            if text is None:
                path.unlink(missing_ok=True)
            else:
                write_atomically(path=path, text=text)
        try:
            self._load_old()
        except WebstackError as second:
            raise WebstackError(
                f"{error.message}\nThe old files are back in place, but they could not be loaded either: "
                f"{second.message}\nSSH is held open by rules in INPUT and OUTPUT. Look at: ufw status verbose",
                **error.data,
            ) from error
        self._let_go()
        raise WebstackError(f"{error.message}\nThe firewall is back as it was before.", **error.data) from error

    def _load_old(self) -> None:
        if self._plan.load == LOAD_ENABLE:
            self._runner.run([str(self._files.init), "force-stop"])
        else:
            self._runner.run([str(self._files.init), "force-reload"])
            self._repair_jumps()


def apply_plan(*, runner: CommandRunner, files: Files, plan: Plan, wanted: Wanted) -> None:
    """Carry a plan out, see `Applier.run`."""
    Applier(runner=runner, files=files, plan=plan, wanted=wanted).run()
