"""A lab with the whole stack."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest

from tests.drift.playbook import HOSTS, ROOT, Drift, new_story


@pytest.fixture(scope="session")
def drift() -> Iterator[Drift]:
    """The provisioned stack; DRIFT_LAB names a lab that is there already, and stays."""
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
    log = ROOT / ".cache" / "log" / "drift-playbooks.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    kept = os.environ.get("DRIFT_LAB", "")
    story = new_story(kept or f"drift-{checkout}", log=log)
    try:
        if kept:
            story.machines = {host: host for host in HOSTS}
            story.folder.mkdir(parents=True, exist_ok=True)
        else:
            story.begin((*HOSTS, "spare"))
            story.play("site").require_success()
        yield Drift(story)
    finally:
        if not kept:
            story.end()
