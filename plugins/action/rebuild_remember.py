# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let the user's known_hosts file know a rebuilt server by its name (controller only)."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import trust

ARGUMENTS: dict[str, t.Any] = {
    "host": {"type": "str", "required": True},
    "keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
    "known_hosts": {"type": "path", "required": True},
}


def remember(*, host: str, keys: list[str], known_hosts: pathlib.Path) -> bool:
    """Hold a name's keys in a known_hosts file to be the given ones; whether that changed it.

    All of the lost server's keys go, also those of an algorithm that the new one did not present.
    """
    file = str(known_hosts)
    found = subprocess.run(["ssh-keygen", "-F", host, "-f", file], capture_output=True, text=True, check=False).stdout
    if set(trust.parse_keys(found)) == set(trust.parse_keys("\n".join(keys))):
        return False
    if found:
        # Hashed names too, which is why it is not done here.
        removed = subprocess.run(["ssh-keygen", "-R", host, "-f", file], capture_output=True, text=True, check=False)
        if removed.returncode:
            raise WebstackError(f"{file} still has the lost server's key: {removed.stderr.strip()}")
    known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = known_hosts.read_text(encoding="utf-8") if known_hosts.exists() else ""
    with known_hosts.open("a", encoding="utf-8") as stream:
        stream.write(("\n" if text and not text.endswith("\n") else "") + "\n".join(keys) + "\n")
    return True


class ActionModule(ActionBase):
    """See the module documentation of ``rebuild_remember``."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Enter the keys where they differ."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        path = pathlib.Path(args["known_hosts"])
        try:
            result["changed"] = remember(host=args["host"], keys=args["keys"], known_hosts=path)
        except (WebstackError, OSError) as error:
            result.update(failed=True, msg=f"{error} {args['host']} itself is back in service.")
        return result
