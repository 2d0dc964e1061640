# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a dump set: the whole of it, proven, or nothing at all."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    catalog,
    checksum,
    describe,
    files,
    preflight,
    verify,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import state as states
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.dump import utc_now
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session, identifier, series_of

_ANOTHER_DUMP = "Copy it again, or take a new dump: ansible-playbook phoenix.webstack.back_up_database"


@dataclasses.dataclass(frozen=True)
class RestoreOptions:
    """What the caller wants; no ``databases`` means all of the dump."""

    path: Path
    databases: tuple[str, ...]
    state_directory: Path
    host: str
    socket: str | None = None


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


def make_plan(*, options: RestoreOptions, session: Session) -> Plan:
    """Look at the dump and at the target without touching either.

    :raises WebstackError: One or more reasons against it, all in one message and as ``problems``.
    """
    manifest = _read_set(options=options)
    names = list(options.databases) or sorted(manifest["databases"])
    unknown = [name for name in names if name not in manifest["databases"]]
    if unknown:
        _refuse(
            options=options,
            problems=[
                f"The dump has no database {', '.join(f'`{name}`' for name in unknown)}; "
                f"it has: {', '.join(sorted(manifest['databases']))}.",
            ],
        )
    problems = preflight.judge_engine(manifest=manifest, server=session.server)
    store = states.StateStore(directory=options.state_directory)
    existing = catalog.existing_databases(session=session)
    before, actions = {}, {}
    for name in names:
        before[name] = catalog.read_database(session=session, name=name) if name in existing else None
        verdict = _judge(name=name, target=before[name], store=store, options=options, manifest=manifest)
        actions[name] = verdict.action
        problems += [verdict.problem] if verdict.problem else []
    plan = Plan(manifest=manifest, actions=actions, before=before)
    problems += _judge_load(plan=plan, options=options, session=session)
    if problems:
        _refuse(options=options, problems=problems)
    return plan


def _read_set(*, options: RestoreOptions) -> manifests.Manifest:
    path = options.path
    if manifests.is_partial(path):
        _refuse(options=options, problems=[f"{path} is the remains of a dump that never finished; choose a whole one."])
    if not path.is_dir():
        _refuse(
            options=options,
            problems=[
                f"There is no dump set at {path}. Look what there is with: ls -l {path.parent}",
            ],
        )
    try:
        return manifests.read_manifest(directory=path)
    except WebstackError as error:
        _refuse(options=options, problems=[f"{error.message} {_ANOTHER_DUMP}"])
        raise  # for the type checker: _refuse never returns


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
    return preflight.judge_target(
        name=name,
        target=target,
        state=state,
        dump_id=manifest["id"],
        host=options.host,
    )


def _judge_load(*, plan: Plan, options: RestoreOptions, session: Session) -> list[str]:
    """Problems that matter only for what would be loaded: files, accounts, space, client programs."""
    entries = {name: plan.manifest["databases"][name] for name in plan.to_load}
    problems: list[str] = []
    for name, entry in entries.items():
        damage = verify.verify_file(
            path=options.path / entry["file"],
            database=name,
            size=entry["size"],
            sha256=entry["sha256"],
        )
        problems += [f"{each} {_ANOTHER_DUMP}" for each in damage]
    definers = {account for entry in entries.values() for account in entry.get("definers", [])}
    problems += preflight.judge_definers(missing=catalog.missing_accounts(session=session, accounts=definers))
    data = Path(str(session.rows("SELECT @@datadir")[0][0]))
    needed = sum(entry.get("bytes", 0) for entry in entries.values())
    if entries:
        problems += preflight.judge_space(needed=needed, free=files.free_bytes(data), path=data)
    return problems


def _refuse(*, options: RestoreOptions, problems: list[str]) -> t.NoReturn:
    reasons = f" {problems[0]}" if len(problems) == 1 else "".join(f"\n- {problem}" for problem in problems)
    raise WebstackError(
        f"Restoring {options.path} on {options.host} is refused, nothing was changed:{reasons}",
        problems=problems,
    )


class Restore:
    """One restore that a plan allows, from the first state file to the proof."""

    def __init__(
        self,
        *,
        options: RestoreOptions,
        plan: Plan,
        connect: t.Callable[[], Session],
        lock: int,
        readers: int = 2,
    ) -> None:
        self._options = options
        self._plan = plan
        self._connect = connect
        self._session = connect()
        self._lock = lock
        self._readers = readers
        self._states: dict[str, states.RestoreState] = {}
        self._store = states.StateStore(directory=options.state_directory)
        self._session.execute("SET SESSION sql_log_bin = 0")
        self._session.execute("SET SESSION lock_wait_timeout = 300")

    def run(self) -> dict[str, dict[str, t.Any]]:
        """Load and prove every database of the plan, or leave all of them as they were.

        :returns: For each loaded database its tables, rows and seconds.
        """
        touched: list[str] = []
        results: dict[str, dict[str, t.Any]] = {}
        try:
            for name in self._plan.to_load:
                touched.append(name)
                results[name] = self._restore_one(name)
        except BaseException as error:
            self._put_back(touched=touched, cause=error)
            raise
        for name in results:
            self._store.write({**self._states[name], "state": states.RESTORED, "finished_at": utc_now()})
        self._session.close()
        return results

    def _restore_one(self, name: str) -> dict[str, t.Any]:
        begun = time.monotonic()
        entry = self._plan.manifest["databases"][name]
        self._claim(name=name, entry=entry)
        self._make_room(name=name, charset=entry["charset"], collation=entry["collation"])
        self._load(name=name, path=self._options.path / entry["file"])
        loaded = time.monotonic()
        self._prove(name=name, entry=entry)
        described = {name: entry}
        return {
            "tables": describe.count_tables(databases=described),
            "rows": describe.count_rows(databases=described),
            "load_seconds": round(loaded - begun, 3),
            "proof_seconds": round(time.monotonic() - loaded, 3),
        }

    def _claim(self, *, name: str, entry: dict[str, t.Any]) -> None:
        """Write down, durably, that from now on the content of this database is ours."""
        before = self._plan.before[name]
        if self._plan.actions[name] == preflight.LOAD and not self._is_empty(name):
            raise WebstackError(f"Database `{name}` on {self._options.host} was filled by someone else just now.")
        previous = None if before is None else {"charset": before.charset, "collation": before.collation}
        if self._plan.actions[name] == preflight.RELOAD:
            previous = (self._store.read(name) or {}).get("previous")
        self._states[name] = {
            "database": name,
            "state": states.LOADING,
            "dump_id": self._plan.manifest["id"],
            "path": str(self._options.path),
            "started_at": utc_now(),
            "previous": previous,
            "contents": {
                "tables": sorted(entry["tables"]),
                **{kind: sorted(found) for kind, found in entry["objects"].items()},
            },
        }
        self._store.write(self._states[name])

    def _is_empty(self, name: str) -> bool:
        existing = catalog.existing_databases(session=self._session)
        return name not in existing or catalog.read_database(session=self._session, name=name).is_empty

    def _make_room(self, *, name: str, charset: str, collation: str) -> None:
        """An empty database with the dump's character set and collation."""
        if self._plan.actions[name] == preflight.RELOAD:
            self._session.execute(f"DROP DATABASE {identifier(name)}")
        exists = name in catalog.existing_databases(session=self._session)
        self._session.execute(
            f"{'ALTER' if exists else 'CREATE'} DATABASE {identifier(name)}"
            f" CHARACTER SET {identifier(charset)} COLLATE {identifier(collation)}",
        )

    def _load(self, *, name: str, path: Path) -> None:
        """Pass the file through zstd into the engine's own client.

        The text passes through this process on purpose: when it is killed, the client finds the end of its input
        and goes away by itself. It keeps the lock until then.
        """
        with path.open("rb") as source, tempfile.TemporaryFile() as log:
            zstd = verify.start_zstd(source=source)
            client = subprocess.Popen(
                load_argv(engine=self._session.server.engine, database=name, socket=self._options.socket),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(self._lock,),
            )
            sink = t.cast("t.IO[bytes]", client.stdin)
            try:
                shutil.copyfileobj(t.cast("t.IO[bytes]", zstd.stdout), sink, files.CHUNK)
                sink.close()
            except BrokenPipeError:
                zstd.kill()  # the client says below what was wrong
            except BaseException:
                client.kill()
                zstd.kill()
                client.wait()
                raise
            code, zstd_code = client.wait(), zstd.wait()
            log.seek(0)
            words = client_errors(log.read().decode("utf-8", "replace"))
        if code or zstd_code:
            raise WebstackError(
                f"Loading database `{name}` failed: {words or f'exit codes {code} (client) and {zstd_code} (zstd)'}",
            )

    def _prove(self, *, name: str, entry: dict[str, t.Any]) -> None:
        sessions = [self._connect() for _reader in range(self._readers)]
        try:
            database = catalog.read_database(session=sessions[0], name=name)
            sums = checksum.sum_databases(sessions=sessions, databases=[database])
        finally:
            for session in sessions:
                session.close()
        found = describe.differences(
            expected=entry,
            actual=describe.describe_database(database=database, sums=sums[name]),
            same_series=series_of(self._plan.manifest["version"]) == self._session.server.series,
            compare_views=False,
        )
        if found:
            raise WebstackError(
                f"The data loaded into `{name}` is not what the dump's manifest says: {'; '.join(found[:10])}.",
                differences=found,
            )

    def _put_back(self, *, touched: t.Sequence[str], cause: BaseException) -> None:
        """Drop what this run loaded, so that each database is again absent or empty as it was found."""
        self._session.close()
        try:
            self._session = self._connect()
            self._session.execute("SET SESSION sql_log_bin = 0")
            for name in touched:
                self._put_back_one(name)
            after = (
                f" Everything loaded was taken back: {', '.join(f'`{name}`' for name in touched)} on "
                f"{self._options.host} is as it was before."
            )
        except WebstackError as error:
            after = f" Taking it back failed too: {error.message} The next run of this restore will clear it."
        finally:
            self._session.close()
        if isinstance(cause, WebstackError):
            cause.message += after

    def _put_back_one(self, name: str) -> None:
        state = self._states.get(name)
        if state is None:
            return
        if name in catalog.existing_databases(session=self._session):
            target = catalog.read_database(session=self._session, name=name)
            problem = preflight.judge_remains(name=name, target=target, state=state, host=self._options.host).problem
            if problem:
                raise WebstackError(problem)
            self._session.execute(f"DROP DATABASE {identifier(name)}")
        previous = state["previous"]
        if previous is not None:
            self._session.execute(
                f"CREATE DATABASE {identifier(name)} CHARACTER SET {identifier(previous['charset'])}"
                f" COLLATE {identifier(previous['collation'])}",
            )
        self._store.clear(name)


def client_errors(text: str) -> str:
    """What a client says went wrong, without the statement that MariaDB's prints along: it is full of people's data."""
    return " ".join(line for line in text.splitlines() if line.startswith("ERROR "))


def load_argv(*, engine: str, database: str, socket: str | None) -> list[str]:
    """The engine's own client, set so that a dump can do nothing but run its statements in one database.

    ``--binary-mode`` switches off client commands (a dump cannot run programs here) and keeps bytes as they are;
    ``--comments`` keeps the comments inside of routines.
    """
    client = "mariadb" if engine == "mariadb" else "mysql"
    program = shutil.which(client) or shutil.which("mysql")
    if program is None:
        raise WebstackError(
            f"The client `{client}` is not installed on this host. Install it with: "
            f"apt-get install {'mariadb-client' if engine == 'mariadb' else 'mysql-client'}",
        )
    argv = [
        program,
        "--no-defaults",
        "--user=root",
        "--batch",
        "--binary-mode",
        "--comments",
        "--default-character-set=utf8mb4",
        "--max-allowed-packet=1G",
        "--init-command=SET SESSION sql_log_bin = 0",
    ]
    argv += [f"--socket={socket}"] if socket else []
    return [*argv, "--", database]


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
