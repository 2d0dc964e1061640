# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be wanted of a published service, as options of modules."""

from __future__ import annotations

import typing as t

SERVICE: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "bind": {"type": "list", "elements": "str", "default": ["*:80"]},
    "servers": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "weight": {"type": "int", "default": 1},
            "state": {"type": "str", "choices": ["ready", "drain"]},
        },
    },
    "balance": {"type": "str", "default": "roundrobin"},
    "check_path": {"type": "str", "default": "/healthz"},
    "check_host": {"type": "str", "default": "localhost"},
    "check_interval": {"type": "float", "default": 1.0},
    "check_fall": {"type": "int", "default": 2},
    "check_rise": {"type": "int", "default": 2},
    "slowstart": {"type": "float", "default": 0.0},
    "server_options": {"type": "str", "default": ""},
    "frontend_options": {"type": "list", "elements": "str", "default": []},
    "backend_options": {"type": "list", "elements": "str", "default": []},
    "config_file": {"type": "path", "default": "/etc/haproxy/haproxy.cfg"},
    "config_directory": {"type": "path", "default": "/etc/haproxy/conf.d"},
    "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
}
