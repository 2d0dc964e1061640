# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL's clone plugin: a copy of the server's files, which shows one moment near its end.

The plugin copies files, then the pages that were changed meanwhile, and last the log of what was changed during that.
The moment is where the log is cut off. Writers have to be held there, but need not be while the files are copied.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import shutil
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import files, scratch
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session, literal

# This part of the files is copied while writers go on. Where the rest takes less time than it does to hold them, or
# than the server needs to say how far it is (a second), they are held too late: it is tried again with a larger rest.
_PARTS = (0.9, 0.5, 0.0)
_POLL_SECONDS = 0.02
_PROGRESS = (
    "SELECT STAGE, progress.STATE, DATA, ESTIMATE FROM performance_schema.clone_progress progress"
    " JOIN performance_schema.clone_status status USING (ID) WHERE PID = {number}"
)


class Stage(t.NamedTuple):
    """How far a stage of a clone is: a word, and bytes."""

    state: str
    done: int
    total: int


def clone(
    *, place: Path, cloner: Session, watcher: Session, hold: t.Callable[[], None], release: t.Callable[[], None]
) -> None:
    """Clone the server, and hold its writers as late as can be; they are held when this returns.

    :arg place: The directory that MySQL makes.
    :arg watcher: Another session, on which nothing but this goes on.
    :arg hold: Holds all writers.
    :arg release: Lets them go on.
    """
    install(session=cloner)
    for part in _PARTS:
        if _clone_once(place=place, cloner=cloner, watcher=watcher, hold=hold, release=release, part=part):
            return
        shutil.rmtree(place)


def _clone_once(
    *,
    place: Path,
    cloner: Session,
    watcher: Session,
    hold: t.Callable[[], None],
    release: t.Callable[[], None],
    part: float,
) -> bool:
    """Clone, and hold writers when this part of the files is copied; tell whether that was early enough."""
    number = int(cloner.rows("SELECT CONNECTION_ID()")[0][0])
    held = part == 0.0
    if held:
        hold()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        job = pool.submit(cloner.execute, f"CLONE LOCAL DATA DIRECTORY = {literal(str(place))}")
        try:
            while not held and not job.done() and not has_copied(_stages(watcher, number), part=part):
                time.sleep(_POLL_SECONDS)
            if not held and not job.done():
                hold()
                held = is_before_its_moment(_stages(watcher, number))
                if not held:
                    release()
            job.result()
        except BaseException:
            with contextlib.suppress(WebstackError):  # it has ended by itself
                watcher.execute(f"KILL QUERY {number}")
            release()
            raise
    return held


def has_copied(stages: t.Mapping[str, Stage], *, part: float) -> bool:
    """Tell whether this part of the files is copied."""
    copy = stages.get("FILE COPY", Stage("Not Started", 0, 0))
    return copy.state == "Completed" or (copy.total > 0 and copy.done >= part * copy.total)


def is_before_its_moment(stages: t.Mapping[str, Stage]) -> bool:
    """Tell whether the log that a clone copies last is not cut off yet.

    That is done before the server calls its copy begun, and after it has begun with the pages.
    """
    return "PAGE COPY" in stages and stages["PAGE COPY"].state == "Not Started"


def _stages(session: Session, number: int) -> dict[str, Stage]:
    """Ask how far the clone of a connection is; of none but that, since the server remembers its last one."""
    rows = session.rows(_PROGRESS.format(number=number))
    return {str(stage): Stage(str(state), int(done or 0), int(total or 0)) for stage, state, done, total in rows}


def refuse_others(*, tables: t.Sequence[str]) -> None:
    """Refuse tables that the plugin would leave empty."""
    if tables:
        raise WebstackError(
            f"MySQL clones InnoDB tables alone, and these would come empty: {', '.join(tables[:5])}. Nothing was "
            "dumped. Take a logical dump, or convert them: ALTER TABLE … ENGINE = InnoDB",
        )


@contextlib.contextmanager
def directory(*, session: Session, name: str) -> t.Iterator[Path]:
    """A place where MySQL may put a clone, removed at the end: its confinement lets it write to few."""
    home = str(session.rows("SELECT @@secure_file_priv")[0][0] or "/var/lib/mysql-files")
    place = Path(home) / f"webstack-clone-{name}"
    files.ensure_private_directory(place)
    scratch.own_by_service(place)
    try:
        yield place / "data"
    finally:
        # What cannot be removed must not hide why a clone failed.
        shutil.rmtree(place, ignore_errors=True)


def install(*, session: Session) -> None:
    """Load the plugin where it is not."""
    if not session.rows("SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'"):
        session.execute("INSTALL PLUGIN clone SONAME 'mysql_clone.so'")
