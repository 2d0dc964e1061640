# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing how a survivor's data comes to the replacement: as a copy of the server's files, or as text.

A copy is many times faster for all but the smallest databases, so it is taken wherever nothing speaks against it.
Pure functions; a ``Probe`` is what the module ``rebuild_probe`` returns.
"""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import series_of

Probe = t.Mapping[str, t.Any]

AUTO, LOGICAL, PHYSICAL = METHODS = ("auto", "logical", "physical")


class Choice(t.NamedTuple):
    """The ``method``, the ``reason`` for it in words that follow it, and what makes it impossible, if anything."""

    method: str
    reason: str
    problems: t.Sequence[str] = ()


def choose(wanted: str, *, source: Probe, target: Probe, databases: t.Sequence[str]) -> Choice:
    """Choose a method.

    :arg wanted: One of ``METHODS``.
    :arg databases: What has to be brought.
    """
    if wanted == LOGICAL:
        return Choice(LOGICAL, "as asked")
    against = _obstacles(source=source, target=target, databases=databases)
    if wanted == PHYSICAL:
        problems = [
            f"A physical copy was asked for (mysql_restore_method=physical), but {each}. Leave the choice to the run"
            " with mysql_restore_method=auto, or take text with mysql_restore_method=logical."
            for each in against
        ]
        return Choice(PHYSICAL, "as asked", problems)
    if against:
        return Choice(LOGICAL, f"since {against[0]}")
    server = source["database_server"]
    return Choice(PHYSICAL, f"same {server['engine']} {server['version']} on both, nothing else on either")


def _obstacles(*, source: Probe, target: Probe, databases: t.Sequence[str]) -> list[str]:
    """What speaks against copying files, each as a clause that begins with what it is about."""
    found = []
    ours, theirs = target["database_server"], source["database_server"]
    if ours["engine"]:
        if (ours["engine"], series_of(ours["version"])) != (theirs["engine"], series_of(theirs["version"])):
            found.append(
                f"the replacement has {ours['engine']} {ours['version']} and the source"
                f" {theirs['engine']} {theirs['version']}"
            )
    # What a bare replacement will install is the distribution's; the restore itself makes sure of it.
    elif target["os"] != source["os"]:
        found.append(
            f"the replacement's {target['os']['id']} {target['os']['version']} will have another release than the"
            f" source's {source['os']['id']} {source['os']['version']}"
        )
    if not source["can_copy"]:
        found.append("the source has no mariadb-backup, which phoenix.webstack.site installs")
    others = sorted(set(source["databases"]) - set(databases))
    if others:
        found.append(f"the source has databases that are not to be brought: {', '.join(others)}")
    filled = {name for name, each in target["databases"].items() if not each["empty"]}
    held = sorted(filled - set(target["cut_off"]))
    if held:
        found.append(f"the replacement holds data of an earlier run: {', '.join(held)}")
    if target["data_directory_mounted"]:
        found.append(
            "the replacement's data directory is a file system of its own, which cannot be swapped for another"
        )
    uncloned = sorted(name for name, each in source["databases"].items() if not each["innodb_only"])
    if theirs["engine"] == "mysql" and uncloned:
        found.append(f"MySQL clones InnoDB tables alone, and there are others in {', '.join(uncloned)}")
    return found
