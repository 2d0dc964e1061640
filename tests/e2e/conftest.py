"""One lab for all end to end tests, and the stations of the story that they share.

The files and the tests in them run in the order of the story: what loses a server comes after what
needs it. Each station prepares those before it, so that a single test can be run alone as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from outage import Rebuilt, lose_and_rebuild  # noqa: E402  found by the line above
from story import DATABASE, Run, Story, new_story  # noqa: E402

HOSTS = ("lb-01", "web-01", "web-02", "spare", "spare-02", "spare-03")


def pytest_configure() -> None:
    """Take a request to end as Ctrl-C, which lets the lab be removed."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what the last run said."""
    report = yield
    told = getattr(item, "funcargs", {}).get("story")
    if report.failed and told is not None and told.log.exists():
        lines = told.log.read_text(errors="replace").splitlines()[-60:]
        report.sections.append((f"the end of {told.log}", "\n".join(lines)))
    return report


# -- stations --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def story() -> Iterator[Story]:
    """Six bare machines, three of them spare."""
    # Two checkouts never share a lab.
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
    log = ROOT / ".cache" / "log" / "e2e-playbooks.log"
    log.unlink(missing_ok=True)
    told = new_story(f"e2e-{checkout}", log=log)
    try:
        told.begin(HOSTS)
        keep_binary_log(told)
        yield told
    finally:
        told.end()


def keep_binary_log(story: Story) -> None:
    """Have the survivor keep one, which MariaDB does not by itself."""
    path = Path(story.inventory, "host_vars", "web-02", "database.yml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mysql_settings:\n  log_bin: binlog\n", encoding="utf-8")


@pytest.fixture(scope="session")
def site(story: Story) -> Run:
    """The stack, provisioned once; its databases are empty."""
    return story.play("site").require_success()


@pytest.fixture(scope="session")
def dump(story: Story, site: Run) -> Path:
    """A dump of web-02's database on the controller."""
    assert site.code == 0
    story.load_sample("web-02")
    wanted = {"back_up_hosts": "web-02", "back_up_fetch_to": story.folder / "dumps"}
    story.play("back_up_database", wanted).require_success()
    (found,) = (story.folder / "dumps").iterdir()
    return found


@pytest.fixture(scope="session")
def clones(story: Story, dump: Path) -> Run:
    """web-01 as a clone of web-02, made with the collection's own means."""
    wanted = {"restore_host": "web-01", "restore_dump": dump, "restore_confirm": "web-01"}
    return story.play("restore_database", wanted).require_success()


@pytest.fixture(scope="session")
def rebuilt(story: Story, clones: Run) -> Rebuilt:
    """web-01 locked out as in the outage, and rebuilt on the spare machine while users go on."""
    assert clones.code == 0
    with writing_after_the_dump(story):
        return lose_and_rebuild(story)


WRITE_LATER = """
count() { ls -d /var/backups/webstack/mysql/*Z-web-02 2>/dev/null | wc -l; }
before=$(count)
while [ "$(count)" -eq "$before" ]; do sleep 0.05; done
mariadb sakila -e "INSERT INTO actor (first_name, last_name) VALUES ('WRITTEN', 'LATER'); COMMIT;
  UPDATE film SET title = 'WRITTEN LATER' WHERE film_id = 7; COMMIT"
"""


@contextlib.contextmanager
def writing_after_the_dump(story: Story) -> Iterator[None]:
    """Write to the survivor as soon as its next dump is there, and so behind it."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        written = pool.submit(story.hand, "web-02", "timeout", "120", "sh", "-c", WRITE_LATER)
        yield
        written.result()


# -- what must not change --------------------------------------------------------------


@pytest.fixture
def nothing_changes(story: Story) -> Iterator[None]:
    """Compare every host, and the admin's inventory, before and after a test."""
    before = everything(story)
    yield
    after = everything(story)
    assert {host: differences(before[host], after[host]) for host in before if before[host] != after[host]} == {}


def everything(story: Story) -> dict[str, Any]:
    """Return the state of every machine, and of the files a rebuild writes on the controller."""
    with ThreadPoolExecutor() as pool:
        shown: dict[str, Any] = dict(zip(HOSTS, pool.map(story.snapshot, HOSTS)))
    folder = story.lab.folder
    files = [folder / "known_hosts", *folder.glob("inventory/**/*"), *folder.glob("work/**/journal.json")]
    shown["controller"] = {str(path): path.read_text() for path in files if path.is_file()}
    return shown


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Name what differs between two states."""
    found = []
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{key}: {line}" for line in differences(old, new)]
        elif old != new:
            found.append(f"{key}: {old} -> {new}")
    return found


@pytest.fixture(scope="session")
def same_data(story: Story) -> Callable[[], None]:
    """Return a check that the two web servers hold the same, down to the last row and grant."""

    def check() -> None:
        exports = story.export("web-01"), story.export("web-02")
        assert exports[0] == exports[1]
        assert len(exports[0]) == 16, "every table of the sample has rows"
        objects = story.objects("web-01")
        assert objects == story.objects("web-02")
        kinds = {name.split()[0] for name in objects}
        assert kinds == {"view", "trigger", "routine", "event"}
        grants = story.grants("web-01")
        assert grants == story.grants("web-02")
        assert any(f"`{DATABASE}`" in line and "app" in line for line in grants)

    return check
