# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a dump on its host a piece at a time: it may be larger than this machine's memory, and its disk."""

from __future__ import annotations

import base64
import hashlib
import shlex
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MIB = 1 << 20
# What the connection hands over in one answer is held in memory, more than once, while it grows.
PIECE = 4 * MIB
SHOWN_EVERY = 256 * MIB
_ANOTHER = "take another dump: ansible-playbook phoenix.webstack.back_up_database"


class DumpReader(ActionBase):
    """An action that reads a dump on the host of its task."""

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
        for start in range(0, entry["size"], PIECE):
            piece = self._read(place, start=start, size=min(PIECE, entry["size"] - start))
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

    def _read(self, place: str, *, start: int, size: int) -> bytes:
        """Read a piece of a file on the host; base64, since a connection may change line ends."""
        part = f"bs={MIB} skip={start // MIB} count={PIECE // MIB}"
        piece, said = self._run(f"dd if={shlex.quote(place)} {part} status=none | base64 --wrap=0")
        if len(piece) != size:
            raise AnsibleActionFail(
                f"{place} could not be read: {size} bytes were to come from byte {start} on, and {len(piece)} came."
                f" {said} Run the same command again; where that does not help, {_ANOTHER}"
            )
        return piece

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
