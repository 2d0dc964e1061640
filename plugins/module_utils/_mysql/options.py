# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be wanted of a database server, as options of modules."""

from __future__ import annotations

import typing as t

ACCOUNTS: dict[str, t.Any] = {
    "databases": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "encoding": {"type": "str"},
            "collation": {"type": "str"},
        },
    },
    "users": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "host": {"type": "str", "default": "localhost"},
            "socket": {"type": "bool"},
            "password": {"type": "str", "no_log": True},
            "privileges": {"type": "dict"},
            "dumps": {"type": "list", "elements": "str"},
        },
    },
    "login_unix_socket": {"type": "path"},
}
