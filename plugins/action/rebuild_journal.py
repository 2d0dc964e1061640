# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the journal of a rebuild, and make the report of it (controller only)."""

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import journal, report

ARGUMENTS: dict[str, t.Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["begun", "phase", "finished"], "default": "phase"},
    "host": {"type": "str"},
    "address": {"type": "str"},
    "phase": {"type": "str"},
    "facts": {"type": "dict", "default": {}},
    "started_at": {"type": "str"},
}
REQUIRED = [("state", "begun", ("host", "address", "started_at")), ("state", "phase", ("phase",))]


class ActionModule(ActionBase):
    """See the module documentation of ``rebuild_journal``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Write the next state of the journal; its own files are no change of any host."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS, required_if=REQUIRED)
        path = pathlib.Path(args["path"])
        result["changed"] = False
        try:
            run = self._next(args, journal.load(path))
            journal.save(path, json.dumps(run, indent=2) + "\n")
            if args["state"] == "finished":
                result.update(self._report(run, folder=path.parent))
        except WebstackError as error:
            result.update(failed=True, msg=error.message)
        result["run"] = run
        return result

    @staticmethod
    def _next(args: dict[str, t.Any], run: journal.Run) -> journal.Run:
        moment = journal.now()
        if args["state"] == "begun":
            begun = journal.begin(
                run, host=args["host"], address=args["address"], moment=args["started_at"], facts=args["facts"]
            )
            return journal.enter(begun, phase=args["phase"], moment=args["started_at"]) if args["phase"] else begun
        run = {**run, **args["facts"]}
        if args["state"] == "finished":
            return journal.finish(run, moment=moment)
        return journal.enter(run, phase=args["phase"], moment=moment)

    @staticmethod
    def _report(run: journal.Run, *, folder: pathlib.Path) -> dict[str, t.Any]:
        summary = report.summarise(run)
        stem = f"report-{run['attempt_started_at'].replace(':', '').replace('.', '')}"
        files = {kind: folder / f"{stem}.{kind}" for kind in ("json", "md")}
        journal.save(files["json"], json.dumps(summary, indent=2) + "\n")
        journal.save(files["md"], report.markdown(summary))
        lines = [*report.table(summary), "", *(f"  Report: {file}" for file in files.values())]
        Display().display("\n".join(["", *lines, ""]))
        return {"report": summary, "files": {kind: str(file) for kind, file in files.items()}}
