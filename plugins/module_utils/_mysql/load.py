# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading the files of a dump into one database: several clients beside each other, indexes after the rows."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import encryption, files, verify
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import identifier

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.catalog import Table
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session

# What makes loading fast and concerns no one but the loading session, which ends with it. Each table is one
# transaction of its own (the dump says so), so the server's log is flushed once for each table and not for each
# statement; nothing global is changed, so nothing can be left changed.
_SETUP = "SET SESSION sql_log_bin = 0, foreign_key_checks = 0, unique_checks = 0"
_KEY = re.compile(r"\s+(KEY `(?:[^`]|``)+` \((`(?:[^`]|``)+`).*?),?")
_REFERENCE = re.compile(r"\s+(CONSTRAINT (`(?:[^`]|``)+`) FOREIGN KEY .*?),?")
_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")


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
        f"--init-command={_SETUP}",
    ]
    argv += [f"--socket={socket}"] if socket else []
    return [*argv, "--", database]


def client_errors(text: str) -> str:
    """What a client says went wrong, without the statement that MariaDB's prints along: it is full of people's data."""
    return " ".join(line for line in text.splitlines() if line.startswith("ERROR "))


class Loader:
    """Loads files, some at a time; one that fails ends the others.

    :arg lock: The descriptor of the restore's lock. The clients hold it too, so that no other restore begins while
        one of them lives on.
    :arg advance: Told how many compressed bytes have gone to the server, as they go.
    :arg identity: What decrypts the files, where they are encrypted.
    """

    def __init__(
        self,
        *,
        engine: str,
        socket: str | None,
        lock: int,
        workers: int = 1,
        advance: t.Callable[[int], None] = lambda _count: None,
        identity: Path | None = None,
    ) -> None:
        self._identity = identity
        self._engine = engine
        self._socket = socket
        self._lock = lock
        self._workers = workers
        self._advance = advance
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def anew(self) -> Loader:
        """A loader like this one that was not stopped."""
        return Loader(engine=self._engine, socket=self._socket, lock=self._lock)

    def load_all(self, *, database: str, named: str, paths: t.Sequence[Path]) -> None:
        """Load files that need no order, the largest first.

        :arg named: What people call the database that is loaded.
        """
        with concurrent.futures.ThreadPoolExecutor(max_workers=self._workers) as pool:
            ordered = sorted(paths, key=lambda path: path.stat().st_size, reverse=True)
            futures = [pool.submit(self.load, database=database, named=named, path=path) for path in ordered]
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """End all clients and let no other one start."""
        with self._guard:
            self._stopped = True
            for process in self._running:
                process.kill()

    def load(self, *, database: str, named: str, path: Path) -> None:
        """Pass a file through zstd into the engine's own client.

        The text passes through this process on purpose: when it is killed, the client finds the end of its input
        and goes away by itself.
        """
        with path.open("rb") as source, tempfile.TemporaryFile() as log:
            zstd = verify.start_zstd(source=source, identity=encryption.identity_of(path, self._identity))
            client = self._start(database=database, log=log)
            sink = t.cast("t.IO[bytes]", client.stdin)
            try:
                self._copy(source=source, text=zstd.stdout, sink=sink)
                sink.close()
            except BrokenPipeError:
                zstd.kill()  # the client says below what was wrong
            except BaseException:
                client.kill()
                zstd.kill()
                client.wait()
                raise
            code, zstd_code = client.wait(), zstd.wait()
            with self._guard:
                self._running.discard(client)
            log.seek(0)
            words = client_errors(log.read().decode("utf-8", "replace"))
        if code or zstd_code:
            raise WebstackError(
                f"Loading database `{named}` failed: {words or f'exit codes {code} (client) and {zstd_code} (zstd)'}",
            )

    def _start(self, *, database: str, log: t.IO[bytes]) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._stopped:
                raise WebstackError("Loading was stopped.")
            client = subprocess.Popen(
                load_argv(engine=self._engine, database=database, socket=self._socket),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(self._lock,),
            )
            self._running.add(client)
        return client

    def _copy(self, *, source: t.IO[bytes], text: t.IO[bytes], sink: t.IO[bytes]) -> None:
        """Hand on the text; how far zstd has read its file is seen by the offset, which the two share."""
        seen = 0
        for chunk in iter(lambda: text.read(files.CHUNK), b""):
            sink.write(chunk)
            now = os.lseek(source.fileno(), 0, os.SEEK_CUR)
            self._advance(now - seen)
            seen = now


@dataclasses.dataclass(frozen=True)
class Deferred:
    """Indexes and references of one table that are made after its rows, in the server's own words.

    ``created`` is the table's ``SHOW CREATE TABLE`` with all of them.
    """

    table: str
    removals: tuple[str, ...]
    additions: tuple[str, ...]
    created: str


def plan_deferral(*, table: str, created: str) -> Deferred | None:
    """What of a table can wait: plain indexes, and the foreign keys that may need them.

    Unique ones guard the rows as they come. An index that an AUTO_INCREMENT column needs has to stay, and so has
    one that stands in for the primary key.
    """
    if " PRIMARY KEY " not in created:
        return None
    counter = re.search(r"^\s+(`(?:[^`]|``)+`) .*\bAUTO_INCREMENT\b", created, re.MULTILINE)
    removals, additions = [], []
    for line in created.splitlines():
        key, reference = _KEY.fullmatch(line), _REFERENCE.fullmatch(line)
        if reference:
            removals.append(f"DROP FOREIGN KEY {reference.group(2)}")
            additions.append(f"ADD {reference.group(1)}")
        elif key and not (counter and key.group(2) == counter.group(1)):
            name = re.match(r"KEY (`(?:[^`]|``)+`)", key.group(1))
            removals.append(f"DROP KEY {name.group(1) if name else ''}")
            additions.append(f"ADD {key.group(1)}")
    if not any(word.startswith("ADD KEY") for word in additions):
        return None
    # References go before the indexes they stand on, and come after them.
    return Deferred(
        table=table,
        removals=tuple(sorted(removals)),
        additions=tuple(sorted(additions, key=lambda word: word.startswith("ADD CONSTRAINT"))),
        created=_COUNTER.sub("", created),
    )


def defer_indexes(*, session: Session, database: str, tables: t.Sequence[str]) -> list[Deferred]:
    """Take what can wait off some empty tables."""
    deferred = []
    session.execute("SET SESSION foreign_key_checks = 0")
    for table in tables:
        found = plan_deferral(table=table, created=_created(session=session, database=database, table=table))
        try:
            if found is not None:
                _alter(session=session, database=database, table=table, clauses=found.removals)
                deferred.append(found)
        except WebstackError:
            continue  # another table's reference stands on one of its indexes: it is loaded with all of them
    return deferred


def make_deferred(*, session: Session, database: str, deferred: Deferred) -> None:
    """Make what was left out, and see that the table is exactly what the dump created.

    :raises WebstackError: It is not.
    """
    session.execute("SET SESSION foreign_key_checks = 0")
    _alter(session=session, database=database, table=deferred.table, clauses=deferred.additions)
    created = _created(session=session, database=database, table=deferred.table)
    if sorted(_lines(created)) != sorted(_lines(deferred.created)):
        raise WebstackError(f"Table `{deferred.table}` did not get back all of its indexes.")


def make_all_deferred(
    *,
    sessions: t.Sequence[Session],
    database: str,
    deferred: t.Sequence[Deferred],
    done: t.Callable[[Deferred], None],
) -> None:
    """Make what was left out of some tables, one table at a time on each session."""
    idle: queue.SimpleQueue[Session] = queue.SimpleQueue()
    for session in sessions:
        idle.put(session)

    def work(each: Deferred) -> None:
        session = idle.get()
        try:
            make_deferred(session=session, database=database, deferred=each)
        finally:
            idle.put(session)
        done(each)

    with concurrent.futures.ThreadPoolExecutor(max_workers=len(sessions)) as pool:
        list(pool.map(work, deferred))


def _lines(created: str) -> list[str]:
    """The lines of a table without the commas between them: the order of its indexes tells nothing."""
    return [line.rstrip(",") for line in _COUNTER.sub("", created).splitlines()]


def _created(*, session: Session, database: str, table: str) -> str:
    return str(session.rows(f"SHOW CREATE TABLE {identifier(database)}.{identifier(table)}")[0][1])


def _alter(*, session: Session, database: str, table: str, clauses: t.Sequence[str]) -> None:
    session.execute(f"ALTER TABLE {identifier(database)}.{identifier(table)} {', '.join(clauses)}")


def worth_deferring(*, tables: t.Sequence[Table], sizes: t.Mapping[str, int], least: int) -> list[str]:
    """Names of the tables large enough that two ALTERs cost less than they save.

    :arg sizes: Bytes of each table on its source.
    """
    return [
        table.name
        for table in tables
        if table.engine.lower() == "innodb" and not table.versioned and sizes.get(table.name, 0) >= least
    ]
