# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases and the accounts that use them: what is there, what is wanted, and the statements in between."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import catalog
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import identifier, literal, own_account

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Server, Session

Grants = t.Dict[str, t.FrozenSet[str]]  # noqa: UP006 -- evaluated at run time, Python 3.8 on hosts

_NAME = r"(?:\*|`(?:[^`]|``)+`)"
_GRANT = re.compile(
    rf"GRANT (?P<privileges>.+?) ON (?P<kind>(?:FUNCTION|PROCEDURE|PACKAGE BODY|PACKAGE) )?"
    rf"(?P<database>{_NAME})\.(?P<object>{_NAME}) TO ",
)
_LEVEL = re.compile(
    r"(?P<kind>(?:FUNCTION|PROCEDURE|PACKAGE BODY|PACKAGE) )?(?P<database>[^.]+)\.(?P<object>.+)",
    re.IGNORECASE,
)
_ALL = "ALL PRIVILEGES"
_GRANT_OPTION = "GRANT OPTION"
# What MySQL lists one by one instead of saying ALL PRIVILEGES ON *.*; newer versions have more, none has less.
_MYSQL_ALL = frozenset(
    {
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "DROP",
        "RELOAD",
        "SHUTDOWN",
        "PROCESS",
        "FILE",
        "REFERENCES",
        "INDEX",
        "ALTER",
        "SHOW DATABASES",
        "SUPER",
        "CREATE TEMPORARY TABLES",
        "LOCK TABLES",
        "EXECUTE",
        "REPLICATION SLAVE",
        "REPLICATION CLIENT",
        "CREATE VIEW",
        "SHOW VIEW",
        "CREATE ROUTINE",
        "ALTER ROUTINE",
        "CREATE USER",
        "EVENT",
        "TRIGGER",
        "CREATE TABLESPACE",
        "CREATE ROLE",
        "DROP ROLE",
    }
)
_CHARSET_ALIASES = {"utf8": "utf8mb3"}


@dataclasses.dataclass(frozen=True)
class Account:
    """One account as the server knows it: how it authenticates (``SHOW CREATE USER``), and what it may do."""

    definition: str
    grants: Grants


@dataclasses.dataclass(frozen=True)
class Observed:
    """The part of a server that the plan needs."""

    server: Server
    databases: dict[str, tuple[str, str]]
    empty_test_database: bool
    accounts: dict[tuple[str, str], Account]
    anonymous: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """A statement to run, and the same without secrets for people to read."""

    statement: str
    shown: str


def read_server(*, session: Session, users: t.Iterable[dict[str, t.Any]]) -> Observed:
    """Look at the databases of a server, and at the wanted accounts as far as they exist."""
    databases = catalog.existing_databases(session=session)
    existing = {(str(user), str(host)) for user, host in session.rows("SELECT User, Host FROM mysql.user")}
    accounts = {
        (user["name"], user["host"]): _read_account(session=session, name=user["name"], host=user["host"])
        for user in users
        if (user["name"], user["host"]) in existing
    }
    return Observed(
        server=session.server,
        databases=databases,
        accounts=accounts,
        empty_test_database="test" in databases and catalog.read_database(session=session, name="test").is_empty,
        anonymous=tuple(sorted(host for user, host in existing if user == "")),
    )


def _read_account(*, session: Session, name: str, host: str) -> Account:
    account = _account(name, host)
    definition = str(session.rows(f"SHOW CREATE USER {account}")[0][0])
    lines = [str(row[0]) for row in session.rows(f"SHOW GRANTS FOR {account}")]
    return Account(definition=definition, grants=parse_grants(lines=lines, engine=session.server.engine))


def parse_grants(*, lines: t.Iterable[str], engine: str) -> Grants:
    """Read ``SHOW GRANTS``: privileges by level, as ``{"sakila.*": {"SELECT", "INSERT"}}``.

    Grants of roles and of PROXY are none of this collection's business and are left out, and so is USAGE.
    """
    grants: dict[str, frozenset[str]] = {}
    for line in lines:
        match = _GRANT.match(line)
        if match is None or match["privileges"] == "PROXY":
            continue
        names = f"{_unquote(match['database'])}.{_unquote(match['object'])}"
        level = f"{match['kind'] or ''}{names}"
        privileges = split_privileges(match["privileges"]) - {"USAGE"}
        if line.rstrip().endswith("WITH GRANT OPTION"):
            privileges |= {_GRANT_OPTION}
        grants[level] = grants.get(level, frozenset()) | privileges
    if engine == "mysql" and grants.get("*.*", frozenset()) >= _MYSQL_ALL:
        grants["*.*"] = frozenset({_ALL}) | (grants["*.*"] & {_GRANT_OPTION})
    return {level: privileges for level, privileges in grants.items() if privileges}


def split_privileges(text: str) -> frozenset[str]:
    """Split at the commas outside of column lists: ``SELECT (`a`, `b`), INSERT``."""
    parts = re.findall(r"[^,(]+(?:\([^)]*\))?", text)
    return frozenset(normalise_privilege(part) for part in parts if part.strip())


def normalise_privilege(text: str) -> str:
    """One spelling: upper case without column names, the long form of ALL, GRANT OPTION for GRANT."""
    words, bracket, columns = " ".join(text.split()).partition("(")
    name = {"ALL": _ALL, "GRANT": _GRANT_OPTION}.get(words.strip().upper(), words.strip().upper())
    if not re.fullmatch(r"[A-Z_ ]+", name):
        raise WebstackError(f"`{text}` is no privilege. Privileges are words, as in SHOW PRIVILEGES.")
    return f"{name} ({_plain_columns(columns)})" if bracket else name


def _plain_columns(columns: str) -> str:
    names = sorted(name.strip().strip("`") for name in columns.rstrip(") ").split(","))
    return ", ".join(identifier(name) for name in names)


def _unquote(name: str) -> str:
    return name if name == "*" else name[1:-1].replace("``", "`")


def _account(name: str, host: str) -> str:
    return f"{literal(name)}@{literal(host)}"


def split_level(level: str) -> tuple[str, str, str]:
    """Kind, database and name of a level: ``procedure shop.total`` is ``("PROCEDURE ", "shop", "total")``."""
    match = _LEVEL.fullmatch(level)
    if match is None:
        raise WebstackError(f"`{level}` is no place for privileges. Write `database.*`, `database.table` or `*.*`.")
    return (match["kind"] or "").upper(), match["database"], match["object"]


def _level(level: str) -> str:
    kind, *names = split_level(level)
    return kind + ".".join(name if name == "*" else identifier(name) for name in names)


def wanted_grants(user: dict[str, t.Any], *, server: Server) -> Grants | None:
    """The privileges a user shall have, in the form of `parse_grants`; None leaves them as they are."""
    if user.get("privileges") is None and user.get("dumps") is None:
        return None
    grants = dump_grants(databases=user.get("dumps") or (), server=server)
    for level, privileges in (user.get("privileges") or {}).items():
        kind, database, name = split_level(level)
        listed = [privileges] if isinstance(privileges, str) else list(privileges)
        found = frozenset(item for text in listed for item in split_privileges(text)) - {"USAGE"}
        if found:
            grants[f"{kind}{database}.{name}"] = found | grants.get(f"{kind}{database}.{name}", frozenset())
    return grants


def dump_grants(*, databases: t.Collection[str], server: Server) -> Grants:
    """The least privileges that a logical dump of some databases needs, as measured: one less, and it lacks something.

    Without TRIGGER or a look at the routines nothing fails: triggers and bodies of routines are just missing, in the
    dump and in its manifest.
    """
    if not databases:
        return {}
    each = {"SELECT", "SHOW VIEW", "TRIGGER", "EVENT"}
    grants = {}
    if server.engine == "mysql":
        grants["*.*"] = frozenset({"FLUSH_TABLES", "REPLICATION CLIENT", "SHOW_ROUTINE"})
    else:
        grants["*.*"] = frozenset({"RELOAD", "BINLOG MONITOR"})
        if server.series >= (11, 3):
            each.add("SHOW CREATE ROUTINE")
        else:
            grants["mysql.proc"] = frozenset({"SELECT"})
    return {**grants, **{f"{name}.*": frozenset(each) for name in databases}}


def lacking(*, wanted: Grants, existing: Grants) -> list[str]:
    """Which privileges are wanted and not there, as ``TRIGGER on shop.*``; those for everything count everywhere."""
    everywhere = existing.get("*.*", frozenset())
    found = []
    for level, privileges in sorted(wanted.items()):
        has = existing.get(level, frozenset()) | everywhere
        found += [f"{name} on {level}" for name in sorted(privileges - has) if _ALL not in has]
    return found


def refuse_blind(*, session: Session, databases: t.Collection[str]) -> None:
    """Refuse to dump as an account that does not see all of the databases: nobody would miss what it leaves out.

    :raises WebstackError: It lacks privileges; the message names them.
    """
    lines = [str(row[0]) for row in session.rows("SHOW GRANTS FOR CURRENT_USER")]
    existing = parse_grants(lines=lines, engine=session.server.engine)
    missing = lacking(wanted=dump_grants(databases=databases, server=session.server), existing=existing)
    if missing:
        raise WebstackError(
            f"The account {own_account()} lacks {', '.join(missing)}, and a dump would not have what it cannot see. "
            "Nothing was dumped. The role mysql_backup gives it what it needs; run the playbook that provisions this "
            "host: ansible-playbook phoenix.webstack.provision_web",
        )


def plan(
    *,
    observed: Observed,
    databases: t.Iterable[dict[str, t.Any]],
    users: t.Iterable[dict[str, t.Any]],
) -> list[Step]:
    """The statements that turn what is observed into what is wanted; none where both are equal."""
    steps: list[Step] = []
    for database in databases:
        steps += _plan_database(observed=observed, database=database)
    steps += [_step(f"DROP USER {_account('', host)}") for host in observed.anonymous]
    if observed.empty_test_database and "test" not in {database["name"] for database in databases}:
        steps.append(_step("DROP DATABASE `test`"))
    for user in users:
        steps += _plan_user(observed=observed, user=user)
    return steps


def _step(statement: str) -> Step:
    return Step(statement=statement, shown=statement)


def _plan_database(*, observed: Observed, database: dict[str, t.Any]) -> list[Step]:
    name, encoding, collation = database["name"], database.get("encoding"), database.get("collation")
    wanted = f" CHARACTER SET {identifier(encoding)}" if encoding else ""
    wanted += f" COLLATE {identifier(collation)}" if collation else ""
    if name not in observed.databases:
        return [_step(f"CREATE DATABASE {identifier(name)}{wanted}")]
    has_encoding, has_collation = observed.databases[name]
    other_encoding = encoding and _CHARSET_ALIASES.get(encoding, encoding) != has_encoding
    if other_encoding or (collation and collation != has_collation):
        return [_step(f"ALTER DATABASE {identifier(name)}{wanted}")]
    return []


def _plan_user(*, observed: Observed, user: dict[str, t.Any]) -> list[Step]:
    account = _account(user["name"], user["host"])
    existing = observed.accounts.get((user["name"], user["host"]))
    steps = []
    if existing is None:
        clause, shown = _authentication(engine=observed.server.engine, user=user)
        steps.append(Step(statement=f"CREATE USER {account} {clause}", shown=f"CREATE USER {account} {shown}"))
    elif user["socket"] and _socket_plugin(observed.server.engine) not in existing.definition:
        clause, shown = _authentication(engine=observed.server.engine, user=user)
        steps.append(Step(statement=f"ALTER USER {account} {clause}", shown=f"ALTER USER {account} {shown}"))
    wanted = wanted_grants(user, server=observed.server)
    if wanted is not None:
        steps += _plan_grants(account=account, wanted=wanted, existing=existing.grants if existing else {})
    return steps


def _socket_plugin(engine: str) -> str:
    return "unix_socket" if engine == "mariadb" else "auth_socket"


def _authentication(*, engine: str, user: dict[str, t.Any]) -> tuple[str, str]:
    """How an account proves who it is, as SQL and as text for people."""
    if user["socket"]:
        word = "VIA" if engine == "mariadb" else "WITH"
        clause = f"IDENTIFIED {word} {_socket_plugin(engine)}"
        return clause, clause
    if not user.get("password"):
        raise WebstackError(
            f"The account {user['name']}@{user['host']} has neither `socket: true` nor a password: anybody could use "
            "it. Give it one of the two.",
        )
    return f"IDENTIFIED BY {literal(user['password'])}", "IDENTIFIED BY '********'"


def _plan_grants(*, account: str, wanted: Grants, existing: Grants) -> list[Step]:
    steps = []
    for level in sorted(set(wanted) | set(existing)):
        want, have = wanted.get(level, frozenset()), existing.get(level, frozenset())
        surplus, missing = have - want, want - have
        if _ALL in missing:
            surplus &= {_GRANT_OPTION}  # the single ones are part of it
        if surplus:
            steps.append(_step(f"REVOKE {', '.join(sorted(surplus))} ON {_level(level)} FROM {account}"))
        if missing:
            option = " WITH GRANT OPTION" if _GRANT_OPTION in want else ""
            listed = ", ".join(sorted(missing - {_GRANT_OPTION})) or "USAGE"
            steps.append(_step(f"GRANT {listed} ON {_level(level)} TO {account}{option}"))
    return steps
