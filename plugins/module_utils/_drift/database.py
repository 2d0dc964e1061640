# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases, their accounts and their dumps."""

from __future__ import annotations

import datetime
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import (
    EXTRA,
    PROBE,
    Difference,
    Item,
    digest,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    accounts,
    catalog,
    checksum,
    describe,
    manifest,
    session,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.around import Around

# What servers of either engine bring along.
SYSTEM_ACCOUNTS = ("root", "mysql", "mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema", "debian-sys-maint")


def observe_accounts(entries: t.Sequence[dict[str, t.Any]], _around: Around) -> t.Iterator[Item]:
    """Compare accounts of a role that has no database of its own; a server that is down is told elsewhere."""
    if session.is_absent(login_unix_socket=None):
        return
    users = _with_socket(entries)
    connection = session.connect(login_unix_socket=None)
    try:
        observed = accounts.read_server(session=connection, users=users)
        yield from _wanted_items(observed, databases=[], users=users)
    finally:
        connection.close()


def _with_socket(users: t.Sequence[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    return [{**user, "socket": not user["password"] if user["socket"] is None else user["socket"]} for user in users]


def observe_database(params: t.Mapping[str, t.Any], around: Around) -> t.Iterator[Item]:
    """Compare databases and accounts with those that are wanted, and look for others."""
    databases = params["databases"]
    users = _with_socket(params["users"])
    socket = params["login_unix_socket"]
    if session.is_absent(login_unix_socket=socket):
        yield Item(key="database", wanted="runs", differences=(Difference("There is no database server to ask"),))
        return
    connection = session.connect(login_unix_socket=socket)
    try:
        observed = accounts.read_server(session=connection, users=users)
        yield Item(key="database", wanted="runs")
        yield from _wanted_items(observed, databases=databases, users=users)
        yield Item(
            key="database:others", differences=tuple(_strangers(connection, observed, databases, around.accounts))
        )
    finally:
        connection.close()


def _wanted_items(
    observed: accounts.Observed, *, databases: t.Sequence[dict[str, t.Any]], users: t.Sequence[dict[str, t.Any]]
) -> t.Iterator[Item]:
    for database in databases:
        steps = [
            step
            for step in accounts.plan(observed=observed, databases=[database], users=[])
            if not step.shown.startswith("DROP ")
        ]
        yield _item(f"database:{database['name']}", wanted=database, steps=steps)
    general = {step.shown for step in accounts.plan(observed=observed, databases=databases, users=[])}
    for user in users:
        steps = [
            step
            for step in accounts.plan(observed=observed, databases=databases, users=[user])
            if step.shown not in general
        ]
        # Passwords are never compared: a server does not tell them.
        wanted = {key: value for key, value in user.items() if key != "password"}
        yield _item(f"account:{user['name']}@{user['host']}", wanted=wanted, steps=steps)


def _item(key: str, *, wanted: t.Any, steps: t.Sequence[accounts.Step]) -> Item:
    shown = [step.shown for step in steps]
    found = [Difference(f"It would take `{'`, `'.join(shown)}` to have {key} as wanted")] if shown else []
    return Item(key=key, wanted=wanted, differences=tuple(found))


def _strangers(
    connection: session.Session,
    observed: accounts.Observed,
    databases: t.Sequence[dict[str, t.Any]],
    ours: t.Collection[tuple[str, str]],
) -> t.Iterator[Difference]:
    known = {database["name"] for database in databases} | set(catalog.SYSTEM_DATABASES)
    for name in sorted(set(observed.databases) - known):
        yield Difference(f"Database {name} is not ours", EXTRA, key=f"database:{name}")
    roles = "is_role = 'N'" if observed.server.engine == "mariadb" else "TRUE"
    for name, host in connection.rows(f"SELECT User, Host FROM mysql.user WHERE {roles} ORDER BY User, Host"):
        local = str(host) in ("localhost", "127.0.0.1", "::1")
        if (str(name), str(host)) not in ours and not (local and str(name) in SYSTEM_ACCOUNTS):
            what = f"Account {name or '(anonymous)'}@{host} is not ours"
            yield Difference(what, EXTRA, key=f"account:{name}@{host}")


def observe_backups(params: t.Mapping[str, t.Any], around: Around) -> t.Iterator[Item]:
    """Look how old the newest whole dump is, where dumps are taken at all, and whether the last one failed."""
    sets = manifest.list_sets(directory=Path(params["directory"]))
    whole = [each for each in sets if each["valid"]]
    found = [
        Difference(f"The dump {each['id']} is damaged: {'; '.join(each['problems'])}", PROBE, key=f"dump:{each['id']}")
        for each in sets
        if not each["valid"]
    ]
    if sets and not whole:
        found.append(Difference("There is no whole dump", PROBE))
    elif whole and params["hours"]:
        taken = datetime.datetime.fromisoformat(whole[0]["manifest"]["snapshot_at"].replace("Z", "+00:00"))
        age = (datetime.datetime.now(datetime.timezone.utc) - taken).total_seconds() / 3600
        if age > params["hours"]:
            found.append(Difference(f"The newest dump is {age:.0f} hours old", PROBE))
    service = params["service"]
    if service and around.runner.run(["systemctl", "is-failed", "--quiet", service], check=False).rc == 0:
        found.append(Difference(f"The last dump of the timer failed. See: journalctl -u {service}", PROBE))
    yield Item(key="dump", differences=tuple(found))


def data_digests(names: t.Sequence[str]) -> dict[str, dict[str, str]]:
    """Return digests of each database's ``content`` and ``form``, and the ``series`` of the server that printed it.

    Nothing where there is no server.
    """
    if not names or session.is_absent(login_unix_socket=None):
        return {}
    connection = session.connect(login_unix_socket=None)
    try:
        checksum.require_packet_size(session=connection)
        connection.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        there = catalog.existing_databases(session=connection)
        databases = [catalog.read_database(session=connection, name=name) for name in names if name in there]
        sums = checksum.sum_databases(sessions=[connection], databases=databases)
        series = "{} {}.{}".format(connection.server.engine, *connection.server.series)
        return {each.name: digests(database=each, sums=sums[each.name], series=series) for each in databases}
    finally:
        connection.close()


def digests(*, database: catalog.Database, sums: dict[str, checksum.TableSum], series: str) -> dict[str, str]:
    """Return what clones are compared by."""
    described = describe.comparable(describe.describe_database(database=database, sums=sums))
    return {"series": series, **{part: digest(each) for part, each in described.items()}}
