# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting file and running HAProxy back, with the same care for the users as a change."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.balancer import Balancer
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import (
    DRAIN,
    READY,
    RuntimeServer,
    RuntimeServers,
    Server,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.pending import PREPARED
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.render import same_options


def put_back(at: Balancer, error: WebstackError) -> WebstackError:
    """Restore file and running HAProxy after a failure, and say how that went."""
    try:
        restore(at)
    except WebstackError as second:
        return WebstackError(
            f"The change of {at.name} failed: {error.message}"
            f" Putting the former state back failed as well: {second.message}"
            " Next: run the playbook again; it goes on from here.",
            restored=False,
        )
    return WebstackError(
        f"The change of {at.name} failed: {error.message}"
        " The former addresses and the former file were put back."
        " Next: correct the cause and run the playbook again.",
        restored=True,
    )


def restore(at: Balancer) -> bool:
    """Bring back what the journal says was there before; a server that is not UP gets no request on the way.

    :returns: Whether there was anything to bring back.
    :raises WebstackError: when that is not possible; what serves now goes on serving then.
    """
    pending = at.store.pending()
    if pending is None:
        return False
    now, before = at.runtime.servers(at.name) or {}, pending.before or {}
    began = pending.stage != PREPARED
    read_again = began and (
        pending.reload or not same_options(at.store.read(), pending.before_text) or not set(before) <= set(now)
    )
    at.write(pending.before_text)
    if read_again:
        at.reload(states=before, keep=before)
    if before:
        _restore_servers(at, before, options=pending.options)
    at.store.end()
    return True


def _restore_servers(at: Balancer, before: RuntimeServers, *, options: str) -> None:
    now = at.servers()
    there = {name: former for name, former in before.items() if name in now}
    elsewhere = [_as_server(former) for name, former in there.items() if now[name].endpoint != former.endpoint]
    # First those that can serve at once.
    for name, former in there.items():
        if now[name].weight != former.weight:
            at.runtime.set_weight(at.name, name, former.weight)
        if now[name].endpoint == former.endpoint:
            at.set_state(name, former.admin)
    well = [server.guest for server in elsewhere if there[server.name].healthy]
    guests = [guest for guest in well if _comes_up(at, guest, options=options)]
    _require_somebody(at, [*guests, *(_as_server(former) for former in there.values())])
    for guest in guests:
        at.set_state(guest.name, READY)
    leaving = [server.name for server in elsewhere]
    for name in leaving:
        at.set_state(name, DRAIN)
    at.drain(leaving, until=at.clock.now() + at.pace.drain, watch=lambda: None)
    for server in elsewhere:
        at.move(server)
        # Where it does not come up, it gets no request until its checks say so.
        if server.guest in guests:
            with contextlib.suppress(WebstackError):
                at.wait_up([server])
        at.set_state(server.name, there[server.name].admin)
    _send_away(at, [name for name in at.servers() if name not in before])


def _comes_up(at: Balancer, server: Server, *, options: str) -> bool:
    """Try an address as a server of its own."""
    with contextlib.suppress(WebstackError):
        if server.name not in at.servers():
            at.enter(server, options=options)
        at.wait_up([server])
        return True
    return False


def _require_somebody(at: Balancer, servers: t.Sequence[Server]) -> None:
    """Do not take the service away from its users for the sake of the former state."""
    now = at.servers()
    well = [each for each in servers if each.name in now and now[each.name].endpoint == each.endpoint]
    if not any(now[each.name].healthy for each in well) and any(server.serving for server in now.values()):
        raise WebstackError("none of the former servers is UP any more, so the new ones go on serving.")


def _send_away(at: Balancer, names: t.Sequence[str]) -> None:
    for name in names:
        at.set_state(name, DRAIN)
    at.drain(names, until=at.clock.now() + at.pace.drain, watch=lambda: None)
    at.dismiss(names)


def _as_server(running: RuntimeServer) -> Server:
    return Server(name=running.name, address=running.address, port=running.port)
