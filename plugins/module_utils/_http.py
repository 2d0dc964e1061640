# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a web service, each time on a new connection."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request

PAUSE_SECONDS = 0.5


class BadAnswerError(Exception):
    """What was wrong with an answer, as the end of a sentence that begins with the URL."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: a health check must not wander off to another host."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        """Follow nothing."""


# No proxy of the environment stands between a balancer and its servers.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def ask(url: str, *, status: int, timeout: float) -> None:
    """Send one request and read the whole answer.

    :arg status: The HTTP status wanted.
    :arg timeout: Seconds for connecting and for each read.
    :raises BadAnswerError: Another status, a broken answer, or none.
    """
    try:
        with _OPENER.open(url, timeout=timeout) as answer:
            answer.read()
            found = answer.status
    except urllib.error.HTTPError as error:
        found = error.code
    except (OSError, http.client.HTTPException) as error:
        raise BadAnswerError(f"did not answer: {getattr(error, 'reason', error)}") from error
    if found != status:
        raise BadAnswerError(f"answered with status {found} instead of {status}")


def ask_until(url: str, *, deadline: float, status: int, timeout: float) -> None:
    """Ask again until the first good answer.

    :arg deadline: When to give up, on the monotonic clock.
    :raises BadAnswerError: The last fault, once the deadline has passed.
    """
    while True:
        try:
            return ask(url, status=status, timeout=timeout)
        except BadAnswerError:
            if time.monotonic() + PAUSE_SECONDS > deadline:
                raise
        time.sleep(PAUSE_SECONDS)
