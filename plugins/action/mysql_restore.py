# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a dump, with the private key of an encrypted one in the host's memory for as long as that takes."""

from __future__ import annotations

import shlex
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

# Only what is read from standard input never comes to the host's disk: copied files and modules' options may. What a
# killed restore has left goes with the next one, or with a boot.
PUT = """\
umask 077
test "$(stat --file-system --format=%T /run)" = tmpfs || exit 9
mkdir -p /run/webstack && find /run/webstack -name 'age-*' -mmin +1440 -delete
file=$(mktemp /run/webstack/age-XXXXXXXX) && cat > "$file" && echo "$file"
"""
NO_MEMORY = 9


class ActionModule(ActionBase):
    """See the module documentation of ``mysql_restore``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module, in the background where that is wanted; there it removes the key itself."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        identity = arguments.get("age_identity")
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        place = self._put(self._read(str(identity))) if identity else None
        try:
            arguments.update({"age_identity_file": place} if place else {})
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=wrap_async))
        except BaseException:
            wrap_async = False  # it has not begun
            raise
        finally:
            if place and not (wrap_async and "ansible_job_id" in result):
                self._remove(place)
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _read(self, name: str) -> bytes:
        """Read the identity on the controller.

        :raises AnsibleActionFail: There is none.
        """
        path = Path(name).expanduser()
        if not path.is_file():
            raise AnsibleActionFail(
                f"There is no {path} on the controller, which mysql_restore_age_identity names. Nothing was changed. It"
                " is the file that age-keygen has written; the dump cannot be read without it."
            )
        real = self._loader.get_real_file(str(path))
        try:
            return Path(real).read_bytes()
        finally:
            self._loader.cleanup_tmp_file(real)

    def _put(self, identity: bytes) -> str:
        """Lay the identity down in the host's memory, and tell where."""
        done = self._low_level_execute_command(f"sh -c {shlex.quote(PUT)}", in_data=identity)
        place = str(done["stdout"]).strip().rpartition("\n")[2].strip()
        if done["rc"] == NO_MEMORY:
            raise AnsibleActionFail(
                "/run on the host is on a disk and not in memory, and a private key is not laid down there. Nothing was"
                " changed. Mount a tmpfs on /run, or decrypt the dump elsewhere: age --decrypt --identity FILE"
            )
        if done["rc"] != 0 or not place.startswith("/run/webstack/"):
            raise AnsibleActionFail(
                f"The identity could not be laid down in /run/webstack: {str(done['stderr']).strip() or done['rc']}."
                " Nothing was changed."
            )
        return place

    def _remove(self, place: str) -> None:
        """Leave no key; where the host cannot be reached, the module has done it, or a boot will."""
        try:
            self._low_level_execute_command(f"rm -f {shlex.quote(place)}")
        except AnsibleConnectionFailure:
            return
