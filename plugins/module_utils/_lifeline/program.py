# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard's program, as it comes to the host."""

from __future__ import annotations

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths
from ansible_collections.phoenix.webstack.plugins.module_utils._program import Program

PROGRAM = Program(
    folder=paths.PROGRAM,
    command=paths.COMMAND,
    entry="_lifeline.cli",
    bringers=("_lifeline.install", "_lifeline.program", "_lifeline.setup"),
)
