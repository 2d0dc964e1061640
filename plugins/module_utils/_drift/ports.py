# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new connection to SSH finds."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import PROBE, Difference, Item
from ansible_collections.phoenix.webstack.plugins.module_utils._ssh import banner


def observe_ssh_ports(entries: t.Sequence[t.Mapping[str, t.Any]]) -> t.Iterator[Item]:
    """Open a new TCP connection to SSH ports, and read the server's banner."""
    targets = [banner.Target(each["name"], each["address"], each["port"], tuple(each["admitted"])) for each in entries]
    for target, finding in zip(targets, banner.probe_all(targets, timeout=5)):
        found = []
        if finding.status not in (banner.OPEN, "not_admitted"):
            said = f" ({finding.detail})" if finding.detail else ""
            where = f"SSH at {target.address} port {target.port}"
            what = f"{where}: {finding.status}{said}. {banner.STATUSES[finding.status]}"
            found.append(Difference(what, PROBE, host=target.name))
        yield Item(key=f"ssh:{target.name}", differences=tuple(found))
