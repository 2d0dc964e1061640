# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases in the shape that manifests, `mysql_checksum_info` and proofs share, and what differs between two."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.catalog import KINDS

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.catalog import Database
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.checksum import TableSum

Description = t.Dict[str, t.Any]  # noqa: UP006 -- evaluated at run time, Python 3.8 on hosts


def describe_database(*, database: Database, sums: dict[str, TableSum]) -> Description:
    """The comparable description of one database: tables with rows and checksums, objects with digests."""
    return {
        "charset": database.charset,
        "collation": database.collation,
        "bytes": database.size,
        "tables": {
            table.name: {**sums[table.name].as_result(), "structure": table.structure, "bytes": table.size}
            for table in database.tables
        },
        "objects": database.objects,
        "definers": list(database.definers),
    }


def comparable(description: Description) -> dict[str, t.Any]:
    """What two servers can be held against each other by, without what each estimates for itself (sizes).

    :returns: ``content``, which is the same on any server, and ``form``, which is printed in each series' own words;
        see `differences`.
    """
    tables, objects = description["tables"], description["objects"]
    return {
        "content": {
            "tables": {name: [each["rows"], each["checksum"]] for name, each in tables.items()},
            "objects": {kind: sorted(found) if kind == "views" else found for kind, found in objects.items()},
        },
        "form": {"tables": {name: each["structure"] for name, each in tables.items()}, "views": objects["views"]},
    }


def differences(
    *,
    expected: Description,
    actual: Description,
    same_series: bool,
    compare_views: bool = True,
) -> list[str]:
    """What differs between two descriptions of a database, one sentence each, tables first.

    Rows and content are always compared, and so are triggers, routines and events, which servers keep as they
    were typed. Servers print views and column definitions in their own words: these are compared by text only
    where both sides are of one release series, else by name.

    :arg compare_views: Compare the text of views. A server may print a view anew when it is created again from
        what it printed before, so a restore is not judged by it.
    """
    return [
        *table_differences(expected=expected["tables"], actual=actual["tables"], same_series=same_series),
        *object_differences(
            expected=expected["objects"],
            actual=actual["objects"],
            compare_views=compare_views and same_series,
        ),
    ]


def table_differences(*, expected: Description, actual: Description, same_series: bool) -> list[str]:
    """What differs between the tables of two databases; see `differences`."""
    found = [f"table `{name}` is missing" for name in sorted(set(expected) - set(actual))]
    found += [f"table `{name}` is not expected" for name in sorted(set(actual) - set(expected))]
    for name in sorted(set(expected) & set(actual)):
        want, have = expected[name], actual[name]
        if want["rows"] != have["rows"]:
            found.append(f"table `{name}` has {have['rows']} rows instead of {want['rows']}")
        elif want["checksum"] != have["checksum"]:
            found.append(f"table `{name}` has the right number of rows ({have['rows']}) but other content")
        elif same_series and want["structure"] != have["structure"]:
            found.append(f"table `{name}` has the right content but other columns, indexes or foreign keys")
    return found


def object_differences(*, expected: Description, actual: Description, compare_views: bool) -> list[str]:
    """What differs between the views, triggers, routines and events of two databases; see `differences`."""
    found: list[str] = []
    for kind in KINDS:
        want, have = expected.get(kind, {}), actual.get(kind, {})
        single = kind[:-1]
        found += [f"{single} `{name}` is missing" for name in sorted(set(want) - set(have))]
        found += [f"{single} `{name}` is not expected" for name in sorted(set(have) - set(want))]
        if kind == "views" and not compare_views:
            continue
        found += [
            f"{single} `{name}` has another definition"
            for name in sorted(set(want) & set(have))
            if want[name] != have[name]
        ]
    return found


def count_rows(*, databases: t.Mapping[str, Description]) -> int:
    """Rows of all tables of some described databases."""
    return sum(table["rows"] for database in databases.values() for table in database["tables"].values())


def count_tables(*, databases: t.Mapping[str, Description]) -> int:
    """Tables of some described databases."""
    return sum(len(database["tables"]) for database in databases.values())
