# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a copy of a whole server: unpacked beside the live data, proven by a server of its own, then swapped.

The live server goes on until all is proven. Then it is stopped, two directories are renamed, and it is started on the
new one. The old directory is kept where it held databases. A journal tells whoever comes after a kill how far that
had come (`resume`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
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
    restore,
    scratch,
    verify,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import state as states
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.dump import utc_now
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.progress import Progress

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.manifest import Manifest
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Server, Session

# No database has a state file that begins with a dot.
JOURNAL_FILE = ".server.json"
_LEAST_MEMORY, _MOST_MEMORY = 128 << 20, 4 << 30


def judge_copy(*, manifest: Manifest, options: restore.RestoreOptions, server: Server) -> list[str]:
    """What speaks against unpacking a copy here, whatever is done with it then."""
    problems = preflight.judge_same_series(manifest=manifest, server=server)
    problems += verify.verify_copy(path=options.path / manifest["server"]["file"], entry=manifest["server"])
    missing = [program for program in ("setpriv", *_unpackers(server.engine)) if shutil.which(program) is None]
    if missing:
        problems.append(f"This host lacks {', '.join(missing)}. Install: apt-get install mariadb-backup util-linux tar")
    return problems


def judge(*, plan: restore.Plan, options: restore.RestoreOptions, session: Session) -> list[str]:
    """All the reasons that speak against swapping the whole server, beside those against any of its databases."""
    manifest = plan.manifest
    problems = judge_copy(manifest=manifest, options=options, server=session.server)
    existing = catalog.user_databases(session=session)
    if set(plan.actions) != set(manifest["databases"]):
        problems.append("A physical dump is restored as a whole: name all of its databases, or none.")
    # What this very dump was restored into may have moved on since, and would go with all the rest.
    done = {name for name, action in plan.actions.items() if action == preflight.DONE}
    for name in sorted((existing - set(plan.actions) | done) - set(options.replace)):
        if catalog.read_database(session=session, name=name).is_empty:
            continue
        problems.append(
            f"A physical dump takes the place of the whole server, and database `{name}` on {options.host} holds data. "
            f"To put all of that aside, name it: mysql_restore_replace={name}; or restore a logical dump.",
        )
    datadir = data_directory(session)
    if datadir.is_mount():
        problems.append(
            f"{datadir} is a file system of its own, which cannot be renamed. Restore a logical dump "
            "(mysql_backup_method=logical on the source).",
        )
    problems += preflight.judge_space(
        needed=manifest["server"]["bytes"],
        free=files.free_bytes(datadir.parent),
        path=datadir.parent,
    )
    return problems


def data_directory(session: Session) -> Path:
    """Where the server keeps its data."""
    return Path(str(session.rows("SELECT @@datadir")[0][0]).rstrip("/"))


def _unpackers(engine: str) -> tuple[str, ...]:
    return ("mbstream", "mariadb-backup") if engine == "mariadb" else ("tar",)


class ServerRestore:
    """One restore of a physical dump that a plan allows; the session of the plan is closed by now."""

    def __init__(
        self, *, options: restore.RestoreOptions, plan: restore.Plan, connect: t.Callable[[], Session]
    ) -> None:
        self._options = options
        self._plan = plan
        self._connect = connect
        session = connect()
        self._engine = session.server.engine
        self._datadir = data_directory(session)
        session.close()
        self._incoming = self._datadir.with_name(f"{self._datadir.name}.incoming")
        self._store = states.StateStore(directory=options.state_directory)
        self._progress = Progress(path=options.state_directory / restore.PROGRESS_FILE)

    def run(self) -> dict[str, dict[str, t.Any]]:
        """Unpack, prove and swap, or leave the server as it was.

        :returns: For each database its tables, rows and seconds, and where the old data directory is ``kept``.
        """
        try:
            begun = time.monotonic()
            self._unpack()
            self._prepare()
            loaded = time.monotonic()
            self._prove()
            proven = time.monotonic()
        except BaseException as error:
            shutil.rmtree(self._incoming, ignore_errors=True)
            if isinstance(error, WebstackError):
                error.message += f" The server on {self._options.host} has its data as it was before."
            raise
        finally:
            self._progress.end()
        kept = self._swap()
        timings = {"load_seconds": round(loaded - begun, 3), "proof_seconds": round(proven - loaded, 3)}
        return {name: {**timings, **({"kept": {"path": str(kept)}} if kept else {})} for name in self._plan.actions}

    def rehearse(self, *, directory: Path) -> dict[str, dict[str, t.Any]]:
        """Unpack and prove in a directory of the caller's, and touch nothing else."""
        self._incoming = directory
        begun = time.monotonic()
        self._unpack()
        directory.parent.chmod(0o755)  # the server's account has to reach what is its own in there
        self._prepare()
        loaded = time.monotonic()
        self._prove()
        self._progress.end()
        timings = {"load_seconds": round(loaded - begun, 3), "proof_seconds": round(time.monotonic() - loaded, 3)}
        return dict.fromkeys(self._plan.actions, timings)

    def _unpack(self) -> None:
        shutil.rmtree(self._incoming, ignore_errors=True)
        files.ensure_private_directory(self._incoming)
        entry = self._plan.manifest["server"]
        self._progress.begin("unpack", total=entry["size"])
        argv = ["mbstream", "--extract", f"--directory={self._incoming}"]
        if self._engine == "mysql":
            argv = ["tar", "--extract", "--file=-", f"--directory={self._incoming}", "--no-same-owner"]
        with (self._options.path / entry["file"]).open("rb") as source:
            identity = encryption.identity_of(Path(entry["file"]), self._options.identity)
            zstd = verify.start_zstd(source=source, identity=identity)
            # The first program reads by the same open file: where that stands is how far it is.
            with self._progress.following(lambda: os.lseek(source.fileno(), 0, os.SEEK_CUR)):
                done = subprocess.run(argv, check=False, stdin=zstd.stdout, capture_output=True, text=True)
            # Where the other end of this pipe stayed open, zstd would wait for a reader that is gone.
            zstd.stdout.close()
            code = zstd.wait()
        if done.returncode or code:
            raise WebstackError(f"The copy could not be unpacked: {done.stderr.strip()[-300:] or f'exit code {code}'}.")

    def _prepare(self) -> None:
        """Let the copy's own redo log bring its files to one moment (MySQL does that when it starts)."""
        self._progress.begin("prepare", total=0)
        if self._engine == "mariadb":
            argv = ["mariadb-backup", "--prepare", f"--target-dir={self._incoming}", f"--use-memory={spare_memory()}"]
            done = subprocess.run(argv, check=False, capture_output=True, text=True)
            if done.returncode:
                raise WebstackError(f"The copy could not be prepared: {' | '.join(done.stderr.splitlines()[-3:])}")
        scratch.own_by_service(self._incoming)

    def _prove(self) -> None:
        """Start a server on the copy and hold every table and object against the manifest."""
        manifest = self._plan.manifest
        self._progress.begin("prove", total=manifest["server"]["bytes"])
        found: list[str] = []
        with scratch.running(engine=self._engine, directory=self._incoming) as server:
            sessions = [server.connect() for _reader in range(self._options.workers)]
            databases = [
                catalog.read_database(session=sessions[0], name=name) for name in sorted(manifest["databases"])
            ]
            sums = checksum.sum_databases(sessions=sessions, databases=databases, advance=self._progress.advance)
            for session in sessions:
                session.close()
        for database in databases:
            actual = describe.describe_database(database=database, sums=sums[database.name])
            expected = manifest["databases"][database.name]
            found += [
                f"{database.name}: {each}"
                for each in describe.differences(expected=expected, actual=actual, same_series=True)
            ]
        if found:
            raise WebstackError(
                f"The copy is not what the dump's manifest says: {'; '.join(found[:10])}.",
                differences=found,
            )
        subprocess.run(["sync", "--file-system", str(self._incoming)], check=True)

    def _swap(self) -> Path | None:
        """Put the copy in the place of the live data directory."""
        taken = any(target is not None and not target.is_empty for target in self._plan.before.values())
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        journal = {
            "dump_id": self._plan.manifest["id"],
            "databases": sorted(self._plan.manifest["databases"]),
            "datadir": str(self._datadir),
            "incoming": str(self._incoming),
            "kept": str(self._datadir.with_name(f"{self._datadir.name}.before_{stamp}")),
            "keep": taken or bool(self._options.replace),
            "service": service(self._engine),
        }
        files.write_json(path=self._options.state_directory / JOURNAL_FILE, value=journal)
        return finish(journal=journal, store=self._store, connect=self._connect)


def spare_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes of memory that a log is applied with: half of what is free; with too little it takes many rounds."""
    free = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"), re.MULTILINE)
    return min(_MOST_MEMORY, max(_LEAST_MEMORY, int(free.group(1)) * 1024 // 2)) if free else _LEAST_MEMORY


def service(engine: str) -> str:
    """The unit of the server."""
    return "mariadb" if engine == "mariadb" else "mysql"


def finish(*, journal: dict[str, t.Any], store: states.StateStore, connect: t.Callable[[], Session]) -> Path | None:
    """Bring a swap to its end from wherever it is.

    :returns: The old data directory, if it is kept.
    :raises WebstackError: The server does not start on the new data; the old data is in its place again.
    """
    datadir, incoming, kept = (Path(journal[key]) for key in ("datadir", "incoming", "kept"))
    if incoming.exists():
        try:
            _systemctl("stop", journal["service"])
        except WebstackError:
            _give_up(journal=journal, store=store)
            raise
        if datadir.exists():
            datadir.rename(kept)
        incoming.chmod(0o755 if journal["service"] == "mariadb" else 0o700)
        incoming.rename(datadir)
        files.sync_directory(datadir.parent)
    try:
        _systemctl("start", journal["service"])
        restore.reopen_session(connect).close()
    except WebstackError as error:
        _systemctl("stop", journal["service"])
        datadir.rename(incoming)
        kept.rename(datadir)
        _systemctl("start", journal["service"])
        _give_up(journal=journal, store=store)
        raise WebstackError(
            f"The server did not start on the restored data ({error.message}), and runs on what it had before.",
        ) from error
    for name in journal["databases"]:
        state = {"database": name, "state": states.RESTORED, "dump_id": journal["dump_id"], "finished_at": utc_now()}
        store.write(state)
    (store.directory / JOURNAL_FILE).unlink()
    if not journal["keep"]:
        shutil.rmtree(kept, ignore_errors=True)
    return kept if journal["keep"] else None


def _give_up(*, journal: dict[str, t.Any], store: states.StateStore) -> None:
    """Forget a swap whose old data is in its place."""
    (store.directory / JOURNAL_FILE).unlink()
    shutil.rmtree(journal["incoming"], ignore_errors=True)


def _systemctl(verb: str, unit: str) -> None:
    done = subprocess.run(["systemctl", verb, unit], check=False, capture_output=True, text=True)
    if done.returncode:
        raise WebstackError(f"systemctl {verb} {unit}: {done.stderr.strip()}")


def resume(*, store: states.StateStore, connect: t.Callable[[], Session]) -> str | None:
    """Finish a swap that was cut off, or take it back where the old data is in its place still.

    :returns: What was done, or nothing.
    """
    path = store.directory / JOURNAL_FILE
    if not path.exists():
        return None
    journal = json.loads(path.read_text(encoding="utf-8"))
    if Path(journal["datadir"]).exists() and Path(journal["incoming"]).exists():
        _systemctl("start", journal["service"])
        _give_up(journal=journal, store=store)
        return "What an interrupted restore of the server had begun was put back."
    finish(journal=journal, store=store, connect=connect)
    return f"The restore of the server from {journal['dump_id']} was finished, which had been cut off at its end."
