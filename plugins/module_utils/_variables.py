# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding misspelt variables: argument specs refuse a wrong value, but never see a wrong name."""

from __future__ import annotations

import difflib
import typing as t

# Prefixes so general that a variable of the user's own is likelier than a misspelling of ours:
# there, only a name close to a known one is a problem.
GENERAL_PREFIXES = frozenset({"app_"})
CLOSE = 0.85


class Misspelling(t.NamedTuple):
    """A variable that nothing reads, and the name it most likely stands for."""

    name: str
    likely: str


def find_misspelt(*, names: t.Iterable[str], known: t.Iterable[str], prefixes: t.Iterable[str]) -> list[Misspelling]:
    """Find variables that carry one of our prefixes but that no role or playbook knows.

    :arg names: The names of all variables a host sees.
    :arg known: The names that roles and playbooks document.
    :arg prefixes: The prefixes that belong to this collection, each with its underscore.
    :returns: The unknown ones in alphabetical order, each with the closest known name.
    """
    known_names = sorted(set(known))
    own = tuple(sorted(set(prefixes), key=len, reverse=True))
    found = []
    for name in sorted(set(names) - set(known_names)):
        prefix = next((each for each in own if name.startswith(each)), None)
        if prefix is None:
            continue
        cutoff = CLOSE if prefix in GENERAL_PREFIXES else 0.0
        likely = difflib.get_close_matches(name, known_names, n=1, cutoff=cutoff)
        if likely:
            found.append(Misspelling(name=name, likely=likely[0]))
    return found
