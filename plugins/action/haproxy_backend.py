# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a balancer in slices, so that whoever waits sees what for, and one run at a time."""

from __future__ import annotations

import collections
import getpass
import os
import pathlib
import socket
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.model import host_of

SLICE_SECONDS = 2.0
LEASE_POLL_SECONDS = 1.0
# Those of the module, for tasks that do not give them.
WAIT_SECONDS = 30.0


class ActionModule(ActionBase):
    """See the module documentation of ``haproxy_backend``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Call the module until nothing is waited for any more."""
        result = super().run(tmp, task_vars)
        host = (task_vars or {}).get("inventory_hostname", "")
        holder, owner = this_run()
        arguments = {
            **self._task.args,
            "slice": SLICE_SECONDS,
            "lease_owner": owner,
            "lease_holder": holder,
        }
        patience = sum(float(self._task.args.get(name, WAIT_SECONDS)) for name in ("wait_timeout", "drain_timeout"))
        deadline = time.monotonic() + patience
        first: dict[str, t.Any] = {}
        while True:
            answer = self._execute_module(module_args=arguments, task_vars=task_vars)
            if "lease" in answer:
                if is_dead(answer["lease"]["owner"]):
                    arguments["lease_dead"] = answer["lease"]["owner"]
                    continue
                if time.monotonic() < deadline:
                    self._show(host, f"waits for another run: {answer['lease']['holder']}")
                    time.sleep(LEASE_POLL_SECONDS)
                    continue
            first = first or answer
            if answer.get("failed") or not answer.get("waiting"):
                break
            self._show(host, progress(answer["waiting"]))
        result.update(answer if answer.get("failed") else whole(first, answer))
        return result

    @staticmethod
    def _show(host: str, text: str) -> None:
        Display().display(f"  {host}: {text}")


def progress(waiting: t.Mapping[str, t.Any]) -> str:
    """Say what a drain waits for."""
    left: collections.Counter[str] = collections.Counter()
    for name, number in waiting["sessions"].items():
        left[host_of(name)] += number
    servers = ", ".join(f"{name} {number}" for name, number in sorted(left.items()))
    return f"sessions left: {servers} (waiting {waiting['seconds']:.0f} s at most)"


def whole(first: dict[str, t.Any], last: dict[str, t.Any]) -> dict[str, t.Any]:
    """Join the first slice, which knows what was to be done, and the last, which knows what came of it."""
    return {**last, **first, **{name: last[name] for name in ("waiting", "sessions_left") if name in last}}


def this_run() -> tuple[str, str]:
    """Tell this run from every other.

    :returns: In words, and as `is_dead` reads it. The process is the parent that all tasks of the run have in common.
    """
    pid = os.getppid()
    return f"{getpass.getuser()}@{socket.gethostname()}, process {pid}", f"{controller()} {pid} {started(pid)}"


def is_dead(owner: str) -> bool:
    """Tell whether a run has ended; one of another controller never has, as far as we can see."""
    where, _space, process = owner.rpartition(" ")[0].rpartition(" ")
    if where != controller() or not process.isdigit():
        return False
    return started(int(process)) != owner.rpartition(" ")[2]


def controller() -> str:
    """Name this machine as it is since its last boot."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = "unknown"
    return f"{socket.gethostname()}/{boot}"


def started(pid: int) -> str:
    """Tell when a process was started, so that its number given to another one is no mistake; empty when it is gone."""
    try:
        # The command's name stands in parentheses and may hold anything.
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "unknown"
