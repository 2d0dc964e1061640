"""Bad input: each a clear message that names the next command, and nothing is changed anywhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from story import DATABASE, Run, Story, wait_for

pytestmark = pytest.mark.usefixtures("nothing_changes")


def refused(run: Run, *messages: str) -> None:
    """Assert that a run failed with all of these messages; `nothing_changes` looks after the rest."""
    assert run.code != 0
    for message in messages:
        assert message in run.words


# -- damaged dumps: on web-01, whose database is still empty ---------------------------


@pytest.fixture
def damaged(dump: Path, tmp_path: Path) -> Path:
    copy = tmp_path / dump.name
    shutil.copytree(dump, copy)
    return copy


def restore(story: Story, dump: Path, **more: str) -> Run:
    wanted = {"restore_host": "web-01", "restore_dump": dump, "restore_confirm": "web-01"}
    return story.play("restore_database", {**wanted, **more})


def test_truncated_dump(story: Story, damaged: Path) -> None:
    file = damaged / f"{DATABASE}.data-01.sql.zst"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-100])
    refused(
        restore(story, damaged),
        "is refused, nothing was changed:",
        f"has {size - 100} bytes instead of {size}: it is cut off or was changed.",
        "ansible-playbook phoenix.webstack.back_up_database",
    )


def test_dump_with_a_flipped_byte(story: Story, damaged: Path) -> None:
    file = damaged / f"{DATABASE}.data-01.sql.zst"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused(
        restore(story, damaged),
        "is refused, nothing was changed:",
        "its content is damaged.",
        "ansible-playbook phoenix.webstack.back_up_database",
    )


def test_restore_without_confirmation(story: Story, dump: Path) -> None:
    refused(
        restore(story, dump, restore_confirm=""),
        "The restore was not confirmed: the name typed is not `web-01`. Nothing was changed.",
        "-e restore_confirm=web-01",
    )


# -- data that is somebody's -----------------------------------------------------------


@pytest.mark.usefixtures("clones")
def test_restore_over_foreign_data(story: Story, dump: Path) -> None:
    """web-02 was filled by hand: this collection never restored it."""
    refused(
        restore(story, dump, restore_host="web-02", restore_confirm="web-02"),
        f"Database `{DATABASE}` on web-02 already holds",
        "was not restored by this collection; nothing was changed.",
        f"mysql_restore_replace={DATABASE}",
    )


@pytest.mark.usefixtures("clones")
def test_restore_of_the_same_dump_again(story: Story, dump: Path) -> None:
    again = restore(story, dump).require_success()
    # The dump is handed over and removed; the database is left alone, as the fixture sees.
    assert "failed=0" in again.words


# -- rebuilds --------------------------------------------------------------------------


def rebuild(story: Story, machine: str = "spare", **other: str) -> Run:
    """Run a rebuild of web-01 in which something is other than it should be; an empty text takes it away."""
    given = {**story.rebuild_variables("web-01", machine), **other}
    return story.play("rebuild_web", {name: value for name, value in given.items() if value})


@pytest.mark.usefixtures("clones")
def test_unknown_host(story: Story) -> None:
    refused(
        rebuild(story, rebuild_host="web1"),
        "One thing stands in the way of the rebuild; nothing was changed:",
        "`web1` is no web server of the inventory (it has web-01, web-02). Did you mean web-01?",
        "See: ansible-inventory --graph",
    )


@pytest.mark.usefixtures("clones")
def test_misspelt_variable(story: Story) -> None:
    refused(
        rebuild(story, rebuild_adress="192.0.2.1"),
        "Misspelt variables; nothing was changed:",
        "`rebuild_adress` is not a variable of this collection; did you mean `rebuild_address`?",
        "Correct them in the inventory or on the command line and run again.",
    )


@pytest.mark.usefixtures("clones")
def test_wrong_confirmation(story: Story) -> None:
    refused(
        rebuild(story, rebuild_confirm="web-02"),
        "The rebuild was not confirmed: `web-02` is not `web-01`. Nothing was changed.",
        "Without a terminal, confirm with -e rebuild_confirm=web-01",
    )


@pytest.mark.usefixtures("clones")
def test_no_terminal_and_no_confirmation(story: Story) -> None:
    refused(
        rebuild(story, rebuild_confirm=""),
        "The rebuild was not confirmed: no name was typed. Nothing was changed.",
        "Without a terminal, confirm with -e rebuild_confirm=web-01",
    )


@pytest.mark.usefixtures("clones")
def test_unknown_host_key(story: Story) -> None:
    refused(
        rebuild(story, rebuild_host_key_fingerprint=""),
        f"The host key of {story.address('spare')} is not known, and the database would be sent there.",
        f"run again with -e rebuild_host_key_fingerprint={story.fingerprint('spare')}",
    )


@pytest.mark.usefixtures("clones")
def test_wrong_fingerprint(story: Story) -> None:
    refused(
        rebuild(story, rebuild_host_key_fingerprint=story.fingerprint("spare-02")),
        f"The server at {story.address('spare')} does not have the host fingerprint that was given.",
        story.fingerprint("spare"),
        "ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub",
        "Nothing was sent to it.",
    )


@pytest.mark.usefixtures("clones")
@pytest.mark.parametrize("given", ["", "the address of web-01"])
def test_address_of_the_lost_host(story: Story, given: str) -> None:
    lost = story.address("web-01")
    story.count_ssh_attempts("web-01")
    refused(
        rebuild(story, rebuild_address=lost if given else ""),
        f"{lost} is where the balancer looks for web-01: that is the lost server, and it is never contacted.",
        "-e rebuild_address=ADDRESS",
    )
    assert story.ssh_attempts("web-01") == 0


@pytest.mark.usefixtures("clones")
def test_address_of_another_server(story: Story) -> None:
    refused(
        rebuild(story, rebuild_address=story.address("web-02")),
        f"{story.address('web-02')} is the address of web-02, not of a replacement for web-01.",
    )


@pytest.mark.usefixtures("clones")
def test_replacement_that_holds_data(story: Story) -> None:
    with undone(
        lambda: story.hand("spare", "install", "-D", "/etc/hostname", "/var/lib/mysql/shop/orders.ibd"),
        lambda: story.hand("spare", "rm", "--recursive", "/var/lib/mysql"),
    ):
        refused(
            rebuild(story),
            "The replacement already holds data: database shop, not restored by this collection. It is never"
            " overwritten.",
            "sudo ls -l /var/lib/mysql",
        )
        assert story.hand("spare", "ls", "/var/lib/mysql/shop") == "orders.ibd\n"


@pytest.mark.usefixtures("clones")
def test_last_healthy_server(story: Story) -> None:
    with undone(
        lambda: story.hand("web-01", "systemctl", "stop", "nginx"),
        lambda: story.hand("web-01", "systemctl", "start", "nginx"),
    ):
        wait_for("web-01 down at the balancer", lambda: "web-01" not in story.serving())
        refused(
            rebuild(story, rebuild_host="web-02", rebuild_confirm="web-02"),
            "web-02 is the last healthy server behind lb-01: with it, the service would go.",
            "ansible-playbook phoenix.webstack.check_access",
        )
    wait_for("web-01 back at the balancer", lambda: "web-01" in story.serving())


@pytest.mark.usefixtures("clones")
def test_unreachable_balancer(story: Story) -> None:
    with story.ssh_shut("lb-01"):
        assert not story.lets_in("lb-01")
        refused(
            rebuild(story),
            "Balancer lb-01: SSH does not get in:",
            "Every balancer is repointed, or none.",
            "ansible-playbook phoenix.webstack.check_access",
        )


@pytest.mark.usefixtures("clones")
def test_everything_wrong_at_once(story: Story) -> None:
    """One run names all that stands in the way."""
    with story.ssh_shut("lb-01"), story.ssh_shut("web-02"):
        run = rebuild(story, rebuild_host_key_fingerprint="")
        refused(
            run,
            "3 things stand in the way of the rebuild; nothing was changed:",
            "Balancer lb-01: SSH does not get in:",
            "web-02 cannot give the data: SSH does not get in:",
            "is not known, and the database would be sent there.",
        )


@pytest.mark.usefixtures("clones")
def test_check_mode_shows_the_plan(story: Story) -> None:
    run = story.play("rebuild_web", story.rebuild_variables("web-01", "spare"), "--check").require_success()
    assert f"address {story.address('web-01')} → {story.address('spare')}" in run.words
    assert run.changed == {}


@contextmanager
def undone(do: Callable[[], object], undo: Callable[[], object]) -> Iterator[None]:
    """Do something for the length of a block."""
    do()
    try:
        yield
    finally:
        undo()
