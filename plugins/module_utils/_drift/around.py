# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the observers of a host share: its commands, its record, and what other observers look after."""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.record import Record


@dataclasses.dataclass(frozen=True)
class Around:
    """The surroundings of one observer.

    :arg managed: The paths of all files that some role wants: they are compared with that, and watched by nobody.
    :arg accounts: Names and hosts of all database accounts that some role wants.
    :arg wait: Seconds that something may take until it answers as it has to.
    """

    runner: CommandRunner
    record: Record
    managed: frozenset[str]
    wait: float = 0
    accounts: frozenset[tuple[str, str]] = frozenset()

    def packaged(self, path: str) -> bool:
        """Whether a package has brought a file."""
        return self.runner.run(["dpkg-query", "--search", path], check=False).rc == 0
