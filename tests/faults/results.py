"""What trials ended in, on disk: a line for each as soon as it ends, so that a run that is cut off loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.faults.model import Fault, Result, Sample, Verdict


class Results:
    """The results of one kind of host, guarded or not.

    The file keeps the last line of each trial. A line counts as long as the fault and what guards the host are what
    they were, and nothing kept the harness from a verdict.

    :arg program: A digest of what guards the hosts.
    """

    def __init__(self, file: Path, program: str) -> None:
        """Read what there is already, and leave half a line, of a run that was killed, behind."""
        self._file = file
        self._program = program
        self._rows = {(row["id"], row["debian"]): row for row in read_rows(file)}
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_suffix(".new")
        whole.write_text("".join(map(as_line, self._rows.values())), encoding="utf-8")
        whole.replace(file)

    def add(self, result: Result) -> None:
        """Write down what became of a trial."""
        row = {**as_data(result), "version": self._version(result.fault)}
        self._rows[result.fault.id, result.suite] = row
        with self._file.open("a", encoding="utf-8") as file:
            file.write(as_line(row))

    def forget(self, trials: Iterable[tuple[Fault, str]]) -> None:
        """Have trials done anew; what the file says of them is replaced as that happens."""
        for fault, suite in trials:
            self._rows.pop((fault.id, suite), None)

    def find(self, fault: Fault, suite: str) -> Result | None:
        """Return what became of a trial; None where that is not known of the fault and the guard of now."""
        row = self._rows.get((fault.id, suite))
        if row is None or row["version"] != self._version(fault) or row["trouble"]:
            return None
        return from_data(row, fault)

    def of(self, trials: Iterable[tuple[Fault, str]]) -> list[Result]:
        """Return all results that are known of some trials."""
        found = (self.find(fault, suite) for fault, suite in trials)
        return [result for result in found if result is not None]

    def _version(self, fault: Fault) -> str:
        return f"{self._program} {fault.digest()}"


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a file, none where there is no such file."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.rpartition("\n")[0].splitlines()]


def as_line(row: dict[str, Any]) -> str:
    """Return a row as a line of the file."""
    return json.dumps(row) + "\n"


def as_data(result: Result) -> dict[str, Any]:
    """Return a result for programs."""
    return {
        "id": result.fault.id,
        "debian": result.suite,
        "title": result.fault.title,
        "verdict": result.verdict.kind,
        "seconds": round(result.verdict.seconds, 1),
        "samples": [[round(sample.at, 1), sample.failed] for sample in result.samples],
        "printed": result.printed,
        "journal": result.journal,
        "trouble": result.trouble,
        "out_of_reach": result.fault.out_of_reach,
    }


def from_data(row: dict[str, Any], fault: Fault) -> Result:
    """Read what `as_data` wrote."""
    return Result(
        fault,
        row["debian"],
        Verdict(row["verdict"], row["seconds"]),
        [Sample(at, failed) for at, failed in row["samples"]],
        row["printed"],
        row["journal"],
        row["trouble"],
    )
