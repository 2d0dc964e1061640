# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide whether the replacement may be contacted, and prove its host key (controller only)."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import journal, plan, trust

SCAN_SECONDS = 10
ARGUMENTS: dict[str, t.Any] = {
    "asked": {"type": "dict", "required": True},
    "earlier": {"type": "dict", "default": {}},
    "balancers": {"type": "dict", "required": True},
    "port": {"type": "int", "default": 22},
    "known_hosts": {"type": "path", "required": True},
    "host_key": {"type": "str", "default": ""},
    "fingerprint": {"type": "str", "default": ""},
    "authority": {"type": "str", "default": ""},
    "trust_on_first_use": {"type": "bool", "default": False},
}


def scan(*, address: str, port: int) -> list[trust.HostKey]:
    """Ask an address for its public host keys; an empty list where no SSH server answers."""
    argv = ["ssh-keyscan", "-T", str(SCAN_SECONDS), "-p", str(port), "-t", "ed25519,ecdsa,rsa", address]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=4 * SCAN_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WebstackError(f"`{' '.join(argv)}` failed: {error}") from error
    return trust.parse_keys(done.stdout)


def known_keys(*, name: str, address: str, earlier: t.Mapping[str, t.Any]) -> list[trust.HostKey]:
    """Keys that an earlier run of this very rebuild had proven."""
    if earlier.get("host") != name or earlier.get("address") != address:
        return []
    return trust.parse_keys("\n".join((earlier.get("host_key") or {}).get("known_hosts", [])))


class ActionModule(ActionBase):
    """See the module documentation of ``rebuild_trust``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return how ssh is to be held to the proven key, or ``error``: the preflight lists it among the others."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        asked = plan.Asked(**args["asked"])
        result["changed"] = False
        try:
            balancers = {name: plan.balancer_of(each) for name, each in args["balancers"].items()}
            refusals = plan.problems_before_contact(asked, balancers=balancers, earlier=args["earlier"])
            if refusals:
                raise WebstackError(refusals[0])
            result.update(self._prove(args, asked))
        except WebstackError as error:
            result["error"] = error.message
        return result

    @staticmethod
    def _prove(args: dict[str, t.Any], asked: plan.Asked) -> dict[str, t.Any]:
        proven = trust.decide(
            name=asked.host,
            address=asked.address,
            scanned=scan(address=asked.address, port=args["port"]),
            expected=trust.parse_keys(args["host_key"]),
            fingerprints=args["fingerprint"].split(),
            authorities=trust.parse_keys(args["authority"]),
            known=known_keys(name=asked.host, address=asked.address, earlier=args["earlier"]),
            trust_on_first_use=args["trust_on_first_use"],
        )
        known_hosts = pathlib.Path(args["known_hosts"])
        journal.save(known_hosts, "\n".join(proven.known_hosts) + "\n")
        # The last option wins nothing in ssh: the first value of each keyword does. So these stand first.
        options = [
            "-o",
            f"HostKeyAlias={asked.host}",
            "-o",
            f"UserKnownHostsFile={known_hosts}",
            "-o",
            "GlobalKnownHostsFile=/dev/null",
            "-o",
            "StrictHostKeyChecking=yes",
            *proven.options,
        ]
        return {
            "ssh_options": options,
            "host_key": {
                "kind": proven.kind,
                "fingerprint": proven.fingerprint,
                "known_hosts": proven.known_hosts,
            },
        }
