"""The stack on bare machines, and the guard that the outage's command runs into."""

from __future__ import annotations

import pytest
from story import Run, Story

TYPED = (
    "ufw deny 22",
    "ufw insert 1 deny 22",
    "ufw delete allow 22/tcp",
    "ufw default deny incoming",
)


def test_bare_machines_become_the_stack(site: Run) -> None:
    assert set(site.changed) == {"lb-01", "web-01", "web-02"}


def test_second_run_changes_nothing(story: Story, site: Run) -> None:
    again = story.play("site").require_success()
    assert set(again.recap) >= set(site.changed)
    assert again.changed == {}


def test_check_mode_finds_nothing_to_change(story: Story, site: Run) -> None:
    check = story.play("site", None, "--check", "--diff").require_success()
    assert set(check.recap) >= set(site.changed)
    assert check.changed == {}


def test_nothing_has_drifted(story: Story, site: Run) -> None:
    look = story.play("drift").require_success()
    assert set(look.recap) >= set(site.changed)
    assert "Verdict: clean" in look.output


@pytest.mark.usefixtures("site")
def test_what_has_drifted_is_found_and_corrected(story: Story) -> None:
    story.hand("web-02", "sh", "-c", "echo '# by hand' >> /etc/nginx/nginx.conf; ufw allow 9999/tcp")
    corrected = story.play("drift", {"drift_mode": "correct"})
    assert corrected.code == 16, corrected.tail
    assert "web-02  drift     /etc/nginx/nginx.conf differs in content [new, corrected]" in corrected.output
    assert "Verdict: corrected (1 drift, 1 extra; 2 corrected" in corrected.output
    assert story.play("drift").require_success().code == 0


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("command", TYPED)
def test_ssh_survives(story: Story, command: str) -> None:
    typed = story.ssh("web-01", "sudo", *command.split())
    # There may be no such rule to delete; what counts is that the door stays open.
    assert typed.returncode == 0 or "delete" in command, typed.stderr
    assert story.lets_in("web-01", version=4)
    assert story.lets_in("web-01", version=6)
