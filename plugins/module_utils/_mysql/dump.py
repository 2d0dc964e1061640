# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumping databases: one snapshot for all clients and for the checksums, streamed into compressed files."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
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
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session, identifier, own_account

_LOCK_WAIT_TIMEOUT = 1205
# The last line of the header that the dump clients write before they open their transaction (the second is of 11.8).
_HEADER_END = re.compile(rb"(?:SQL_NOTES|NOTE_VERBOSITY)=0 \*/;\s*")
_LONGEST_HEADER = 16 * 1024
_MARGIN = 64 * 1024 * 1024
# Tables below this size, in bytes, are not worth a client of their own.
_SMALL = 16 * 1024 * 1024
# F_SETPIPE_SZ of Linux, which Python names since 3.10, the smallest pipe, and how much of a log is read at once.
_SET_PIPE_SIZE = 1031
_PIPE_SIZE = 4096
_LOG_PIECE = 512


@dataclasses.dataclass(frozen=True)
class DumpOptions:
    """What the caller wants.

    ``lock_timeout`` is in seconds, ``level`` is zstd's; ``origin`` is one of the manifest's. What is dumped is
    encrypted to the ``recipients``, if any.
    """

    databases: tuple[str, ...]
    directory: Path
    host: str
    lock_timeout: int = 10
    level: int = 3
    socket: str | None = None
    origin: str = manifests.REQUEST
    recipients: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """What the names of the files have at their end."""
        return encryption.SUFFIX if self.recipients else ""


def utc_now() -> str:
    """Now, as ISO 8601 in UTC with milliseconds."""
    now = datetime.datetime.now(tz=datetime.timezone.utc)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a database that one dump client writes into one file.

    ``name`` is one of the manifest's parts, ``label`` tells several of the same part from each other; no ``tables``
    means all of them.
    """

    name: str
    label: str
    options: tuple[str, ...]
    tables: tuple[str, ...] = ()


def split_database(*, database: catalog.Database, engine: str, workers: int) -> list[Part]:
    """Split a database into parts, in the order in which they are loaded.

    Views are a part of their own, after the functions that they may call.
    """
    views = tuple(sorted(database.objects["views"]))
    no_views = tuple(f"--ignore-table={database.name}.{view}" for view in views)
    versioned = engine == "mariadb" and any(table.versioned for table in database.tables)
    history = ("--dump-history",) if versioned else ()
    data_options = ("--no-create-info", "--skip-triggers", "--no-autocommit", *history)
    shares = share_tables(tables=database.tables, workers=workers)
    parts = [
        Part(manifests.SCHEMA_PART, "schema", ("--no-data", "--skip-triggers", *no_views)),
        *(
            Part(manifests.DATA_PART, f"data-{number:02}", data_options, tuple(tables))
            for number, tables in enumerate(shares, 1)
        ),
        Part(
            manifests.ROUTINES_PART,
            "routines",
            ("--no-data", "--no-create-info", "--routines", "--events", "--triggers", *no_views),
        ),
    ]
    return parts + ([Part(manifests.VIEWS_PART, "views", ("--no-data", "--skip-triggers"), views)] if views else [])


def share_tables(*, tables: t.Sequence[catalog.Table], workers: int) -> list[list[str]]:
    """Share tables among clients so that each has about as many bytes, and a small database has one alone."""
    count = max(1, min(workers, sum(table.size for table in tables) // _SMALL))
    shares: list[list[str]] = [[] for _share in range(count)]
    sizes = [0] * count
    for table in sorted(tables, key=lambda table: (-table.size, table.name)):
        least = sizes.index(min(sizes))
        shares[least].append(table.name)
        sizes[least] += table.size
    return [names for names in shares if names]


def dump_argv(*, engine: str, database: str, socket: str | None, part: Part) -> list[str]:
    """The engine's own dump client for one part of a database, without a word about other schemas."""
    client = "mariadb-dump" if engine == "mariadb" else "mysqldump"
    program = shutil.which(client) or shutil.which("mysqldump")
    if program is None:
        raise WebstackError(
            f"The dump client `{client}` is not installed on this host. Install it with: "
            f"apt-get install {'mariadb-client' if engine == 'mariadb' else 'mysql-client'}",
        )
    argv = [
        program,
        "--no-defaults",
        f"--user={own_account()}",
        "--single-transaction",
        "--quick",
        "--skip-lock-tables",
        "--hex-blob",
        "--default-character-set=utf8mb4",
        "--skip-dump-date",
        "--max-allowed-packet=1G",
    ]
    argv += [f"--socket={socket}"] if socket else []
    argv += ["--set-gtid-purged=OFF", "--no-tablespaces"] if engine == "mysql" else []
    return [*argv, *part.options, "--", database, *part.tables]


def refuse_unknown(*, session: Session, databases: t.Sequence[str]) -> None:
    """Refuse names that are no database of this server, all at once."""
    existing = catalog.existing_databases(session=session)
    unknown = [name for name in databases if name not in existing]
    system = [name for name in databases if name in catalog.SYSTEM_DATABASES]
    if unknown:
        known = ", ".join(sorted(set(existing) - catalog.SYSTEM_DATABASES)) or "none"
        raise WebstackError(
            f"No such database on this server: {', '.join(unknown)}. Nothing was dumped. It has: {known}.",
        )
    if system:
        raise WebstackError(
            f"The server's own databases are not dumped: {', '.join(system)}. "
            "Accounts and settings belong to the role `mysql`.",
        )


def refuse_full_disk(*, session: Session, options: DumpOptions) -> None:
    """Refuse to start a dump that might fill the disk: the compressed text is smaller than the tables."""
    marks = ", ".join(["%s"] * len(options.databases))
    size = session.rows(
        "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES"
        f" WHERE TABLE_SCHEMA IN ({marks})",
        options.databases,
    )[0][0]
    needed, free = int(size) + _MARGIN, files.free_bytes(options.directory)
    if free < needed:
        raise WebstackError(
            f"{options.directory} has {files.human_size(free)} left, and the dump may need {files.human_size(needed)}. "
            f"Nothing was dumped. Free some space, or dump elsewhere. Look with: df -h {options.directory}",
        )


class Stream:
    """One database on its way: client → zstd (→ age) → file, with the SHA-256 taken as the bytes pass.

    :arg text: Whether the client writes SQL, whose header `wait_for_snapshot` waits for.
    :arg pause_at: Where the client logs this word, it is stopped until `resume`; see `wait_for_pause`.
    """

    def __init__(
        self,
        *,
        argv: list[str],
        path: Path,
        level: int,
        recipients: t.Sequence[str] = (),
        text: bool = True,
        pause_at: bytes = b"",
    ) -> None:
        self.path = path
        self.size = 0
        self._hash = hashlib.sha256()
        self._started = threading.Event()
        self._paused, self._resumed = threading.Event(), threading.Event()
        self._problems: list[str] = []
        self._log = path.with_suffix(".log").open("w+b")
        self._packers: list[subprocess.Popen[bytes]] = []
        self._client = self._start(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE if pause_at else self._log)
        try:
            self._pack(["zstd", "-q", "-c", f"-{level}"], source=None if text else self._client)
            if recipients:
                self._pack(encryption.encrypt_argv(recipients), source=self._packers[-1])
        except WebstackError:
            self.kill()
            raise
        self._threads = [threading.Thread(target=self._drain)]
        if text:
            self._threads.append(threading.Thread(target=self._feed))
        if pause_at:
            # A client that has more to say than this waits until it was read: it is never far ahead of what is known.
            fcntl.fcntl(self._said(), _SET_PIPE_SIZE, _PIPE_SIZE)
            self._threads.append(threading.Thread(target=self._follow, args=(pause_at,)))
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def _pack(self, argv: list[str], *, source: subprocess.Popen[bytes] | None) -> None:
        """Start the next program that the dump goes through; without a source, `_feed` gives it what it reads."""
        stdin = source.stdout if source else subprocess.PIPE
        self._packers.append(self._start(argv, stdin=stdin, stderr=self._log))
        if source and source.stdout:
            source.stdout.close()  # the next one's alone: so its end is noticed

    def _start(self, argv: list[str], *, stdin: t.Any, stderr: t.Any) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=_environment())
        except OSError as error:
            raise WebstackError(
                f"{argv[0]} cannot be run: {error}. Install it with: apt-get install {argv[0]}"
            ) from error

    def _feed(self) -> None:
        """Pass the client's text on, and notice when its transaction is open: it writes more than its header."""
        source, sink = t.cast("t.IO[bytes]", self._client.stdout), t.cast("t.IO[bytes]", self._packers[0].stdin)
        head = b""
        try:
            while True:
                chunk = os.read(source.fileno(), files.CHUNK)
                if not self._started.is_set():
                    head += chunk
                    match = _HEADER_END.search(head)
                    if not chunk or (match and match.end() < len(head)) or len(head) > _LONGEST_HEADER:
                        self._started.set()
                if not chunk:
                    break
                sink.write(chunk)
            sink.close()
        except OSError as error:
            self._problems.append(f"passing the dump to zstd: {error}")
            self._client.kill()
        finally:
            self._started.set()

    def _drain(self) -> None:
        source = t.cast("t.IO[bytes]", self._packers[-1].stdout)
        try:
            with self.path.open("wb") as sink:
                for chunk in iter(lambda: os.read(source.fileno(), files.CHUNK), b""):
                    sink.write(chunk)
                    self._hash.update(chunk)
                    self.size += len(chunk)
                sink.flush()
                os.fsync(sink.fileno())
        except OSError as error:
            self._problems.append(f"writing {self.path}: {error}")
            self.kill()

    def wait_for_snapshot(self, *, timeout: float) -> None:
        """Wait until the client reads in its own snapshot (or has ended)."""
        if not self._started.wait(timeout):
            raise WebstackError(f"The dump client wrote nothing within {timeout:.0f} s; nothing was dumped.")

    def _said(self) -> int:
        """Where what the client logs is read from."""
        return t.cast("t.IO[bytes]", self._client.stderr).fileno()

    def _follow(self, word: bytes) -> None:
        """Write down what the client logs, and read no further than a word of it until the client may go on."""
        logged = b""
        for piece in iter(lambda: os.read(self._said(), _LOG_PIECE), b""):
            self._log.write(piece)
            if not self._paused.is_set():
                logged = logged[-len(word) :] + piece
                if word in logged:
                    self._paused.set()
                    self._resumed.wait()

    def wait_for_pause(self, *, before: bytes) -> bool:
        """Wait until the client stands still where it logs the word to pause at.

        :returns: Whether it does, and not only later, where it has logged ``before``, or is at its end.
        """
        while not self._paused.wait(0.05):
            if not self._threads[-1].is_alive():
                return False
        self._client.send_signal(signal.SIGSTOP)
        while _process_state(self._client.pid) not in "TZ":
            time.sleep(0.001)
        os.set_blocking(self._said(), False)
        with contextlib.suppress(BlockingIOError):
            while ahead := os.read(self._said(), _LOG_PIECE):
                self._log.write(ahead)
        os.set_blocking(self._said(), True)
        return self._client.poll() is None and before not in self._logged()

    def abandon(self) -> None:
        """Forget what a killed client has written."""
        for thread in self._threads:
            thread.join()
        self._log.close()

    def resume(self) -> None:
        """Let a client that was stopped go on."""
        if self._client.poll() is None:
            self._client.send_signal(signal.SIGCONT)
        self._resumed.set()

    def _logged(self) -> bytes:
        self._log.flush()
        return self.path.with_suffix(".log").read_bytes()

    def finish(self, *, database: str) -> dict[str, t.Any]:
        """Wait for the end; all programs must have succeeded.

        :returns: The manifest's ``file``, ``size`` and ``sha256``.
        """
        for thread in self._threads:
            thread.join()
        codes = {"the dump client": self._client.wait()}
        codes.update((str(t.cast("list[str]", process.args)[0]), process.wait()) for process in self._packers)
        self._log.seek(0)
        words = self._log.read().decode("utf-8", "replace").strip()
        self._log.close()
        problems = self._problems + [f"{name} ended with exit code {code}" for name, code in codes.items() if code]
        if problems:
            raise WebstackError(
                f"Dumping database `{database}` failed: {'; '.join(problems)}. {words}".strip()
                + " The unfinished set was removed.",
            )
        self.path.with_suffix(".log").unlink()
        return {"file": self.path.name, "size": self.size, "sha256": self._hash.hexdigest()}

    def kill(self) -> None:
        """End all programs at once."""
        self._resumed.set()
        for process in (self._client, *self._packers):
            if process.poll() is None:
                process.kill()


def _process_state(pid: int) -> str:
    """The state letter of a process: ``T`` where it is stopped, ``Z`` where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}


def binlog_status(*, session: Session) -> tuple[t.Any, ...]:
    """File, position, and the databases that are in the binary log alone or are left out; empty where there is none."""
    modern = session.server.engine == "mysql" and session.server.series >= (8, 2)
    rows = session.rows("SHOW BINARY LOG STATUS" if modern else "SHOW MASTER STATUS")
    return rows[0] if rows else ()


def binlog_position(*, session: Session) -> dict[str, str | int] | None:
    """Where the binary log stands, or nothing where the server keeps none."""
    status = binlog_status(session=session)
    if not status:
        return None
    mariadb = session.server.engine == "mariadb"
    gtid = session.rows("SELECT @@GLOBAL.gtid_binlog_pos")[0][0] if mariadb else status[4]
    return {"file": str(status[0]), "position": int(status[1]), "gtid": str(gtid or "").replace("\n", "")}


def hold_writers(*, session: Session, timeout: int) -> None:
    """Stop all writes of the server for a moment (``FLUSH TABLES WITH READ LOCK``), or give up in time."""
    session.execute(f"SET SESSION lock_wait_timeout = {int(timeout)}")
    try:
        session.execute("FLUSH TABLES WITH READ LOCK")
    except WebstackError as error:
        if error.data.get("code") != _LOCK_WAIT_TIMEOUT:
            raise
        raise WebstackError(
            f"The server could not stop its writes within {timeout} s: a long statement or an open LOCK TABLES is in "
            "the way. Nothing was dumped. Look who it is with: SHOW FULL PROCESSLIST; wait, or raise lock_timeout.",
        ) from error


class Dump:
    """One dump of some databases, from the lock to the committed set."""

    method = manifests.LOGICAL

    def __init__(
        self,
        *,
        options: DumpOptions,
        connect: t.Callable[[], Session],
        readers: int = 2,
        workers: int = 2,
    ) -> None:
        self._options = options
        self._connect = connect
        self._locker = connect()
        self._readers = [connect() for _reader in range(readers)]
        self._workers = workers
        self._streams: list[Stream] = []
        self._started_at = utc_now()

    def run(self, *, identity: str) -> dict[str, t.Any]:
        """Dump into ``<identity>.partial`` and rename it once it is whole.

        :returns: The module's result: id, path, manifest, files, size, seconds and how long writers were held.
        """
        begun = time.monotonic()
        partial = self._options.directory / f"{identity}{manifests.PARTIAL_SUFFIX}"
        partial.mkdir(mode=0o700)
        try:
            manifest, held = self._dump_into(partial=partial, identity=identity)
        except BaseException:
            for stream in self._streams:
                stream.kill()
            shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            for session in (self._locker, *self._readers):
                session.close()
        files.hand_over(partial, like=partial.parent)
        final = partial.with_name(identity)
        partial.rename(final)
        files.sync_directory(final.parent)
        return {
            "id": identity,
            "path": str(final),
            "manifest": manifest,
            "files": manifests.files_of(manifest),
            "size": sum((final / name).stat().st_size for name in manifests.files_of(manifest)),
            "seconds": round(time.monotonic() - begun, 3),
            "lock_seconds": round(held, 3),
        }

    def _dump_into(self, *, partial: Path, identity: str) -> tuple[manifests.Manifest, float]:
        server = self._locker.server
        databases = self._read_databases()
        parts = {
            database.name: split_database(database=database, engine=server.engine, workers=self._workers)
            for database in databases
        }
        data, rest = _of_part(parts, data=True), _of_part(parts, data=False)
        streams, binlog, snapshot_at, held = self._take_snapshot(partial=partial, parts=data, databases=databases)
        streams.update(self._start(partial=partial, parts=rest))
        sums = checksum.sum_databases(sessions=self._readers, databases=databases)
        described = {}
        for database in databases:
            described[database.name] = {
                **describe.describe_database(database=database, sums=sums[database.name]),
                "files": [
                    {"part": part.name, **streams[database.name, part.label].finish(database=database.name)}
                    for part in parts[database.name]
                ],
            }
        refuse_changed_schema(before=databases, after=self._read_databases())
        if held is None:  # tables outside of InnoDB: the lock is their snapshot
            held = self._release()
        moment = {"snapshot_at": snapshot_at, "binlog": binlog, "lock_seconds": round(held, 3)}
        return self._write_manifest(partial=partial, identity=identity, moment=moment, databases=described), held

    def _write_manifest(
        self,
        *,
        partial: Path,
        identity: str,
        moment: dict[str, t.Any],
        databases: dict[str, t.Any],
        **more: t.Any,
    ) -> manifests.Manifest:
        server, recipients = self._locker.server, self._options.recipients
        manifest = {
            "schema": manifests.SCHEMA,
            "id": identity,
            "host": self._options.host,
            "engine": server.engine,
            "version": server.version,
            "sql_mode": str(self._locker.rows("SELECT @@GLOBAL.sql_mode")[0][0]),
            "method": self.method,
            "origin": self._options.origin,
            "encryption": {"program": "age", "recipients": list(recipients)} if recipients else None,
            "started_at": self._started_at,
            **moment,
            "finished_at": utc_now(),
            "databases": databases,
            **more,
        }
        files.write_json(path=partial / manifests.MANIFEST_FILE, value=manifest)
        return manifest

    def _read_databases(self) -> list[catalog.Database]:
        return [catalog.read_database(session=self._locker, name=name) for name in self._options.databases]

    def _start(
        self,
        *,
        partial: Path,
        parts: t.Sequence[tuple[str, Part]],
    ) -> dict[tuple[str, str], Stream]:
        """Start a dump client for each part; the streams are found under the database and the part's label."""
        options, started = self._options, {}
        for database, part in parts:
            stream = Stream(
                argv=dump_argv(engine=self._locker.server.engine, database=database, socket=options.socket, part=part),
                path=partial / f"{manifests.part_file(database, part.label)}{options.suffix}",
                level=options.level,
                recipients=options.recipients,
            )
            self._streams.append(stream)
            started[database, part.label] = stream
        return started

    def _take_snapshot(
        self,
        *,
        partial: Path,
        parts: t.Sequence[tuple[str, Part]],
        databases: t.Sequence[catalog.Database],
    ) -> tuple[dict[tuple[str, str], Stream], dict[str, str | int] | None, str, float | None]:
        """Let clients and readers see one and the same moment, holding writers no longer than that takes."""
        hold_writers(session=self._locker, timeout=self._options.lock_timeout)
        self._held_since = time.monotonic()
        streams = self._start(partial=partial, parts=parts)
        for reader in self._readers:
            reader.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        binlog = binlog_position(session=self._locker)
        snapshot_at = utc_now()
        for stream in streams.values():
            stream.wait_for_snapshot(timeout=60)
        held = self._release() if not foreign_tables(databases=databases) else None
        return streams, binlog, snapshot_at, held

    def _release(self) -> float:
        self._locker.execute("UNLOCK TABLES")
        return time.monotonic() - self._held_since


def _of_part(parts: dict[str, list[Part]], *, data: bool) -> list[tuple[str, Part]]:
    """The parts that need the snapshot (the data), or the others, each with its database."""
    return [(name, part) for name, each in parts.items() for part in each if (part.name == manifests.DATA_PART) == data]


def refuse_changed_schema(*, before: t.Sequence[catalog.Database], after: t.Sequence[catalog.Database]) -> None:
    """Refuse a dump beside which tables or other objects were changed: a transaction does not keep those still."""
    changed = []
    for old, new in zip(before, after):
        tables = {table.name: table.structure for table in old.tables}
        now = {table.name: table.structure for table in new.tables}
        changed += [f"{old.name}.{name}" for name in sorted({item[0] for item in tables.items() ^ now.items()})]
        for kind, objects in old.objects.items():
            found = {item[0] for item in objects.items() ^ new.objects[kind].items()}
            changed += [f"{kind[:-1]} {old.name}.{name}" for name in sorted(found)]
    if changed:
        raise WebstackError(
            f"While the dump ran, its schema was changed: {', '.join(changed[:5])}. A dump of one moment cannot have "
            "that, so the unfinished set was removed. Take the dump again once the migration is through.",
        )


def foreign_tables(*, databases: t.Sequence[catalog.Database]) -> list[str]:
    """Tables that a transaction's snapshot does not cover: every engine but InnoDB."""
    return [
        f"{identifier(database.name)}.{identifier(table.name)}"
        for database in databases
        for table in database.tables
        if table.engine.lower() != "innodb"
    ]


def remove_remains(*, directory: Path) -> list[str]:
    """Remove the unfinished sets of dead runs; only to be called under the directory's lock."""
    removed = []
    for path in sorted(directory.glob(f"*{manifests.PARTIAL_SUFFIX}")):
        shutil.rmtree(path)
        removed.append(path.name)
    return removed


def new_identity(*, directory: Path, host: str) -> str:
    """``<YYYYmmddTHHMMSSZ>-<host>``, waiting for the next second where that one is taken."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", host) or "host"
    while True:
        stamp = datetime.datetime.now(tz=datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        if not (directory / f"{stamp}-{safe}").exists():
            return f"{stamp}-{safe}"
        time.sleep(0.1)
