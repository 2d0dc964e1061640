# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of a server's files: many times faster than text, but only for the same engine and release series.

MariaDB's come from mariadb-backup, MySQL's from its CLONE plugin. Both copy while the server is written to; what
they show is the moment at which they end. So writers are held there, for as long as the end takes, and the
checksums are taken from a snapshot of that very moment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    catalog,
    checksum,
    clone,
    describe,
    dump,
    files,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session

# Where it logs the first of these, mariadb-backup has copied all that it can bring to a later moment by logs that it
# follows: InnoDB's tables, and Aria's of the server itself. Where it logs the second one, it follows them no further.
# Writers have to be held between the two.
_TABLES_COPIED = b"Finished BACKUP STAGE START"
_LOG_ENDS = b"Starting BACKUP STAGE BLOCK_COMMIT"


@dataclasses.dataclass(frozen=True)
class Copied:
    """A copy of the server's files.

    :arg moment: What the manifest says of the moment that it shows.
    :arg held: For how many seconds writers were held there.
    :arg entry: The manifest's ``file``, ``size`` and ``sha256``.
    """

    moment: dict[str, t.Any]
    held: float
    entry: dict[str, t.Any]


class PhysicalDump(dump.Dump):
    """One copy of all of a server, described like a dump of all of its databases."""

    method = manifests.PHYSICAL

    def _dump_into(self, *, partial: Path, identity: str) -> tuple[manifests.Manifest, float]:
        databases = self._read_databases()
        if self._locker.server.engine == "mariadb":
            copied = self._copy_mariadb(partial=partial, databases=databases)
        else:
            clone.refuse_others(tables=dump.foreign_tables(databases=databases))
            copied = self._copy_mysql(partial=partial)
        sums = checksum.sum_databases(sessions=self._readers, databases=databases)
        dump.refuse_changed_schema(before=databases, after=self._read_databases())
        described = {
            database.name: {**describe.describe_database(database=database, sums=sums[database.name]), "files": []}
            for database in databases
        }
        manifest = self._write_manifest(
            partial=partial,
            identity=identity,
            moment={**copied.moment, "lock_seconds": round(copied.held, 3)},
            databases=described,
            server={**copied.entry, "bytes": sum(each["bytes"] for each in described.values())},
        )
        return manifest, copied.held

    def _hold(self) -> dict[str, t.Any]:
        """Hold writers, and let the readers see that moment, which is the copy's too.

        :returns: What the manifest says of it.
        """
        dump.hold_writers(session=self._locker, timeout=self._options.lock_timeout)
        self._held_since = time.monotonic()
        for reader in self._readers:
            reader.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        return {"snapshot_at": dump.utc_now(), "binlog": dump.binlog_position(session=self._locker)}

    def _copy_mariadb(
        self,
        *,
        partial: Path,
        databases: t.Sequence[catalog.Database],
    ) -> Copied:
        """Copy with mariadb-backup, whose own locks are left out: those here last as long, and the readers need them.

        Of tables outside of InnoDB no log is followed, so with them writers are held all along.
        """
        late = not dump.foreign_tables(databases=databases)
        moment = {} if late else self._hold()
        stream = self._start_mariadb_backup(partial=partial, pause_at=_TABLES_COPIED if late else b"")
        if late:
            in_time = stream.wait_for_pause(before=_LOG_ENDS)
            moment = self._hold()
            if not in_time:  # a mariadb-backup with other words for it
                stream.kill()
                stream.abandon()
                stream = self._start_mariadb_backup(partial=partial)
        stream.resume()
        entry = stream.finish(database="all of the server")
        held = self._release()
        shutil.rmtree(partial / "meta")
        return Copied(moment=moment, held=held, entry=entry)

    def _start_mariadb_backup(self, *, partial: Path, pause_at: bytes = b"") -> dump.Stream:
        if shutil.which("mariadb-backup") is None:
            raise WebstackError(
                "mariadb-backup is not installed on this host. Install it with: apt-get install mariadb-backup",
            )
        files.ensure_private_directory(partial / "meta")
        argv = ["mariadb-backup", "--backup", "--stream=mbstream", "--no-lock", "--user=root"]
        argv += [f"--target-dir={partial / 'meta'}"]
        argv += [f"--socket={self._options.socket}"] if self._options.socket else []
        return self._stream(argv=argv, partial=partial, pause_at=pause_at)

    def _stream(self, *, argv: list[str], partial: Path, pause_at: bytes = b"") -> dump.Stream:
        options = self._options
        path = partial / f"{manifests.SERVER_FILE}{options.suffix}"
        stream = dump.Stream(
            argv=argv,
            path=path,
            level=options.level,
            recipients=options.recipients,
            text=False,
            pause_at=pause_at,
        )
        self._streams.append(stream)
        return stream

    def _copy_mysql(self, *, partial: Path) -> Copied:
        moment: dict[str, t.Any] = {}
        with clone.directory(session=self._locker, name=partial.name.split(".")[0]) as place:
            with contextlib.closing(self._connect()) as cloner, contextlib.closing(self._connect()) as watcher:
                clone.clone(
                    place=place,
                    cloner=cloner,
                    watcher=watcher,
                    hold=lambda: moment.update(self._hold()),
                    release=lambda: self._locker.execute("UNLOCK TABLES"),
                )
            held = self._release()
            argv = ["tar", "--create", "--file=-", f"--directory={place}", "."]
            entry = self._stream(argv=argv, partial=partial).finish(database="all of the server")
        return Copied(moment=moment, held=held, entry=entry)


def refuse_part(*, session: Session, databases: t.Sequence[str]) -> None:
    """Refuse to copy a server for a part of its databases: a copy always has all of them."""
    rest = sorted(catalog.user_databases(session=session) - set(databases))
    if rest:
        raise WebstackError(
            f"A physical dump holds all databases of the server, so it must name them all; missing: {', '.join(rest)}. "
            "Nothing was dumped. Name them, drop what nobody needs, or take a logical dump.",
        )
