"""The playbook `drift` as an admin calls it, on a lab, and what it has found."""

from __future__ import annotations

import fnmatch
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from story import Run, Story, new_story  # noqa: E402  found by the line above

__all__ = ["HOSTS", "ROOT", "Drift", "missing", "new_story"]
HOSTS = ("lb-01", "web-01", "web-02")


@dataclass
class Drift:
    """The playbook `drift` on the lab, and its last report."""

    story: Story
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """Where the reports are."""
        return self.story.folder / "drift"

    def __call__(self, mode: str = "check", *arguments: str, **variables: Any) -> Run:
        """Run it, and read its report."""
        wanted = {"drift_mode": mode, "drift_directory": self.directory, **variables}
        (self.directory / "latest.json").unlink(missing_ok=True)
        run = self.story.play("drift", wanted, *arguments)
        latest = self.directory / "latest.json"
        self.report = json.loads(latest.read_text(encoding="utf-8")) if latest.exists() else {}
        return run

    def found(self, *, outcome: str = "") -> dict[str, dict[str, str]]:
        """Return the classes of the findings by host and id."""
        return {
            host["name"]: {
                each["id"]: each["class"] for each in host["findings"] if not outcome or each["outcome"] == outcome
            }
            for host in self.report["hosts"]
        }

    def hand(self, host: str, command: str) -> str:
        """Do something as root by the test's own hand."""
        return self.story.hand(host, "bash", "-c", command)


def missing(found: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """Return what was not found as it should have been."""
    return {
        key: kind
        for key, kind in wanted.items()
        if not any(fnmatch.fnmatchcase(name, key) and its == kind for name, its in found.items())
    }
