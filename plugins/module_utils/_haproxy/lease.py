# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The right to change a balancer: one run at a time has it, over all of its steps, and only for so long."""

from __future__ import annotations

import dataclasses
import json
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.store import Store


# Longer than any single step takes; each renews it.
SECONDS = 180.0


@dataclasses.dataclass(frozen=True)
class Lease:
    """Who may change this balancer now.

    :arg owner: The run: the same in each of its steps, another one in each run.
    :arg holder: The same in words, for those who wait.
    :arg expires: On this balancer's clock, in seconds since the epoch.
    """

    owner: str
    holder: str
    expires: float

    @classmethod
    def load(cls, text: str | None) -> Lease | None:
        """Read what `dump` has written; half of it is nobody's lease."""
        try:
            return None if text is None else cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def dump(self) -> str:
        """Write it as text."""
        return json.dumps(dataclasses.asdict(self)) + "\n"


class LeaseHeldError(WebstackError):
    """Another run has the lease; it may be asked for again."""


class Leases:
    """Take the lease, keep it, give it back. Only to be used under the store's lock."""

    def __init__(self, *, store: Store, owner: str, holder: str, now: t.Callable[[], float] = time.time) -> None:
        self._store = store
        self._owner = owner
        self._holder = holder
        self._now = now

    def take(self, *, dead: str = "") -> bool:
        """Take or renew it.

        :arg dead: The owner of a run that is known to have ended; its lease counts no more.
        :returns: Whether it was ours already.
        :raises LeaseHeldError: when another run has it, with its ``owner``.
        """
        lease = Lease.load(self._store.read_lease())
        other = self._other(lease)
        if other and other.owner != dead:
            left = other.expires - self._now()
            raise LeaseHeldError(
                f"Another run is changing this balancer: {other.holder}. Nothing was changed."
                f" Next: wait until it has ended, and run the playbook again. If it has died, its lease ends in"
                f" {left:.0f} s; to end it now, on the balancer: rm {self._store.lease_path}",
                lease={"owner": other.owner, "holder": other.holder, "seconds": round(left, 1)},
            )
        self._store.write_lease(Lease(owner=self._owner, holder=self._holder, expires=self._now() + SECONDS).dump())
        return bool(lease and lease.owner == self._owner)

    def give_back(self) -> None:
        """Let others have it, if it is ours."""
        if not self._other(Lease.load(self._store.read_lease())):
            self._store.write_lease(None)

    def _other(self, lease: Lease | None) -> Lease | None:
        # One that lasts longer than any lease was written before the clock was set back.
        if lease is None or lease.owner == self._owner or not 0 < lease.expires - self._now() <= SECONDS:
            return None
        return lease
