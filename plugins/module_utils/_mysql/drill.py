# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore for practice: into a server that nobody uses, proven like a real one, and thrown away."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import (
    files,
    preflight,
    restore,
    scratch,
    server_restore,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.session import Session


def rehearse(
    *,
    options: restore.RestoreOptions,
    connect: t.Callable[[], Session],
    lock: int,
) -> tuple[restore.Plan, dict[str, dict[str, t.Any]]]:
    """Restore a dump beside the live server, and leave nothing of it.

    :arg connect: Opens a session with the live server, which is only asked what it is.
    :returns: What was planned, and for each database its tables, rows and seconds.
    """
    live = connect()
    manifest = restore.read_set(options=options)
    place = server_restore.data_directory(live).parent
    engine = live.server.engine
    problems = preflight.judge_engine(manifest=manifest, server=live.server)
    problems += preflight.judge_space(needed=_size(manifest), free=files.free_bytes(place), path=place)
    if manifest["method"] == manifests.PHYSICAL:
        problems += server_restore.judge_copy(manifest=manifest, options=options, server=live.server)
    live.close()
    if problems:
        restore.refuse(options=options, problems=problems)
    directory = Path(tempfile.mkdtemp(prefix="webstack-drill-", dir=place))
    try:
        if manifest["method"] == manifests.PHYSICAL:
            plan = restore.Plan(
                manifest=manifest, actions=dict.fromkeys(manifest["databases"], preflight.LOAD), before={}
            )
            copy = server_restore.ServerRestore(options=options, plan=plan, connect=connect)
            return plan, copy.rehearse(directory=directory / "data")
        return _rehearse_text(options=options, manifest=manifest, engine=engine, directory=directory, lock=lock)
    except WebstackError as error:
        error.message = f"The drill failed, and the live server was not touched. {error.message}"
        raise
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _size(manifest: manifests.Manifest) -> int:
    return sum(database.get("bytes", 0) for database in manifest["databases"].values())


def _rehearse_text(
    *,
    options: restore.RestoreOptions,
    manifest: manifests.Manifest,
    engine: str,
    directory: Path,
    lock: int,
) -> tuple[restore.Plan, dict[str, dict[str, t.Any]]]:
    data = directory / "data"
    data.mkdir()
    scratch.own_by_service(directory)
    scratch.initialise(engine=engine, directory=data)
    with scratch.running(engine=engine, directory=data) as server:
        session = server.connect()
        definers = {each for entry in manifest["databases"].values() for each in entry.get("definers", [])}
        scratch.make_accounts(session=session, accounts=definers)
        own = dataclasses.replace(options, state_directory=directory / "state", socket=server.socket, replace=())
        files.ensure_private_directory(own.state_directory)
        plan = restore.make_plan(options=own, session=session)
        session.close()
        return plan, restore.Restore(options=own, plan=plan, connect=server.connect, lock=lock).run()
