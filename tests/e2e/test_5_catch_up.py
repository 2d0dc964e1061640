"""A rebuild that cannot replay what the survivor has written since its dump: it goes back to the dump, and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from outage import Rebuilt, newest_report
from story import Story

READER = "/usr/bin/mariadb-binlog"
# Replays what was written, and a row less: as a filter, or a statement that depends on its server, would have it.
LYING = f"""#!/bin/sh
{READER}.real "$@" && echo "DELETE FROM sakila.payment ORDER BY payment_id LIMIT 1; COMMIT;"
"""


@pytest.fixture
def lying_log(story: Story, rebuilt: Rebuilt) -> Iterator[None]:
    """A survivor whose binary log is not what happened."""
    assert rebuilt.run.code == 0
    story.hand("web-02", "sh", "-c", f"mv {READER} {READER}.real; cat > {READER}; chmod 755 {READER}", stdin=LYING)
    yield
    story.hand("web-02", "mv", f"{READER}.real", READER)


@pytest.mark.usefixtures("lying_log")
def test_a_replay_that_is_not_what_happened_is_not_believed(story: Story, same_data: Callable[[], None]) -> None:
    run = story.play("rebuild_web", story.rebuild_variables("web-01", "spare-03")).require_success()
    story.machines["web-01"] = "spare-03"
    report = newest_report(story.folder)
    reason = report["changes"]["reason"]
    assert reason.startswith("what came after the dump could not be replayed: After the replay the data is not what")
    assert "table `payment` has 16048 rows instead of 16049" in reason
    assert reason in " ".join(run.words.split())
    assert report["proof"] == {"tables": 16, "rows": 47274}
    same_data()
