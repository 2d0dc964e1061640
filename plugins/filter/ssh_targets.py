# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the SSH ports of hosts are, according to the inventory."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._ssh import access


def ssh_targets(
    hosts: t.Sequence[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]], *, inner: bool = False
) -> list[dict[str, t.Any]]:
    """Compute the option ``hosts`` of ``ssh_banner_info``; see the filter's documentation."""
    return access.targets(hosts, hostvars, inner=inner)


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter's public name."""
        return {"ssh_targets": ssh_targets}
