# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has begun: enough to go on, or to put everything back, whoever comes next."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import RuntimeServer, RuntimeServers

PREPARED = "prepared"
COMMITTING = "committing"


@dataclasses.dataclass(frozen=True)
class Pending:
    """The journal of a change; it lies beside the configuration until the change is confirmed.

    :arg servers: Those whose runtime state is in this run's hands.
    :arg reload: The file may be newer than what HAProxy has read.
    :arg stage: prepared (nothing that a user could notice was done yet); committing; empty where unknown.
    :arg before_text: The file before, None when there was none.
    :arg before: The servers in the running HAProxy before; None when it had no such backend.
    :arg drain_until: On the monotonic clock, when the servers that leave have had their time; None before they leave.
    :arg options: What to add a server with, to try an address.
    """

    servers: tuple[str, ...] = ()
    reload: bool = False
    stage: str = ""
    before_text: str | None = None
    before: RuntimeServers | None = None
    drain_until: float | None = None
    options: str = ""

    def dump(self) -> str:
        """Write it as text."""
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def load(cls, text: str) -> Pending:
        """Read `dump`'s text; one that was cut off asks for a reload, which is always right."""
        try:
            return cls(**_fields(json.loads(text)))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls(reload=True)


def _fields(data: dict[str, t.Any]) -> dict[str, t.Any]:
    before = data.get("before")
    return {
        **data,
        "servers": tuple(data["servers"]),
        "before": None if before is None else {name: RuntimeServer(**server) for name, server in before.items()},
    }
