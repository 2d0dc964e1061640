# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH: the guard on the host, and sshd's settings."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import (
    DRIFT,
    Difference,
    Item,
    compare_seen,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import install, login, paths, setup
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.daemon import SSHD
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import from_options
from ansible_collections.phoenix.webstack.plugins.module_utils._program import differing

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.around import Around


def observe_ssh_guard(params: t.Mapping[str, t.Any], around: Around) -> t.Iterator[Item]:
    """Compare the guard's settings, units and sshd's drop-in with what is wanted; its program is watched."""
    settings = from_options(params)
    try:
        server = setup.look_at_server(runner=around.runner)
    except WebstackError as error:
        yield Item(key="sshd", wanted="valid", differences=(Difference(error.message),))
        return
    wanted = setup.host_files(settings=settings, server=server)
    found = [
        Difference(
            f"{path} is not as the guard needs it",
            key=f"file:{path}",
            before=install.text_of(path),
            after=wanted[path][0],
            path=str(path),
        )
        for path in differing(wanted)
    ]
    # The other files depend on what the host has as well, which is no matter of what was applied.
    units = {str(path): text for path, (text, _mode) in wanted.items() if setup.UNIT_FOLDER in path.parents}
    yield Item(key="ssh_guard", wanted={**dataclasses.asdict(settings), **units}, differences=tuple(found))


def observe_sshd(around: Around) -> Item:
    """Compare what sshd makes of all its settings with what it made of them at the last apply."""
    shown = around.runner.run([SSHD, "-T"], check=False)
    if shown.rc != 0:
        words = (shown.stderr.strip().splitlines() or ["no reason was given"])[0]
        return Item(key="sshd", differences=(Difference(f"sshd refuses its settings, and would not start: {words}"),))
    now: dict[str, str] = {}
    for line in shown.stdout.splitlines():
        name, _blank, value = line.partition(" ")
        now[name] = f"{now[name]} {value}" if name in now else value
    before = around.record.seen.get("sshd")
    found = (
        [] if before is None else compare_seen(before=before, now=now, title="sshd's setting", key="sshd", added=DRIFT)
    )
    return Item(key="sshd", seen=now, differences=tuple(found))


def guard_paths() -> t.Iterator[str]:
    """Give the paths of the files that the guard brings beside its program."""
    yield from (str(path) for path in (*setup.LOGOUT_FILES, login.DROP_IN, paths.SETTINGS))
    units = (paths.UNIT, "ssh-lifeline.timer", "ssh.service.d/ssh-lifeline.conf")
    yield from (str(setup.UNIT_FOLDER / unit) for unit in units)
