# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers over HTTP, each time on a new connection."""

from __future__ import annotations

import concurrent.futures
import http.client
import time
import typing as t
import urllib.error
import urllib.request

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import DRIFT, PROBE, Difference, Item

TIMEOUT = 5  # seconds
PAUSE = 0.5  # seconds
AT_A_TIME = 16


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        """Follow nothing."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def observe_answers(entries: t.Sequence[t.Mapping[str, t.Any]], *, wait: float) -> t.Iterator[Item]:
    """Ask all URLs at once."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        deadline = time.monotonic() + wait
        for entry, found in zip(entries, pool.map(lambda each: _ask_until(each, deadline=deadline), entries)):
            yield Item(key=f"answer:{entry['url']}", wanted="as configured", differences=tuple(found))


def _ask_until(entry: t.Mapping[str, t.Any], *, deadline: float) -> list[Difference]:
    """Ask until the answer is right, or for so long."""
    while True:
        found = _ask(entry)
        if not found or time.monotonic() + PAUSE > deadline:
            return found
        time.sleep(PAUSE)


def _ask(entry: t.Mapping[str, t.Any]) -> list[Difference]:
    url, about = entry["url"], entry["host"]
    try:
        with _OPENER.open(url, timeout=TIMEOUT) as answer:
            answer.read()
            status, headers = answer.status, answer.headers
    except urllib.error.HTTPError as error:
        status, headers = error.code, error.headers
    except (OSError, http.client.HTTPException) as error:
        return [Difference(f"{url} does not answer: {getattr(error, 'reason', error)}", PROBE, host=about)]
    if status != entry["status"]:
        return [Difference(f"{url} answers with status {status} instead of {entry['status']}", PROBE, host=about)]
    if entry["header"] and headers.get(entry["header"]) != entry["value"]:
        # The service runs; it has not read, or not taken, what is wanted.
        what = f"{url} is answered from another configuration than the wanted one"
        return [Difference(what, DRIFT, key=f"{url}:configuration", host=about)]
    return []
