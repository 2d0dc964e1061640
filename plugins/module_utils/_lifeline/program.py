# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program as files: its own sources, on the way to the host and on the host.

The sources keep the packages that they have in the collection, so that they import one another by the same
names there as here, and that what a module of the collection uses and what the guard uses is one code.
"""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths

PACKAGES = (
    "ansible_collections",
    "ansible_collections/phoenix",
    "ansible_collections/phoenix/webstack",
    "ansible_collections/phoenix/webstack/plugins",
    "ansible_collections/phoenix/webstack/plugins/module_utils",
)
PACKAGE = "ansible_collections.phoenix.webstack.plugins.module_utils."
# What brings the program to a host is no part of it: modules that bring it in different ways must agree on its files.
BRINGERS = tuple(f"{PACKAGE}_lifeline.{name}" for name in ("install", "program", "setup"))
# -I: neither the caller's environment nor the working directory has a say in what a root program imports.
COMMAND = f"""\
#!/usr/bin/python3 -I
import sys
sys.path.insert(0, "{paths.PROGRAM}")
from {PACKAGE}_lifeline.cli import main
sys.exit(main())
"""


def sources() -> dict[str, str]:
    """Return the program's files by their path below its folder: every module of ours that is loaded now.

    But for those that only bring it there.
    """
    found = {}
    for name, module in sorted(sys.modules.items()):
        loader = getattr(module, "__loader__", None)
        ours = name.startswith(PACKAGE) and name not in BRINGERS
        if loader is not None and ours and hasattr(loader, "get_source"):
            path = name.replace(".", "/")
            is_package = hasattr(module, "__path__")
            found[f"{path}/__init__.py" if is_package else f"{path}.py"] = str(loader.get_source(name) or "")
    return found


def wanted_files(*, files: t.Mapping[str, str]) -> dict[Path, tuple[str, int]]:
    """Return what has to be on the host: text and mode by path."""
    wanted = {paths.PROGRAM / name: (text, 0o644) for name, text in files.items()}
    # Real packages all the way down: one of the same name elsewhere on the host would win over a namespace.
    for name in PACKAGES:
        wanted[paths.PROGRAM / name / "__init__.py"] = ("", 0o644)
    wanted[paths.COMMAND] = (COMMAND, 0o755)
    return wanted


def strangers(*, wanted: t.Collection[Path], folder: Path = paths.PROGRAM) -> list[Path]:
    """Return sources below the program's folder that an older version has left behind."""
    return sorted(path for path in folder.rglob("*.py") if path not in wanted)
