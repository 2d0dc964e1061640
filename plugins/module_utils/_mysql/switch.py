# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting proven tables in the place of those that are there: in one statement, and with a way back.

Tables move between databases by one ``RENAME TABLE``, which both engines carry out as a whole or not at all, also
when the server is killed. Triggers, routines, events and views cannot move: they are made anew from files, those of
the dump in the live database, or on the way back those that were there before.

Before the first step all that is needed to finish or to take it back lies on the disk. Whoever comes next after a
kill finds the journal, sees whether the tables have moved, and goes on in the same direction (`resume`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import catalog, describe, dump, encryption, files
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import identifier

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.load import Loader
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session

JOURNAL_FILE = "journal.json"
KEPT_FILE = "kept.json"
_LOCK_WAIT_TIMEOUT = 1205
_LONGEST_NAME = 64
OBJECT_PARTS = (manifests.ROUTINES_PART, manifests.VIEWS_PART)

Entry = t.Dict[str, t.Any]  # noqa: UP006 -- evaluated at run time, Python 3.8 on hosts
Move = t.Tuple[str, str, str]  # noqa: UP006 -- the same


def beside(name: str, suffix: str) -> str:
    """The name of a database that belongs to another one, within the 64 characters of a name."""
    if len(name) + len(suffix) <= _LONGEST_NAME:
        return name + suffix
    short = f"{name[:30]}_{catalog.digest(name)[:8]}"
    return short + suffix


def relations(database: catalog.Database) -> list[str]:
    """What ``RENAME TABLE`` moves: tables and sequences."""
    return [table.name for table in database.tables] + sorted(database.objects["sequences"])


def immovable(objects: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The objects that ``RENAME TABLE`` cannot move, with their digests."""
    return {kind: found for kind, found in objects.items() if kind != "sequences"}


def describe_live(*, session: Session, name: str) -> Entry:
    """The part of a journal's entry that a live database makes: what there is, and what will keep it."""
    if name not in catalog.existing_databases(session=session):
        return {"previous": None, "kept": None, "old": [], "old_objects": {}}
    live = catalog.read_database(session=session, name=name)
    return {
        "previous": {"charset": live.charset, "collation": live.collation},
        "kept": None if live.is_empty else _free_name(session=session, name=name),
        "old": relations(live),
        "old_objects": immovable(live.objects),
    }


def _free_name(*, session: Session, name: str) -> str:
    """The name of a database to be that keeps what is there now."""
    existing = catalog.existing_databases(session=session)
    while True:
        kept = beside(name, f"__before_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        if kept not in existing:
            return kept
        time.sleep(0.1)


def move_statement(moves: t.Sequence[Move]) -> str:
    """One ``RENAME TABLE`` for moves of (from, table, to)."""
    steps = [
        f"{identifier(source)}.{identifier(table)} TO {identifier(target)}.{identifier(table)}"
        for source, table, target in moves
    ]
    return f"RENAME TABLE {', '.join(steps)}"


class Switch:
    """One switch of some databases, described by its journal.

    :arg journal: ``dump_id``, and under ``databases`` for each live name: ``incoming``, ``kept`` (or None),
        ``previous`` (its character set and collation, or None where there was no such database), ``charset`` and
        ``collation`` (the dump's), ``old`` and ``new`` (names that move), ``old_objects`` and ``objects`` (digests of
        what does not move), and ``parts`` (the dump's files of the latter).
    :arg directory: Where the journal and the files of objects lie.
    """

    def __init__(
        self,
        *,
        journal: dict[str, t.Any],
        directory: Path,
        session: Session,
        connect: t.Callable[[], Session],
        loader: Loader,
        lock_timeout: int = 30,
    ) -> None:
        self.journal = journal
        self._directory = directory
        self._session = session
        self._connect = connect
        self._loader = loader
        self._lock_timeout = lock_timeout

    @property
    def _databases(self) -> dict[str, Entry]:
        return self.journal["databases"]

    @property
    def _moves(self) -> list[Move]:
        out = [(name, table, entry["kept"]) for name, entry in self._databases.items() for table in entry["old"]]
        into = [(entry["incoming"], table, name) for name, entry in self._databases.items() for table in entry["new"]]
        return out + into

    def adopt(self, *, session: Session, loader: Loader) -> None:
        """Go on with another connection, since the first may be gone."""
        self._session, self._loader = session, loader

    def prepare(self, *, socket: str | None, set_path: Path, identity: Path | None = None) -> None:
        """Lay down the journal and the objects of both sides, durably.

        :arg identity: What decrypts the set. Whoever finishes a switch that was cut off has none: what an encrypted set
            says of triggers, routines and views lies here as the server itself has it, until the switch is done.
        """
        # What an earlier switch has left would be taken for this one's.
        if self._directory.exists():
            shutil.rmtree(self._directory)
        files.ensure_private_directory(self._directory)
        for name, entry in self._databases.items():
            for part in entry["parts"]:
                copied = self._object_file("new", name, part["part"])
                encryption.copy_decrypted(set_path / part["file"], copied, identity=identity)
            if entry["previous"] is not None:
                self._write_objects(name=name, socket=socket)
        for path in self._directory.iterdir():
            files.sync_file(path)
        files.write_json(path=self._directory / JOURNAL_FILE, value=self.journal)

    def _write_objects(self, *, name: str, socket: str | None) -> None:
        """Write what cannot move out of the live database."""
        engine = self._session.server.engine
        database = catalog.read_database(session=self._session, name=name)
        for part in dump.split_database(database=database, engine=engine, workers=1):
            if part.name in OBJECT_PARTS:
                argv = dump.dump_argv(engine=engine, database=name, socket=socket, part=part)
                dump.Stream(argv=argv, path=self._object_file("old", name, part.name), level=3).finish(database=name)

    def _object_file(self, side: str, name: str, part: str) -> Path:
        return self._directory / f"{side}.{manifests.part_file(name, part)}"

    @property
    def has_moved(self) -> bool:
        """Whether the tables are where the switch brings them; all of them are, or none."""
        if not self._moves:
            return True
        source, table, target = self._moves[0]
        # Nobody else writes to the database that keeps what was there, nor to the one beside it.
        return not self._has(source, table) if target in self._databases else self._has(target, table)

    def _has(self, database: str, table: str) -> bool:
        return bool(
            self._session.rows(
                "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
                (database, table),
            )
        )

    def move(self) -> None:
        """Move all tables, old ones out and new ones in, at one moment."""
        self._session.execute(f"SET SESSION lock_wait_timeout = {self._lock_timeout}")
        self._session.execute("SET SESSION foreign_key_checks = 1")  # references follow their tables then
        try:
            self._move_all()
        except WebstackError as error:
            if error.data.get("code") != _LOCK_WAIT_TIMEOUT:
                raise
            raise WebstackError(
                f"The tables were in use for {self._lock_timeout} s without a pause, by: {self._users()}. Stop what "
                "uses them (the application, a long query), and run the same restore again.",
            ) from error

    def _move_all(self) -> None:
        for name, entry in self._databases.items():
            self._ensure_database(name, charset=entry["charset"], collation=entry["collation"])
            if entry["kept"] is not None:
                self._ensure_database(entry["kept"], **entry["previous"])
        triggers = self._triggers()
        if triggers:
            self._move_without(triggers)
            return
        self._drop_events()
        if self._moves:
            self._session.execute(move_statement(self._moves))

    def _drop_events(self) -> None:
        for name in self._databases:
            for event in self._names(name, "events"):
                self._session.execute(f"DROP EVENT {identifier(name)}.{identifier(event)}")

    def _move_without(self, triggers: dict[str, list[tuple[str, str]]]) -> None:
        """Move tables whose triggers have to go before.

        No write may see a table without its triggers. So the tables are locked, the triggers dropped, the move is
        lined up behind the lock, and only then the lock is let go: who waits for an exclusive lock is served first.
        """
        gate = self._connect()
        try:
            gate.execute(f"SET SESSION lock_wait_timeout = {self._lock_timeout}")
            gate.execute("SET SESSION sql_log_bin = 0")
            tables = sorted({(name, table) for name, each in triggers.items() for _trigger, table in each})
            locks = [f"{identifier(name)}.{identifier(table)} WRITE" for name, table in tables]
            gate.execute(f"LOCK TABLES {', '.join(locks)}")
            # Not before: where the tables stay in use, nothing was taken off then, and nothing waits to be put back.
            self._drop_events()
            for name, each in triggers.items():
                for trigger, _table in each:
                    gate.execute(f"DROP TRIGGER {identifier(name)}.{identifier(trigger)}")
            mover = _Statement(session=self._session, statement=move_statement(self._moves))
            mover.start()
            while mover.is_alive() and not self._is_waiting(gate):
                time.sleep(0.01)
        finally:
            gate.close()  # lets go of the lock
        mover.finish()

    def _is_waiting(self, gate: Session) -> bool:
        """Whether the move waits for the lock (its connection is the only one that renames)."""
        return bool(
            gate.rows(
                "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for % metadata lock'"
                " AND INFO LIKE 'RENAME TABLE %'",
            )
        )

    def _triggers(self) -> dict[str, list[tuple[str, str]]]:
        """Triggers of the live databases, each with its table."""
        found: dict[str, list[tuple[str, str]]] = {}
        for name in self._databases:
            rows = self._session.rows(
                "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
                (name,),
            )
            if rows:
                found[name] = [(str(trigger), str(table)) for trigger, table in rows]
        return found

    def _users(self) -> str:
        """Who uses the live databases, without a word about what they do with them."""
        marks = ", ".join(["%s"] * len(self._databases))
        rows = self._session.rows(
            f"SELECT ID, USER, HOST, TIME FROM information_schema.PROCESSLIST WHERE DB IN ({marks})",
            tuple(self._databases),
        )
        users = [f"{user}@{host} (connection {number}, for {seconds} s)" for number, user, host, seconds in rows]
        return ", ".join(users[:5]) or "a connection that has no database chosen; see SHOW FULL PROCESSLIST"

    def _ensure_database(self, name: str, *, charset: str, collation: str) -> None:
        found = catalog.existing_databases(session=self._session).get(name)
        # MySQL waits for all that read a table of the database, also to change it to what it is.
        if found != (charset, collation):
            self._session.execute(
                f"{'ALTER' if found else 'CREATE'} DATABASE {identifier(name)}"
                f" CHARACTER SET {identifier(charset)} COLLATE {identifier(collation)}",
            )

    def complete(self) -> None:
        """Make what does not move in the live databases, from the dump, and see that all of it is there."""
        for name, entry in self._databases.items():
            self._make_objects(name=name, side="new")
            database = catalog.read_database(session=self._session, name=name)
            found = describe.object_differences(
                expected=entry["objects"],
                actual=immovable(database.objects),
                compare_views=False,
            )
            if found:
                raise WebstackError(
                    f"What was made in `{name}` is not what the dump's manifest says: {'; '.join(found[:10])}.",
                    differences=found,
                )
        for entry in self._databases.values():
            drop_if_empty(session=self._session, name=entry["incoming"])

    def _make_objects(self, *, name: str, side: str) -> None:
        """Replace triggers, routines, events and views of a live database by those of one side."""
        self._drop_objects(name)
        for part in OBJECT_PARTS:
            path = self._object_file(side, name, part)
            if path.exists():
                self._loader.load(database=name, named=name, path=path)

    def _drop_objects(self, name: str) -> None:
        for trigger in self._names(name, "triggers"):
            self._session.execute(f"DROP TRIGGER {identifier(name)}.{identifier(trigger)}")
        for event in self._names(name, "events"):
            self._session.execute(f"DROP EVENT {identifier(name)}.{identifier(event)}")
        for view in self._names(name, "views"):
            self._session.execute(f"DROP VIEW {identifier(name)}.{identifier(view)}")
        for routine in self._names(name, "routines"):
            kind, _space, plain = routine.partition(" ")
            if kind in ("function", "procedure", "package"):  # a package takes its body along
                self._session.execute(f"DROP {kind.upper()} {identifier(name)}.{identifier(plain)}")

    def _names(self, name: str, kind: str) -> list[str]:
        if name not in catalog.existing_databases(session=self._session):
            return []
        return sorted(catalog.read_database(session=self._session, name=name).objects[kind])

    def end_orphan(self) -> None:
        """End a move of ours that still waits at the server although the process that asked for it is gone.

        Only to be called under the restore's lock, where no living process can be the one.
        """
        kept = [str(entry["kept"] or entry["incoming"]) for entry in self._databases.values()]
        while True:
            rows = self._session.rows(
                "SELECT ID, INFO FROM information_schema.PROCESSLIST WHERE INFO LIKE 'RENAME TABLE %'",
            )
            orphans = [number for number, text in rows if any(identifier(name) in str(text) for name in kept)]
            if not orphans:
                return
            for number in orphans:
                with contextlib.suppress(WebstackError):  # it may have ended just now
                    self._session.execute(f"KILL {int(number)}")
            time.sleep(0.1)

    def take_back(self) -> None:
        """Bring everything back to where it was, whatever has been done so far, and end the switch."""
        self.end_orphan()
        if read_journal(directory=self._directory) is not None:
            if self.has_moved and self._moves:
                self._move_back()
            for name, entry in self._databases.items():
                self._restore_old(name=name, entry=entry)
        self.discard()

    def _move_back(self) -> None:
        for name in self._databases:
            self._drop_objects(name)
        back = [(target, table, source) for source, table, target in reversed(self._moves)]
        self._session.execute("SET SESSION foreign_key_checks = 1")
        self._session.execute(move_statement(back))

    def _restore_old(self, *, name: str, entry: Entry) -> None:
        """Give a database, whose tables are its own again, what else it had; or drop it if there was none."""
        if entry["previous"] is None:
            drop_if_empty(session=self._session, name=name)
            return
        self._ensure_database(name, **entry["previous"])
        objects = catalog.read_database(session=self._session, name=name).objects
        if immovable(objects) != entry["old_objects"]:
            self._make_objects(name=name, side="old")
        if entry["kept"] is not None:
            drop_if_empty(session=self._session, name=entry["kept"])

    def forget(self, *, kept_directory: Path) -> dict[str, dict[str, str]]:
        """End the switch: leave a description of what was kept, and remove the journal.

        :returns: For each database with something kept, its ``database`` and the ``path`` of its description.
        """
        kept = {}
        for name, entry in self._databases.items():
            if entry["kept"] is None:
                continue
            path = kept_directory / entry["kept"]
            files.ensure_private_directory(path)
            for part in OBJECT_PARTS:
                source = self._object_file("old", name, part)
                if source.exists():
                    shutil.copyfile(source, path / manifests.part_file(name, part))
                    files.sync_file(path / manifests.part_file(name, part))
            description = {
                "database": name,
                "kept": entry["kept"],
                "tables": entry["old"],
                "objects": entry["old_objects"],
                **entry["previous"],
                "replaced_by": self.journal["dump_id"],
                "replaced_at": dump.utc_now(),
            }
            files.write_json(path=path / KEPT_FILE, value=description)
            kept[name] = {"database": entry["kept"], "path": str(path)}
        self.discard()
        return kept

    def discard(self) -> None:
        """Remove the journal: from here on there is no switch."""
        (self._directory / JOURNAL_FILE).unlink(missing_ok=True)
        shutil.rmtree(self._directory, ignore_errors=True)


class _Statement(threading.Thread):
    """One statement on a connection of its own thread."""

    def __init__(self, *, session: Session, statement: str) -> None:
        super().__init__(daemon=True)
        self._session = session
        self._statement = statement
        self._problem: WebstackError | None = None

    def run(self) -> None:
        """Run it."""
        try:
            self._session.execute(self._statement)
        except WebstackError as error:
            self._problem = error

    def finish(self) -> None:
        """Wait for it, and raise what it raised."""
        self.join()
        if self._problem is not None:
            raise self._problem


def drop_if_empty(*, session: Session, name: str) -> None:
    """Drop a database that holds no table any more; one that does is left, and named.

    :raises WebstackError: It holds something.
    """
    if name not in catalog.existing_databases(session=session):
        return
    if not catalog.read_database(session=session, name=name).is_empty:
        raise WebstackError(f"Database `{name}` was to be empty by now, but holds something; it was left as it is.")
    session.execute(f"DROP DATABASE {identifier(name)}")


def read_journal(*, directory: Path) -> dict[str, t.Any] | None:
    """The journal of a switch that was cut off, or nothing.

    :raises WebstackError: It is there and cannot be read.
    """
    path = directory / JOURNAL_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WebstackError(f"The journal of an interrupted switch, {path}, cannot be read: {error}.") from error
