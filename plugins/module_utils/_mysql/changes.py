# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was written to a server after a dump of it: read from its binary log, and replayed where the dump was restored.

The log is read up to a moment at which writers are held, and the checksums of that very moment go along. So a replay
is proven like a restore, and whatever a binary log may lack (filters, statements that depend on their server) shows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import typing as t
from pathlib import Path, PurePath

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    catalog,
    checksum,
    describe,
    dump,
    files,
    verify,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import state as states
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.load import Loader
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session, series_of

DIRECTORY = "changes"
_KEYS = ("dump_id", "engine", "version", "from", "to", "snapshot_at", "server", "databases")

Found = t.Dict[str, t.Any]  # noqa: UP006 -- evaluated at run time, Python 3.8 on hosts


@dataclasses.dataclass(frozen=True)
class ChangesOptions:
    """What the caller wants: the changes since the dump in ``path``; ``lock_timeout`` is in seconds."""

    path: Path
    lock_timeout: int = 10
    workers: int = 2
    level: int = 3


def collect(*, options: ChangesOptions, connect: t.Callable[[], Session]) -> Found:
    """Write what came after a dump into a folder of that dump.

    :returns: ``available`` and the ``reason`` why not; or the ``manifest`` and the ``path`` of the changes.
    """
    with contextlib.ExitStack() as stack:
        locker, *readers = (_closing(stack, connect()) for _session in range(1 + options.workers))
        dumped = manifests.read_manifest(directory=options.path)
        against = _obstacle(dumped=dumped, session=locker)
        if against:
            return {"available": False, "reason": against}
        dump.hold_writers(session=locker, timeout=options.lock_timeout)
        for reader in readers:
            reader.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        moment = {
            "from": dumped["binlog"],
            "to": dump.binlog_position(session=locker),
            "snapshot_at": dump.utc_now(),
        }
        locker.execute("UNLOCK TABLES")
        return _write(options=options, dumped=dumped, moment=moment, locker=locker, readers=readers)


def _closing(stack: contextlib.ExitStack, session: Session) -> Session:
    stack.callback(session.close)
    return session


def _obstacle(*, dumped: manifests.Manifest, session: Session) -> str:
    """Why the changes cannot be had, as a clause; nothing where they can."""
    begins = dumped.get("binlog")
    if not begins:
        return f"{dumped['host']} kept no binary log when the dump was taken (log_bin)"
    logs = dict(row[:2] for row in _logs(session))
    if int(logs.get(begins["file"], -1)) < begins["position"]:
        return f"{dumped['host']} no longer has the binary log {begins['file']}, at which the dump ends"
    if any(str(each or "") for each in dump.binlog_status(session=session)[2:4]):
        return f"{dumped['host']} leaves databases out of its binary log (binlog-do-db, binlog-ignore-db)"
    others = sorted(catalog.user_databases(session=session) - set(dumped["databases"]))
    if others:
        return f"the binary log of {dumped['host']} is about databases too that were not dumped: {', '.join(others)}"
    return ""


def _logs(session: Session) -> list[tuple[t.Any, ...]]:
    """Binary logs with their sizes, oldest first; none where they are switched off."""
    return session.rows("SHOW BINARY LOGS") if int(session.rows("SELECT @@log_bin")[0][0]) else []


def _write(
    *,
    options: ChangesOptions,
    dumped: manifests.Manifest,
    moment: dict[str, t.Any],
    locker: Session,
    readers: t.Sequence[Session],
) -> Found:
    directory = options.path / DIRECTORY
    shutil.rmtree(directory, ignore_errors=True)
    files.ensure_private_directory(directory)
    stream = dump.Stream(
        argv=_argv(session=locker, moment=moment), path=directory / manifests.CHANGES_FILE, level=options.level
    )
    try:
        databases = [
            catalog.read_database(session=locker, name=name) for name in sorted(catalog.user_databases(session=locker))
        ]
        sums = checksum.sum_databases(sessions=readers, databases=databases)
        entry = stream.finish(database="the binary log")
    except BaseException:
        stream.kill()
        shutil.rmtree(directory, ignore_errors=True)
        raise
    manifest = {
        "method": manifests.CHANGES,
        "dump_id": dumped["id"],
        "host": dumped["host"],
        "engine": locker.server.engine,
        "version": locker.server.version,
        **moment,
        "server": entry,
        "databases": {
            each.name: {**describe.describe_database(database=each, sums=sums[each.name]), "files": []}
            for each in databases
        },
    }
    files.write_json(path=directory / manifests.MANIFEST_FILE, value=manifest)
    return {"available": True, "reason": "", "path": str(directory), "manifest": manifest}


def _argv(*, session: Session, moment: dict[str, t.Any]) -> list[str]:
    """The engine's own reader of binary logs, for what lies between two positions."""
    engine = session.server.engine
    program = shutil.which("mariadb-binlog" if engine == "mariadb" else "mysqlbinlog") or shutil.which("mysqlbinlog")
    if program is None:
        raise WebstackError("This host has no mysqlbinlog, which reads binary logs; it comes with the server's client.")
    first, last = moment["from"], moment["to"]
    names = [str(name) for name, *_size in _logs(session)]
    names = names[names.index(first["file"]) : names.index(last["file"]) + 1]
    folder = PurePath(str(session.rows("SELECT @@log_bin_basename")[0][0])).parent
    argv = [program, "--no-defaults", "--disable-log-bin"]
    argv += ["--skip-gtids"] if engine == "mysql" else []
    argv += [f"--start-position={first['position']}", f"--stop-position={last['position']}"]
    return [*argv, *(str(folder / name) for name in names)]


def read_changes(*, directory: Path) -> Found:
    """The manifest of some changes, whose file is whole.

    :raises WebstackError: It is missing or damaged.
    """
    manifest = manifests.read_json(directory=directory)
    missing = [key for key in _KEYS if key not in manifest]
    if missing:
        raise WebstackError(f"{directory / manifests.MANIFEST_FILE} is damaged: it has no {', '.join(missing)}.")
    problems = verify.verify_copy(path=directory / manifest["server"]["file"], entry=manifest["server"])
    if problems:
        raise WebstackError(f"{' '.join(problems)} Nothing was replayed.")
    return manifest


class Replay:
    """One replay of changes into the databases that their dump was restored into, with its proof.

    From the first statement on the databases are marked as in between: a restore may put them aside then, and nothing
    takes them for proven until they are. Only to be used under the restore's lock.
    """

    def __init__(
        self, *, manifest: Found, directory: Path, session: Session, store: states.StateStore, loader: Loader
    ) -> None:
        self._manifest = manifest
        self._directory = directory
        self._session = session
        self._store = store
        self._loader = loader

    def run(self, *, sessions: t.Sequence[Session]) -> bool:
        """Replay and prove.

        :arg sessions: Connections that read for the proof.
        :returns: Whether there was anything to do: these very changes may have been replayed before.
        :raises WebstackError: Something speaks against it, a statement failed, or the proof did.
        """
        known = {name: self._store.read(name) for name in sorted(catalog.user_databases(session=self._session))}
        if self._are_in(known):
            return False
        restored = self._restored(known)
        self._mark(states.REPLAYING, names=restored)
        path = self._directory / self._manifest["server"]["file"]
        self._loader.load(database=restored[0], named=restored[0], path=path)
        self._prove(sessions)
        self._mark(states.RESTORED, names=sorted(self._manifest["databases"]))
        return True

    def _are_in(self, known: t.Mapping[str, states.RestoreState | None]) -> bool:
        """Whether all databases are marked as restored, with these changes."""
        wanted = (states.RESTORED, self._manifest["dump_id"], self._manifest["snapshot_at"])
        found = [known.get(name) or {} for name in self._manifest["databases"]]
        return all(tuple(each.get(key) for key in ("state", "dump_id", "changes_until")) == wanted for each in found)

    def _restored(self, known: t.Mapping[str, states.RestoreState | None]) -> list[str]:
        """The databases that the dump was restored into, and nothing else since."""
        identity = self._manifest["dump_id"]
        wanted = (states.RESTORED, identity, None)
        ours = [
            name
            for name, state in known.items()
            if state and (state["state"], state["dump_id"], state.get("changes_until")) == wanted
        ]
        strangers = sorted(set(known) & set(self._manifest["databases"]) - set(ours))
        if strangers or not ours:
            raise WebstackError(
                f"The changes belong to the dump {identity}, and {', '.join(strangers) or 'no database here'} is "
                f"{'not ' if strangers else ''}as it was restored from it. Nothing was replayed. Restore it afresh: "
                "ansible-playbook phoenix.webstack.restore_database",
            )
        return ours

    def _mark(self, state: str, *, names: t.Sequence[str]) -> None:
        for name in names:
            self._store.write(
                {
                    "database": name,
                    "state": state,
                    "dump_id": self._manifest["dump_id"],
                    "changes_until": self._manifest["snapshot_at"],
                    "finished_at": dump.utc_now(),
                }
            )

    def _prove(self, sessions: t.Sequence[Session]) -> None:
        names = sorted(catalog.user_databases(session=self._session) & set(self._manifest["databases"]))
        databases = [catalog.read_database(session=self._session, name=name) for name in names]
        sums = checksum.sum_databases(sessions=sessions, databases=databases)
        actual = {each.name: describe.describe_database(database=each, sums=sums[each.name]) for each in databases}
        found = [f"{name}: it is missing" for name in sorted(set(self._manifest["databases"]) - set(names))]
        for name in names:
            differences = describe.differences(
                expected=self._manifest["databases"][name],
                actual=actual[name],
                same_series=series_of(self._manifest["version"]) == self._session.server.series,
                compare_views=False,
            )
            found += [f"{name}: {each}" for each in differences]
        if found:
            raise WebstackError(
                f"After the replay the data is not what {self._manifest['host']} had at that moment: "
                f"{'; '.join(found[:10])}.",
                differences=found,
            )
