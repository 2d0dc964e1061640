# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a dump file from end to end before any of it reaches a server: checksum, compression, and what it says."""

from __future__ import annotations

import concurrent.futures
import hashlib
import re
import threading
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import encryption, files
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests

if t.TYPE_CHECKING:
    from pathlib import Path

_DELIMITER = re.compile(rb"DELIMITER\s+(\S+)", re.IGNORECASE)
_QUOTED = rb"`((?:[^`]|``)+)`"
_COMMENT = rb"(?:/\*M?!\d*\s*)?"
# Statements at the start of a line that would reach beyond the database that is loaded.
_SELECTS = re.compile(rb"\s*" + _COMMENT + rb"USE\s+(?!INDEX\b|KEY\b)(\S+)", re.IGNORECASE)
_DATABASE = re.compile(
    rb"\s*" + _COMMENT + rb"(CREATE|DROP|ALTER)\s+(?:DATABASE|SCHEMA)\b[^`\n]{0,60}(?:" + _QUOTED + rb")?",
    re.IGNORECASE,
)
_QUALIFIED = re.compile(
    rb"\s*" + _COMMENT + rb"(?:INSERT\s+(?:IGNORE\s+)?INTO|REPLACE\s+INTO|CREATE\s+TABLE(?:\s+IF\s+NOT\s+EXISTS)?"
    rb"|DROP\s+(?:TABLE|VIEW)(?:\s+IF\s+EXISTS)?|ALTER\s+TABLE|LOCK\s+TABLES|DELETE\s+FROM|UPDATE)\s+"
    + _QUOTED
    + rb"\.",
    re.IGNORECASE,
)
_SERVER = re.compile(
    rb"\s*" + _COMMENT + rb"(GRANT|REVOKE|(?:CREATE|DROP|ALTER|RENAME)\s+USER|SET\s+PASSWORD|SET\s+(?:GLOBAL|PERSIST)"
    rb"|SET\s+@@GLOBAL|(?:UN)?INSTALL|SHUTDOWN|LOAD\s+DATA|RESET|PURGE)\b",
    re.IGNORECASE,
)
_WINDOW = 512
# No statement of a dump begins with a bracket, and nearly all lines of one are rows, which do.
_CANDIDATES = re.compile(rb"^(?!\()[^\n]{1,512}", re.MULTILINE)


class DumpScanner:
    r"""Looks at the lines of a dump for statements that leave the database it belongs to.

    Rows cannot mislead it: a dump client writes line breaks inside of values as ``\n``. Bodies of triggers,
    routines and events stand between DELIMITER lines and are not looked into.

    :arg database: The database whose character set the dump may set, as it does around routines; None for a part
        that is loaded beside that database, and must not name any.
    """

    def __init__(self, *, database: str | None) -> None:
        self._database = database.encode() if database is not None else None
        self._delimiter = b";"
        self._rest = b""
        self._inside = False
        self.findings: list[str] = []

    def feed(self, text: bytes) -> None:
        """Look at the next piece of the dump, whose lines may begin and end anywhere."""
        head, newline, rest = (self._rest + text).rpartition(b"\n")
        if newline:
            self._scan(head)
            self._inside, self._rest = False, rest
        else:
            self._rest = rest
        if len(self._rest) > 2 * _WINDOW:  # a very long line: its beginning is all that counts
            if not self._inside:
                self._scan(self._rest)
            self._inside, self._rest = True, b""

    def close(self) -> None:
        """Look at a last line without an end."""
        if not self._inside:
            self._scan(self._rest)
        self._rest = b""

    def _scan(self, text: bytes) -> None:
        for match in _CANDIDATES.finditer(text):
            if match.start() == 0 and self._inside:
                continue  # the end of a line whose beginning was looked at
            head = match.group()
            delimiter = _DELIMITER.match(head)
            if delimiter:
                self._delimiter = delimiter.group(1)
            elif self._delimiter == b";" and self._leaves(head):
                self.findings.append(head[:120].decode("utf-8", "replace").strip())

    def _leaves(self, head: bytes) -> bool:
        if _SELECTS.match(head) or _SERVER.match(head):
            return True
        database = _DATABASE.match(head)
        if database:
            # The clients set the database's own character set around triggers and routines.
            return not (database.group(1).upper() == b"ALTER" and self._is_own(database.group(2)))
        return _QUALIFIED.match(head) is not None

    def _is_own(self, quoted: bytes | None) -> bool:
        return quoted is not None and quoted.replace(b"``", b"`") == self._database


def verify_files(
    *, directory: Path, databases: dict[str, dict[str, t.Any]], workers: int, identity: Path | None = None
) -> list[str]:
    """Read the files of some databases of a set from end to end, some at a time.

    :arg databases: Their entries of the manifest.
    :arg identity: What decrypts them, where they are encrypted.
    :returns: One sentence for each thing that is wrong, in the order of the manifest.
    """
    jobs = [(name, part) for name, entry in databases.items() for part in entry["files"]]

    def work(job: tuple[str, dict[str, t.Any]]) -> list[str]:
        name, part = job
        return verify_file(
            path=directory / part["file"],
            database=name,
            part=part["part"],
            size=part["size"],
            sha256=part["sha256"],
            identity=identity,
        )

    with concurrent.futures.ThreadPoolExecutor(max_workers=workers) as pool:
        return [problem for problems in pool.map(work, jobs) for problem in problems]


def verify_copy(*, path: Path, entry: dict[str, t.Any]) -> list[str]:
    """Read the file of a physical dump through its checksum.

    :arg entry: What the manifest says of it.
    """
    if not path.is_file():
        return [f"{path} is missing."]
    if path.stat().st_size != entry["size"]:
        return [f"{path} has {path.stat().st_size} bytes instead of {entry['size']}: it is cut off or was changed."]
    seen = files.hash_file(path)
    if seen != entry["sha256"]:
        return [f"{path} has the SHA-256 {seen} instead of {entry['sha256']}: its content is damaged."]
    return []


def verify_file(
    *, path: Path, database: str, part: str, size: int, sha256: str, identity: Path | None = None
) -> list[str]:
    """Read one file of a set through its checksum, its decompression (and decryption) and the scanner.

    :arg part: Which part of the database it is, as the manifest says.
    :returns: One sentence for each thing that is wrong with it.
    """
    if not path.is_file():
        return [f"{path} is missing."]
    if path.stat().st_size != size:
        return [f"{path} has {path.stat().st_size} bytes instead of {size}: it is cut off or was changed."]
    beside = part in (manifests.SCHEMA_PART, manifests.DATA_PART)
    scanner = DumpScanner(database=None if beside else database)
    seen, code, words = _read_through(path=path, scanner=scanner, identity=identity)
    if seen != sha256:
        return [f"{path} has the SHA-256 {seen} instead of {sha256}: its content is damaged."]
    if code:
        verb = "decrypted" if identity and words.startswith("age:") else "decompressed"
        return [f"{path} cannot be {verb}: {words or f'zstd ended with exit code {code}'}."]
    return [
        f"{path} holds a statement that reaches beyond database `{database}`: {finding}"
        for finding in scanner.findings[:3]
    ]


def _read_through(*, path: Path, scanner: DumpScanner, identity: Path | None) -> tuple[str, int, str]:
    checksum = hashlib.sha256()
    with start_zstd(identity=encryption.identity_of(path, identity)) as process:
        sink = t.cast("t.IO[bytes]", process.stdin)

        def feed() -> None:
            with path.open("rb") as source:
                for chunk in iter(lambda: source.read(files.CHUNK), b""):
                    checksum.update(chunk)
                    try:
                        sink.write(chunk)
                    except BrokenPipeError:
                        continue  # zstd gave up; the checksum still needs the rest
            try:
                sink.close()
            except BrokenPipeError:
                return

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        for text in iter(lambda: process.stdout.read(files.CHUNK), b""):
            scanner.feed(text)
        scanner.close()
        feeder.join()
        words, code = process.words(), process.wait()
    return checksum.hexdigest(), code, words


def start_zstd(*, source: t.IO[bytes] | None = None, identity: Path | None = None) -> encryption.Decoder:
    """Start to decompress standard input (or ``source``), decrypted first where there is an identity."""
    return encryption.Decoder(source=source, identity=identity, chunk=files.CHUNK)
