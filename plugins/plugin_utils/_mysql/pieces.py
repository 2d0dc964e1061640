# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving a dump a piece at a time: it may be larger than this machine's memory, and its disk.

Over ssh a file goes as one stream. Other connections hand over what a command prints at its end, so there a command
reads or writes one piece.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shlex
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.phoenix.webstack.plugins.plugin_utils import _streams as streams

if t.TYPE_CHECKING:
    import subprocess

    from ansible.plugins.connection import ConnectionBase

MIB = 1 << 20
# What the connection hands over in one answer is held in memory, more than once, while it grows.
PIECE = 4 * MIB
SHOWN_EVERY = 256 * MIB
_ANOTHER = "take another dump: ansible-playbook phoenix.webstack.back_up_database"


class DumpMover(ActionBase):
    """An action that reads a dump on the host of its task, and may write it on another one."""

    _connection: ConnectionBase
    TRANSFERS_FILES = False
    _supports_check_mode = True
    # How far this run has come, in bytes.
    _done = 0

    def _pieces(self, entry: t.Mapping[str, t.Any], *, source: str, total: int, verb: str) -> t.Iterator[bytes]:
        """Read a file of a dump from its beginning to its end.

        :arg entry: What the manifest says of the file.
        :arg total: Bytes of all files that this run moves, for the progress that is shown now and then.
        :raises AnsibleActionFail: It could not be read, or is not what the manifest says.
        """
        place, digest = f"{source}/{entry['file']}", hashlib.sha256()
        for piece in self._stream(place, size=entry["size"]) or self._read_all(place, size=entry["size"]):
            digest.update(piece)
            yield piece
            before, self._done = self._done, self._done + len(piece)
            if self._done // SHOWN_EVERY > before // SHOWN_EVERY:
                Display().display(f"  {verb} {self._done // MIB} of {total // MIB} MiB")
        if digest.hexdigest() != entry["sha256"]:
            raise AnsibleActionFail(
                f"{place} has the SHA-256 {digest.hexdigest()} instead of {entry['sha256']}: its content is"
                " damaged, on the host or on the way here. It was not kept. Run the same command again; where that"
                f" does not help, {_ANOTHER}"
            )

    def _stream(self, place: str, *, size: int) -> t.Iterator[bytes] | None:
        """Read a file in one go, where the connection lets that be."""
        process = streams.start(self, f"cat {shlex.quote(place)}")
        return self._read_stream(process, place=place, size=size) if process else None

    def _read_stream(self, process: subprocess.Popen[bytes], *, place: str, size: int) -> t.Iterator[bytes]:
        seen = 0
        with process:
            try:
                source = t.cast("t.IO[bytes]", process.stdout)
                for piece in iter(lambda: source.read(MIB), b""):
                    seen += len(piece)
                    yield piece
                said = streams.said(process)
                process.wait()
            finally:
                process.kill()
        if process.returncode or seen != size:
            self._refuse_short(place, size=size, start=0, seen=seen, said=said)

    def _read_all(self, place: str, *, size: int) -> t.Iterator[bytes]:
        for start in range(0, size, PIECE):
            yield self._read(place, start=start, size=min(PIECE, size - start))

    def _read(self, place: str, *, start: int, size: int) -> bytes:
        """Read a piece of a file on the host; base64, since a connection may change line ends."""
        part = f"bs={MIB} skip={start // MIB} count={PIECE // MIB}"
        piece, said = self._run(f"dd if={shlex.quote(place)} {part} status=none | base64 --wrap=0")
        if len(piece) != size:
            self._refuse_short(place, size=size, start=start, seen=len(piece), said=said)
        return piece

    @staticmethod
    def _refuse_short(place: str, *, size: int, start: int, seen: int, said: str) -> t.NoReturn:
        raise AnsibleActionFail(
            f"{place} could not be read: {size} bytes were to come from byte {start} on, and {seen} came."
            f" {said} Run the same command again; where that does not help, {_ANOTHER}"
        )

    def _run(self, command: str) -> tuple[bytes, str]:
        """Give what a command on the host prints as base64, and what it says beside that."""
        done = self._low_level_execute_command(command)
        said = done["stderr"].strip()
        if done["rc"] != 0:
            raise AnsibleActionFail(
                f"The dump could not be read on its host: {said or done['rc']}. Run the same command again: files that"
                " are here already stay."
            )
        return base64.b64decode(done["stdout"]), said

    @contextlib.contextmanager
    def _writing(self, peer: ConnectionBase, *, target: str, host: str) -> t.Iterator[t.Callable[[bytes], object]]:
        """Give what adds a piece to a file on another host.

        :raises AnsibleActionFail: It could not be written.
        """
        with self._at(peer, host):
            process = streams.start(self, f"cat >> {shlex.quote(target)}")
        if process is None:
            yield lambda piece: self._append(peer, piece, target=target, host=host)
            return
        sink = t.cast("t.IO[bytes]", process.stdin)
        with process:
            try:
                with contextlib.suppress(BrokenPipeError):  # what the command says tells why
                    yield sink.write
                    sink.close()
                said = streams.said(process)
                process.wait()
            finally:
                process.kill()
                with contextlib.suppress(BrokenPipeError):
                    sink.close()
        if process.returncode:
            refuse_unwritten(target, host=host, said=said or str(process.returncode))

    def _append(self, peer: ConnectionBase, piece: bytes, *, target: str, host: str) -> None:
        with self._at(peer, host):
            done = self._low_level_execute_command(
                f"base64 --decode >> {shlex.quote(target)}", in_data=base64.b64encode(piece)
            )
        if done["rc"] != 0:
            refuse_unwritten(target, host=host, said=done["stderr"].strip() or str(done["rc"]))

    @contextlib.contextmanager
    def _at(self, peer: ConnectionBase, host: str) -> t.Iterator[None]:
        """Have the commands of this action run on the other host."""
        own, self._connection = self._connection, peer
        try:
            yield
        except AnsibleConnectionFailure as error:
            raise AnsibleActionFail(
                f"{host} could not be reached: {error} The dump is still whole on its own host. See:"
                f" ansible-playbook phoenix.webstack.check_access -e check_access_hosts={host}"
            ) from error
        finally:
            self._connection = own


def refuse_unwritten(target: str, *, host: str, said: str) -> t.NoReturn:
    """Say that a file on another host could not be written."""
    raise AnsibleActionFail(
        f"{target} on {host} could not be written: {said}. It was not taken for a dump, and the dump is still whole on"
        " its own host. Make room there, and run the same command again: files that are whole there stay."
    )


def variables_of(host: str, task_vars: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """Give the variables of another host.

    :raises AnsibleActionFail: It is none.
    """
    hostvars = task_vars.get("hostvars", {})
    if host not in hostvars:
        raise AnsibleActionFail(f"There is no host {host} in the inventory. Nothing was copied.")
    found: t.Mapping[str, t.Any] = hostvars[host]
    return found
