"""The outage, and what there is to see while it is repaired."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from story import Run, Story
from traffic import Mix, Result, Traffic

LOST, SURVIVOR, REPLACEMENT = "web-01", "web-02", "spare"
# Users enough to notice every gap, and few enough to leave a small machine to the rebuild.
USERS = Mix(keep_alive=1, fresh=2, idle=1)
PAUSE = 0.05


@dataclass(frozen=True)
class Rebuilt:
    """A server that was lost and rebuilt.

    `attempts` are new connections to the lost machine's SSH port: those that proved the lockout,
    and those during the rebuild.
    """

    run: Run
    old_address: str
    old_key: str
    new_address: str
    locked_out: bool
    attempts_to_prove_it: int
    attempts: int
    requests: Result
    report: dict[str, Any]


def lose_and_rebuild(story: Story) -> Rebuilt:
    """Lock web-01 out as in the outage, and rebuild it on the spare machine while users go on."""
    old_address, old_key = story.address(LOST), story.host_key(LOST)
    with Traffic(story.url, mix=USERS, pause=PAUSE) as traffic:
        with story.open_shell(LOST) as shell:
            story.take_guard_off(shell)
            shell.type("sudo ufw deny 22")
        story.count_ssh_attempts(LOST)
        locked_out = not story.lets_in(LOST)
        to_prove_it = story.ssh_attempts(LOST)
        story.count_ssh_attempts(LOST)
        run = story.play("rebuild_web", story.rebuild_variables(LOST, REPLACEMENT)).require_success()
        attempts = story.ssh_attempts(LOST)
        requests = traffic.stop()
    story.machines[LOST] = REPLACEMENT
    return Rebuilt(
        run=run,
        old_address=old_address,
        old_key=old_key,
        new_address=story.address(REPLACEMENT),
        locked_out=locked_out,
        attempts_to_prove_it=to_prove_it,
        attempts=attempts,
        requests=requests,
        report=newest_report(story.folder),
    )


def newest_report(folder: Path) -> dict[str, Any]:
    """Read what the last rebuild wrote about itself below an admin's folder."""
    files = folder.glob(".webstack/rebuild/*/report-*.json")
    report: dict[str, Any] = json.loads(max(files).read_text(encoding="utf-8"))
    return report
