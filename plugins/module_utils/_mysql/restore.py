# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a dump set: the whole of it, proven, or nothing at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    catalog,
    checksum,
    describe,
    encryption,
    files,
    preflight,
    switch,
    verify,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import state as states
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.dump import utc_now
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.load import (
    Loader,
    defer_indexes,
    make_all_deferred,
    worth_deferring,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.progress import Progress
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session, identifier, series_of

# Tables from this size on, in bytes, get their indexes after their rows.
_DEFER_FROM = 8 * 1024 * 1024
# How long a server that went down under the restore may take to come back, in seconds.
_COMEBACK = 60.0
# What is added to a database's name for the one beside it.
INCOMING = "__incoming"
PROGRESS_FILE = ".progress.json"
_ANOTHER_DUMP = "Copy it again, or take a new dump: ansible-playbook phoenix.webstack.back_up_database"


@dataclasses.dataclass(frozen=True)
class RestoreOptions:
    """What the caller wants.

    No ``databases`` means all of the dump. ``replace`` names the databases whose data may be put aside; ``workers``
    is how many clients load and read at the same time, and ``lock_timeout`` how many seconds the switch waits for
    whoever uses the tables. ``method`` is the one that the dump has to have, if any, and ``identity`` the file that
    decrypts it.
    """

    path: Path
    databases: tuple[str, ...]
    state_directory: Path
    host: str
    socket: str | None = None
    replace: tuple[str, ...] = ()
    workers: int = 2
    lock_timeout: int = 30
    method: str | None = None
    identity: Path | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """A restore that nothing speaks against: the manifest, and what to do with each database."""

    manifest: manifests.Manifest
    actions: dict[str, str]
    before: dict[str, catalog.Database | None]

    @property
    def to_load(self) -> list[str]:
        """Databases that will be written."""
        return [name for name, action in self.actions.items() if action != preflight.DONE]

    @property
    def to_replace(self) -> list[str]:
        """Databases whose present data is put aside."""
        return [name for name, action in self.actions.items() if action == preflight.REPLACE]


def make_plan(
    *,
    options: RestoreOptions,
    session: Session,
    judge_copy: t.Callable[[Plan], list[str]] = lambda _plan: [],
) -> Plan:
    """Look at the dump and at the target without touching either.

    :arg judge_copy: Tells what speaks against a physical dump.
    :raises WebstackError: One or more reasons against it, all in one message and as ``problems``.
    """
    manifest = read_set(options=options)
    names = list(options.databases) or sorted(manifest["databases"])
    unknown = [name for name in names if name not in manifest["databases"]]
    if unknown:
        refuse(
            options=options,
            problems=[
                f"The dump has no database {', '.join(f'`{name}`' for name in unknown)}; "
                f"it has: {', '.join(sorted(manifest['databases']))}.",
            ],
        )
    problems = preflight.judge_engine(manifest=manifest, server=session.server)
    store = states.StateStore(directory=options.state_directory)
    existing = catalog.existing_databases(session=session)
    is_copy = manifest["method"] == manifests.PHYSICAL
    replaceable = sorted({*names, *(set(existing) - catalog.SYSTEM_DATABASES)}) if is_copy else names
    problems += preflight.judge_replace(replace=options.replace, names=replaceable)
    before, actions = {}, {}
    for name in names:
        before[name] = catalog.read_database(session=session, name=name) if name in existing else None
        verdict = _judge(name=name, target=before[name], store=store, options=options, manifest=manifest)
        actions[name] = verdict.action
        problems += _judge_beside(name=name, store=store, existing=existing)
        problems += [verdict.problem] if verdict.problem else []
    for name in [name for name in names if actions[name] == preflight.DONE and name in options.replace]:
        if _has_moved_on(database=t.cast("catalog.Database", before[name]), manifest=manifest, session=session):
            actions[name] = preflight.REPLACE
    plan = Plan(manifest=manifest, actions=actions, before=before)
    if not is_copy:
        problems += _judge_load(plan=plan, options=options, session=session)
    elif plan.to_load:
        problems += judge_copy(plan)
    if problems:
        refuse(options=options, problems=problems)
    return plan


def read_set(*, options: RestoreOptions) -> manifests.Manifest:
    """The manifest of the dump set that is to be restored.

    :raises WebstackError: There is none that is whole; the message says why.
    """
    path = options.path
    if manifests.is_partial(path):
        refuse(options=options, problems=[f"{path} is the remains of a dump that never finished; choose a whole one."])
    if not path.is_dir():
        refuse(
            options=options,
            problems=[
                f"There is no dump set at {path}. Look what there is with: ls -l {path.parent}",
            ],
        )
    try:
        manifest = manifests.read_manifest(directory=path)
    except WebstackError as error:
        refuse(options=options, problems=[f"{error.message} {_ANOTHER_DUMP}"])
        raise  # for the type checker: refuse never returns
    if options.method not in (None, manifest["method"]):
        refuse(
            options=options,
            problems=[
                f"{path} is a {manifest['method']} dump, and a {options.method} one was asked for "
                f"(mysql_restore_method={options.method}). Choose another dump, or leave it to the dump: "
                "mysql_restore_method=auto.",
            ],
        )
    problems = encryption.judge_identity(manifest=manifest, directory=path, identity=options.identity)
    if problems:
        refuse(options=options, problems=problems)
    return manifest


def _judge(
    *,
    name: str,
    target: catalog.Database | None,
    store: states.StateStore,
    options: RestoreOptions,
    manifest: manifests.Manifest,
) -> preflight.Verdict:
    if name in catalog.SYSTEM_DATABASES:
        return preflight.Verdict(action=preflight.LOAD, problem=f"`{name}` is the server's own database.")
    try:
        state = store.read(name)
    except WebstackError as error:
        if target is not None and not target.is_empty:
            return preflight.Verdict(action=preflight.LOAD, problem=error.message)
        state = None
    entry = manifest["databases"][name]
    return preflight.judge_target(
        name=name,
        target=target,
        state=state,
        dump_id=manifest["id"],
        host=options.host,
        replace=name in options.replace,
        holds_nothing=not entry["tables"] and not any(entry["objects"].values()),
    )


def _judge_beside(*, name: str, store: states.StateStore, existing: t.Container[str]) -> list[str]:
    """Refuse to load where there is a database of the name beside that is not ours."""
    incoming = switch.beside(name, INCOMING)
    if incoming not in existing:
        return []
    try:
        state = store.read(name)
    except WebstackError:
        state = None
    if state is not None and state["state"] == states.LOADING and state.get("incoming") == incoming:
        return []
    return [
        f"Database `{name}` would be loaded in `{incoming}` first, but there is a database of that name, which this "
        f"collection does not know. Look into it, and drop or rename it: DROP DATABASE `{incoming}`",
    ]


def _has_moved_on(*, database: catalog.Database, manifest: manifests.Manifest, session: Session) -> bool:
    """Whether the tables of a database that was restored from this dump are no longer what the dump has."""
    sums = checksum.sum_databases(sessions=[session], databases=[database])
    described = describe.describe_database(database=database, sums=sums[database.name])
    expected = manifest["databases"][database.name]["tables"]
    return bool(describe.table_differences(expected=expected, actual=described["tables"], same_series=False))


def _judge_load(*, plan: Plan, options: RestoreOptions, session: Session) -> list[str]:
    """Problems that matter only for what would be loaded: files, accounts, references, space."""
    entries = {name: plan.manifest["databases"][name] for name in plan.to_load}
    damage = verify.verify_files(
        directory=options.path, databases=entries, workers=options.workers, identity=options.identity
    )
    problems = [f"{each} {_ANOTHER_DUMP}" for each in damage]
    definers = {account for entry in entries.values() for account in entry.get("definers", [])}
    problems += preflight.judge_definers(missing=catalog.missing_accounts(session=session, accounts=definers))
    for name in plan.to_replace:
        problems += preflight.judge_references(
            name=name,
            tables=catalog.references_from_outside(session=session, name=name),
        )
    data = Path(str(session.rows("SELECT @@datadir")[0][0]))
    needed = sum(entry.get("bytes", 0) for entry in entries.values())
    if entries:
        problems += preflight.judge_space(needed=needed, free=files.free_bytes(data), path=data)
    return problems


def refuse(*, options: RestoreOptions, problems: list[str]) -> t.NoReturn:
    """Refuse a restore with all the reasons against it."""
    reasons = f" {problems[0]}" if len(problems) == 1 else "".join(f"\n- {problem}" for problem in problems)
    raise WebstackError(
        f"Restoring {options.path} on {options.host} is refused, nothing was changed:{reasons}",
        problems=problems,
    )


class Restore:
    """One restore that a plan allows, from the first state file to the proof.

    All databases are loaded and proven beside the live ones; then they take their place together, at one moment.

    :arg lock: The descriptor of the lock that keeps other restores away.
    """

    def __init__(
        self,
        *,
        options: RestoreOptions,
        plan: Plan,
        connect: t.Callable[[], Session],
        lock: int,
    ) -> None:
        self._options = options
        self._plan = plan
        self._connect = connect
        self._session = open_session(connect)
        self._store = states.StateStore(directory=options.state_directory)
        self._progress = Progress(path=options.state_directory / PROGRESS_FILE)
        self._loader = Loader(
            engine=self._session.server.engine,
            socket=options.socket,
            lock=lock,
            workers=options.workers,
            advance=self._progress.advance,
            identity=options.identity,
        )
        self._claimed: dict[str, states.RestoreState] = {}
        self._switch: switch.Switch | None = None
        self._timings: dict[str, dict[str, float]] = {}

    def run(self) -> dict[str, dict[str, t.Any]]:
        """Load, prove and switch every database of the plan, or leave all of them as they were.

        :returns: For each loaded database its tables, rows and seconds, and what was ``kept`` of the data before.
        """
        names = self._plan.to_load
        try:
            for name in names:
                self._claim(name)
                self._load(name)
            for name in names:
                self._prove(name)
            self._take_place(names)
        except BaseException as error:
            self._put_back(cause=error)
            raise
        finally:
            self._progress.end()
        kept = conclude(switched=t.cast("switch.Switch", self._switch), store=self._store)
        self._session.close()
        return {name: self._result(name, kept=kept.get(name)) for name in names}

    def _result(self, name: str, *, kept: dict[str, str] | None) -> dict[str, t.Any]:
        described = {name: self._entry(name)}
        return {
            "tables": describe.count_tables(databases=described),
            "rows": describe.count_rows(databases=described),
            **self._timings[name],
            **({"kept": kept} if kept else {}),
        }

    def _entry(self, name: str) -> dict[str, t.Any]:
        return self._plan.manifest["databases"][name]

    def _claim(self, name: str) -> None:
        """Write down, durably, which database beside this one is ours, and make it anew."""
        entry, incoming = self._entry(name), switch.beside(name, INCOMING)
        self._claimed[name] = {
            "database": name,
            "state": states.LOADING,
            "dump_id": self._plan.manifest["id"],
            "path": str(self._options.path),
            "started_at": utc_now(),
            "incoming": incoming,
            "before": states.settled(self._store.read(name)),
        }
        self._store.write(self._claimed[name])
        self._session.execute(f"DROP DATABASE IF EXISTS {identifier(incoming)}")
        self._session.execute(
            f"CREATE DATABASE {identifier(incoming)}"
            f" CHARACTER SET {identifier(entry['charset'])} COLLATE {identifier(entry['collation'])}",
        )

    def _load(self, name: str) -> None:
        begun = time.monotonic()
        entry, incoming = self._entry(name), self._claimed[name]["incoming"]
        paths = {
            part: [self._options.path / each["file"] for each in entry["files"] if each["part"] == part]
            for part in (manifests.SCHEMA_PART, manifests.DATA_PART)
        }
        self._progress.begin(f"load {name}", total=sum(path.stat().st_size for each in paths.values() for path in each))
        for path in paths[manifests.SCHEMA_PART]:
            self._loader.load(database=incoming, named=name, path=path)
        tables = catalog.read_database(session=self._session, name=incoming).tables
        sizes = {table: values.get("bytes", 0) for table, values in entry["tables"].items()}
        large = worth_deferring(tables=tables, sizes=sizes, least=_DEFER_FROM)
        deferred = defer_indexes(session=self._session, database=incoming, tables=large)
        self._loader.load_all(database=incoming, named=name, paths=paths[manifests.DATA_PART])
        self._progress.begin(f"index {name}", total=sum(sizes[each.table] for each in deferred))
        with self._sessions() as sessions:
            make_all_deferred(
                sessions=sessions,
                database=incoming,
                deferred=deferred,
                done=lambda each: self._progress.advance(sizes[each.table]),
            )
        self._timings[name] = {"load_seconds": round(time.monotonic() - begun, 3)}

    @contextlib.contextmanager
    def _sessions(self) -> t.Iterator[list[Session]]:
        sessions: list[Session] = []
        try:
            sessions.extend(open_session(self._connect) for _worker in range(self._options.workers))
            yield sessions
        finally:
            for session in sessions:
                session.close()

    def _prove(self, name: str) -> None:
        begun = time.monotonic()
        entry = self._entry(name)
        self._progress.begin(f"prove {name}", total=entry.get("bytes", 0))
        with self._sessions() as sessions:
            database = catalog.read_database(session=sessions[0], name=self._claimed[name]["incoming"])
            sums = checksum.sum_databases(sessions=sessions, databases=[database], advance=self._progress.advance)
        found = describe.table_differences(
            expected=entry["tables"],
            actual=describe.describe_database(database=database, sums=sums[database.name])["tables"],
            same_series=series_of(self._plan.manifest["version"]) == self._session.server.series,
        )
        if found:
            raise WebstackError(
                f"The data loaded for `{name}` is not what the dump's manifest says: {'; '.join(found[:10])}.",
                differences=found,
            )
        self._timings[name]["proof_seconds"] = round(time.monotonic() - begun, 3)

    def _take_place(self, names: t.Sequence[str]) -> None:
        """Put all that was proven in its place."""
        self._progress.begin("switch", total=0)
        journal = {
            "dump_id": self._plan.manifest["id"],
            "databases": {name: self._switch_entry(name) for name in names},
        }
        self._switch = switch.Switch(
            journal=journal,
            directory=self._store.journal_directory,
            session=self._session,
            connect=self._connect,
            loader=self._loader,
            lock_timeout=self._options.lock_timeout,
        )
        self._switch.prepare(socket=self._options.socket, set_path=self._options.path, identity=self._options.identity)
        self._switch.move()
        self._switch.complete()

    def _switch_entry(self, name: str) -> dict[str, t.Any]:
        entry = self._entry(name)
        live = switch.describe_live(session=self._session, name=name)
        if live["kept"] is not None and self._plan.actions[name] == preflight.LOAD:
            raise WebstackError(f"Database `{name}` on {self._options.host} was filled by someone else just now.")
        incoming = catalog.read_database(session=self._session, name=self._claimed[name]["incoming"])
        return {
            **live,
            "incoming": incoming.name,
            "charset": entry["charset"],
            "collation": entry["collation"],
            "new": switch.relations(incoming),
            "objects": switch.immovable(entry["objects"]),
            "parts": [each for each in entry["files"] if each["part"] in switch.OBJECT_PARTS],
        }

    def _put_back(self, *, cause: BaseException) -> None:
        """Leave each database as it was found."""
        self._loader.stop()
        self._session.close()
        try:
            self._session = reopen_session(self._connect)
            if self._switch is not None:
                self._switch.adopt(session=self._session, loader=self._loader.anew())
                self._switch.take_back()
            for state in self._claimed.values():
                self._session.execute(f"DROP DATABASE IF EXISTS {identifier(state['incoming'])}")
                self._store.put_back(state)
            after = (
                f" Everything loaded was taken back: {', '.join(f'`{name}`' for name in self._plan.to_load)} on "
                f"{self._options.host} is as it was before."
            )
        except WebstackError as error:
            after = (
                f" What was loaded beside the live data could not be removed yet: {error.message} The next run of "
                "this restore will do it."
            )
        finally:
            self._session.close()
        if isinstance(cause, WebstackError):
            cause.message += after


def open_session(connect: t.Callable[[], Session]) -> Session:
    """A session whose statements are nobody else's business: not logged, and not waiting forever."""
    session = connect()
    session.execute("SET SESSION sql_log_bin = 0")
    session.execute("SET SESSION lock_wait_timeout = 300")
    return session


def reopen_session(connect: t.Callable[[], Session]) -> Session:
    """A session with a server that may just have gone down and be on its way back."""
    deadline = time.monotonic() + _COMEBACK
    while time.monotonic() < deadline:
        with contextlib.suppress(WebstackError):
            return open_session(connect)
        time.sleep(1)
    return open_session(connect)


def conclude(*, switched: switch.Switch, store: states.StateStore) -> dict[str, dict[str, str]]:
    """Write down what is there now, and end the switch; see `switch.Switch.forget`."""
    for name in switched.journal["databases"]:
        state = {"database": name, "state": states.RESTORED, "dump_id": switched.journal["dump_id"]}
        store.write({**state, "finished_at": utc_now()})
    return switched.forget(kept_directory=store.kept_directory)


def resume(
    *,
    store: states.StateStore,
    socket: str | None,
    connect: t.Callable[[], Session],
    lock: int,
) -> str | None:
    """Finish a switch that was cut off, in the direction in which it was going.

    Where the tables had moved, the rest is made; where not, all is put back.

    :returns: What was done, or nothing.
    """
    journal = switch.read_journal(directory=store.journal_directory)
    if journal is None:
        return None
    session = open_session(connect)
    loader = Loader(engine=session.server.engine, socket=socket, lock=lock)
    found = switch.Switch(
        journal=journal, directory=store.journal_directory, session=session, connect=connect, loader=loader
    )
    names = ", ".join(f"`{name}`" for name in journal["databases"])
    try:
        found.end_orphan()
        if found.has_moved:
            found.complete()
            conclude(switched=found, store=store)
            return f"The restore of {names} from {journal['dump_id']} was finished, which had been cut off at its end."
        found.take_back()
        return f"What an interrupted restore of {names} had begun was put back."
    finally:
        session.close()


def summary(*, plan: Plan, loaded: dict[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    """The databases of a result: what was done with each, and how much of it there is."""
    entries = plan.manifest["databases"]
    result: dict[str, t.Any] = {}
    for name, action in plan.actions.items():
        counted = {name: entries[name]}
        result[name] = {
            "state": "already_restored" if action == preflight.DONE else "restored",
            "tables": describe.count_tables(databases=counted),
            "rows": describe.count_rows(databases=counted),
            **loaded.get(name, {}),
        }
    return json.loads(json.dumps(result))
