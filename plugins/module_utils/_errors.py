# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception the collection's own code raises on purpose."""

from __future__ import annotations

import typing as t


class WebstackError(Exception):
    """A refusal or a failure that the admin can act on.

    :arg message: What happened, why, and the next command to run.
    :arg data: Values for the task's result (JSON-serialisable), handed to ``fail_json``.
    """

    def __init__(self, message: str, **data: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
