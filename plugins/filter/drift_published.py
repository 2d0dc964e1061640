# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a balancer has to answer to the controller."""

from __future__ import annotations

import re
import typing as t

# `*:80`, `192.0.2.1:8080`, `:::80`; a range is knocked at on its first port.
_PORT = re.compile(r"(?:\*|[0-9.]+|::|\[::\])?:(\d+)(?:-\d+)?(?:\s|$)")


def drift_published(bind: t.Sequence[str], host: str, address: str, urls: t.Sequence[str] = ()) -> list[dict[str, str]]:
    """Compute the option ``answers`` of ``drift_info``: the given URLs, else one for each port without TLS.

    :arg bind: Where the balancer listens, as HAProxy writes it; sockets and the loopback are left out.
    :arg host: The balancer's inventory name.
    :arg address: The balancer's, as the controller knows it.
    """
    if urls:
        return [{"url": url, "host": host} for url in urls]
    open_ones = [each for each in bind if not re.search(r"\sssl(\s|$)", each) and not each.startswith("127.")]
    matches = [_PORT.match(each) for each in open_ones]
    end = f"[{address}]" if ":" in address else address
    return [{"url": f"http://{end}:{match[1]}/", "host": host} for match in matches if match]


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter's public name."""
        return {"drift_published": drift_published}
