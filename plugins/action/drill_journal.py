# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the journal of a drill, and make the report of it (controller only)."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import journal
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.outputs import prune, write
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drill import report

ARGUMENTS: dict[str, t.Any] = {
    "directory": {"type": "path", "required": True},
    "metrics": {"type": "str", "default": ""},
    "keep": {"type": "int", "default": 30},
    "state": {"type": "str", "choices": ["begun", "phase", "problem", "finished"], "default": "phase"},
    "host": {"type": "str"},
    "started_at": {"type": "str"},
    "phase": {"type": "str"},
    "facts": {"type": "dict", "default": {}},
    "task": {"type": "str"},
    "reason": {"type": "str"},
}
REQUIRED = [
    ("state", "begun", ("host", "started_at")),
    ("state", "phase", ("phase",)),
    ("state", "problem", ("task", "reason")),
]
FOR_NODE_EXPORTER = 0o644


class ActionModule(ActionBase):
    """See the module documentation of ``drill_journal``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Write the next state of the journal; its own files are no change of any host."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS, required_if=REQUIRED)
        folder = pathlib.Path(args["directory"])
        earlier = report.load(folder / "latest.json")
        result.update(changed=False, run=earlier, passed=False)
        try:
            run = self._next(args, earlier)
            result.update(run=run, passed=run["verdict"] == report.PASSED)
            write(folder / "latest.json", json.dumps(run, indent=2) + "\n")
            write(folder / "latest.md", report.markdown(run))
            if args["metrics"] and args["state"] in ("begun", "finished"):
                write(pathlib.Path(args["metrics"]), report.metrics(run), mode=FOR_NODE_EXPORTER)
            if args["state"] == "finished":
                result["files"] = self._conclude(run, folder=folder / "reports", keep=args["keep"])
        except WebstackError as error:
            result.update(failed=True, msg=error.message)
        except OSError as error:
            where = error.filename or folder
            result.update(failed=True, msg=f"The journal of the drill cannot be written: {where}: {error.strerror}.")
        return result

    @staticmethod
    def _next(args: dict[str, t.Any], run: report.Run) -> report.Run:
        moment = journal.now()
        if args["state"] == "begun":
            # This code runs in a child of the process that is known to the admin.
            run = report.begin(run, host=args["host"], moment=args["started_at"], pid=os.getppid(), is_alive=_is_alive)
            moment = args["started_at"]
        run = {**run, **args["facts"]}
        if args["phase"]:
            run = report.enter_phase(run, phase=args["phase"], moment=moment)
        if args["state"] == "problem":
            return report.note_problem(run, task=args["task"], reason=args["reason"])
        return report.finish(run, moment=moment) if args["state"] == "finished" else run

    @staticmethod
    def _conclude(run: report.Run, *, folder: pathlib.Path, keep: int) -> dict[str, str]:
        stem = run["started_at"].replace(":", "").replace(".", "")
        files = {kind: folder / f"{stem}.{kind}" for kind in ("json", "md")}
        write(files["json"], json.dumps(run, indent=2) + "\n")
        write(files["md"], report.markdown(run))
        prune(folder, keep=keep, kinds=files)
        lines = [*report.table(run), "", *(f"  Report: {file}" for file in files.values())]
        Display().display("\n".join(["", *lines, ""]), color=None if run["verdict"] == report.PASSED else "red")
        return {kind: str(file) for kind, file in files.items()}


def _is_alive(pid: int) -> bool:
    """Whether a process of this number is there; after a restart of the machine it may be another."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True
