# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps that are encrypted with age to public keys, as they are written, and decrypted as they are read.

The manifest stays readable: names of tables, their rows and checksums are no secret, so that a set can be compared
with its checksums by whoever keeps it, and only a restore needs the identity.
"""

from __future__ import annotations

import shutil
import subprocess
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests

if t.TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".age"
_INSTALL = "age is not installed on this host. Install it with: apt-get install age"
# What of a file is needed to see whether an identity opens it: age's header and the first piece, of 64 KiB.
_BEGINNING = 256 * 1024


def encrypt_argv(recipients: t.Sequence[str]) -> list[str]:
    """The command that encrypts its standard input; recipients are public keys."""
    return ["age", "--encrypt", *(word for recipient in recipients for word in ("--recipient", recipient))]


def decrypt_argv(identity: Path) -> list[str]:
    """The command that decrypts its standard input."""
    return ["age", "--decrypt", "--identity", str(identity)]


def refuse_recipients(recipients: t.Sequence[str]) -> None:
    """Refuse what nothing can be encrypted to, before there is anything to encrypt.

    :raises WebstackError: age is missing, or takes one of them for no public key.
    """
    if recipients and shutil.which("age") is None:
        raise WebstackError(f"{_INSTALL}. Nothing was dumped.")
    for recipient in recipients:
        done = _run(encrypt_argv([recipient]), b"")
        if done.returncode:
            raise WebstackError(
                f"`{recipient}` is no public key of age: {_words(done)}. Nothing was dumped. One looks like age1…; "
                "make a pair with: age-keygen -o identity.txt (it prints the public one). Correct "
                "mysql_backup_age_recipients.",
            )


def judge_identity(*, manifest: manifests.Manifest, directory: Path, identity: Path | None) -> list[str]:
    """What keeps a set from being decrypted here; nothing where it is not encrypted."""
    if not manifest.get("encryption"):
        return []
    if shutil.which("age") is None:
        return [f"The dump is encrypted, and {_INSTALL}."]
    if identity is None:
        recipients = ", ".join(manifest["encryption"].get("recipients", []))
        return [
            f"The dump is encrypted to {recipients}, and no identity was given. Name the file on the controller that "
            "holds the private key: mysql_restore_age_identity=FILE",
        ]
    entries = manifests.entries_of(manifest)
    path = directory / entries[0]["file"] if entries else directory
    if not path.is_file():
        return []  # which is told elsewhere
    with path.open("rb") as source:
        done = _run(decrypt_argv(identity), source.read(_BEGINNING))
    # The end of a large file is missing here, which is no fault of the identity's: its beginning could be read then.
    if done.returncode and not done.stdout:
        return [f"The dump cannot be decrypted: {_words(done)}. See that mysql_restore_age_identity is the right file."]
    return []


def identity_of(path: Path, identity: Path | None) -> Path | None:
    """The identity, for a file that is encrypted: one may be given for all dumps, of which some are not."""
    return identity if path.name.endswith(SUFFIX) else None


def copy_decrypted(source: Path, target: Path, *, identity: Path | None) -> None:
    """Copy a file of a set, decrypted where it is encrypted.

    :raises WebstackError: It cannot be decrypted.
    """
    identity = identity_of(source, identity)
    if identity is None:
        shutil.copyfile(source, target)
        return
    with source.open("rb") as encrypted, target.open("wb") as sink:
        done = subprocess.run(decrypt_argv(identity), stdin=encrypted, stdout=sink, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise WebstackError(f"{source} cannot be decrypted: {_words(done)}.")


def _run(argv: list[str], content: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=content, capture_output=True, check=False)


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    """What age says is wrong, in its first line."""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return (lines or [f"exit code {done.returncode}"])[0].replace("age: error: ", "").rstrip(".")


class Decoder:
    """Files of a dump on their way back to what the clients wrote: age where they are encrypted, then zstd.

    Used like the process of zstd alone, whose text comes from ``stdout``.

    :arg source: The file to read; without one, what is written to ``stdin``.
    """

    def __init__(
        self, *, source: t.IO[bytes] | None = None, identity: Path | None = None, chunk: int = 1 << 20
    ) -> None:
        self._chain: list[subprocess.Popen[bytes]] = []
        argvs = [*([decrypt_argv(identity)] if identity else []), ["zstd", "-q", "-d", "-c"]]
        stdin: t.Any = source if source is not None else subprocess.PIPE
        for argv in argvs:
            try:
                process = subprocess.Popen(
                    argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=chunk
                )
            except OSError as error:
                self.kill()
                raise WebstackError(
                    f"{argv[0]} cannot be run: {error}. Install it with: apt-get install {argv[0]}"
                ) from error
            if self._chain:
                t.cast("t.IO[bytes]", self._chain[-1].stdout).close()  # the next one's alone: it learns when that ends
            self._chain.append(process)
            stdin = process.stdout
        self.stdin = self._chain[0].stdin
        self.stdout = t.cast("t.IO[bytes]", self._chain[-1].stdout)

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kill()
        for process in self._chain:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None and not stream.closed:
                    stream.close()
            process.wait()

    def wait(self) -> int:
        """Wait for all, and give the first exit code that is none of success."""
        return next((code for code in [process.wait() for process in self._chain] if code), 0)

    def words(self) -> str:
        """What they say is wrong; only to be asked once."""
        said = [t.cast("t.IO[bytes]", process.stderr).read() for process in self._chain]
        return " ".join(text.decode("utf-8", "replace").strip() for text in said).strip()

    def kill(self) -> None:
        """End all at once."""
        for process in self._chain:
            if process.poll() is None:
                process.kill()
