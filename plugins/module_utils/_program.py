# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of ours on a host: their own sources, on the way to the host and on the host.

The sources keep the packages that they have in the collection, so that they import one another by the same
names there as here, and that what a module of the collection uses and what the program uses is one code.
"""

from __future__ import annotations

import dataclasses
import sys
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._files import replace_file

Wanted = t.Mapping[Path, t.Tuple[str, int]]  # noqa: UP006 (evaluated on Python 3.8)

PACKAGES = (
    "ansible_collections",
    "ansible_collections/phoenix",
    "ansible_collections/phoenix/webstack",
    "ansible_collections/phoenix/webstack/plugins",
    "ansible_collections/phoenix/webstack/plugins/module_utils",
)
PACKAGE = "ansible_collections.phoenix.webstack.plugins.module_utils."
# What brings a program to a host is no part of it: modules that bring it in different ways must agree on its files.
BRINGERS = ("_files", "_program")
# -I: neither the caller's environment nor the working directory has a say in what a root program imports.
COMMAND = """\
#!/usr/bin/python3 -I
import sys
sys.path.insert(0, "{folder}")
from {package}{entry} import main
sys.exit(main())
"""


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that is made of modules of the collection.

    :arg folder: Where its sources are on the host.
    :arg command: The file that is called.
    :arg entry: The module with its ``main``, below ``module_utils``.
    :arg bringers: Modules, below ``module_utils``, that bring this program alone to a host.
    """

    folder: Path
    command: Path
    entry: str
    bringers: tuple[str, ...] = ()

    def sources(self) -> dict[str, str]:
        """Return its files by their path below its folder: every module of ours that is loaded now.

        But for those that only bring it there.
        """
        left_out = {f"{PACKAGE}{name}" for name in (*BRINGERS, *self.bringers)}
        found = {}
        for name, module in sorted(sys.modules.items()):
            loader = getattr(module, "__loader__", None)
            ours = name.startswith(PACKAGE) and name not in left_out
            if loader is not None and ours and hasattr(loader, "get_source"):
                path = name.replace(".", "/")
                is_package = hasattr(module, "__path__")
                found[f"{path}/__init__.py" if is_package else f"{path}.py"] = str(loader.get_source(name) or "")
        return found

    def wanted_files(self) -> dict[Path, tuple[str, int]]:
        """Return what has to be on the host: text and mode by path."""
        wanted = {self.folder / name: (text, 0o644) for name, text in self.sources().items()}
        # Real packages all the way down: one of the same name elsewhere on the host would win over a namespace.
        for name in PACKAGES:
            wanted[self.folder / name / "__init__.py"] = ("", 0o644)
        command = COMMAND.format(folder=self.folder, package=PACKAGE, entry=self.entry)
        wanted[self.command] = (command, 0o755)
        return wanted

    def strangers(self, *, wanted: t.Collection[Path]) -> list[Path]:
        """Return sources below its folder that an older version has left behind."""
        return sorted(path for path in self.folder.rglob("*.py") if path not in wanted)

    def bring(self, *, check_mode: bool) -> dict[str, t.Any]:
        """Write what differs, and remove what an older version has left.

        :returns: The result of a module: ``changed``, ``command``, ``files`` and ``diff``, which has their names alone.
        """
        wanted = self.wanted_files()
        changed, old = differing(wanted), self.strangers(wanted=wanted)
        if not check_mode:
            write_all({path: wanted[path] for path in changed})
            for path in old:
                path.unlink()
        return {
            "changed": bool(changed or old),
            "command": str(self.command),
            "files": [str(path) for path in changed],
            "diff": {"before": "".join(f"{path}\n" for path in old), "after": "".join(f"{path}\n" for path in changed)},
        }


def differing(wanted: Wanted) -> list[Path]:
    """Return the files that are not as they have to be."""
    return sorted(path for path, (text, mode) in wanted.items() if _differs(path, text, mode))


def _differs(path: Path, text: str, mode: int) -> bool:
    try:
        found = path.lstat()
        return found.st_mode & 0o7777 != mode or found.st_uid != 0 or path.read_bytes() != text.encode()
    except OSError:
        return True


def write_all(files: Wanted) -> t.Callable[[], None]:
    """Write files, and return what takes them back."""
    before = {path: (path.read_bytes(), path.stat().st_mode & 0o7777) if path.is_file() else None for path in files}
    for path, (text, mode) in files.items():
        # Everybody may read them, root alone may change them.
        for folder in reversed(path.parents):
            folder.mkdir(mode=0o755, exist_ok=True)
        replace_file(path, text.encode(), mode=mode, owner=(0, 0))

    def undo() -> None:
        for path, earlier in before.items():
            if earlier is None:
                path.unlink(missing_ok=True)
            else:
                replace_file(path, earlier[0], mode=earlier[1], owner=(0, 0))

    return undo
