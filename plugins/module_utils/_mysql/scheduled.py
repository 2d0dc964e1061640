# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the timer: it dumps as the module `mysql_dump` does, and tells the journal and Prometheus.

``dump`` runs as the service's own user. ``prepare`` runs as root before it, and ``conclude`` after it, however it has
ended: that clears what a killed dump has left, and writes the metrics, whose folder is not the service's.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pwd
import signal
import sys
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import backup, describe, dump, files
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests

FOLDER = Path("/usr/local/lib/webstack-mysql-backup")
COMMAND = Path("/usr/local/sbin/webstack-mysql-backup")
SETTINGS = Path("/etc/webstack-mysql-backup.json")

INFO, NOTICE, ERROR = "<6>", "<5>", "<3>"  # how the journal is told of what weight a line is
# The variables by which systemd tells ExecStopPost= how the service has ended, and the word for a good end.
HOW, GOOD = ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"), "success"


def read_settings(path: Path = SETTINGS) -> dict[str, t.Any]:
    """Read the file that the role writes.

    It has options of the module `mysql_dump`, the service's ``user``, and ``metrics``, which is a path or empty.

    :raises WebstackError: It is not what the role writes.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        settings = {name: given.get(name, option.get("default")) for name, option in backup.ARGUMENTS.items()}
        settings["databases"] = [str(name) for name in given["databases"]]
        # A number that was given on a command line has come as text.
        whole = [
            name for name, each in backup.ARGUMENTS.items() if each["type"] == "int" and settings[name] is not None
        ]
        settings.update((name, int(settings[name])) for name in whole)
        return {**settings, "user": str(given["user"]), "metrics": str(given.get("metrics") or "")}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WebstackError(
            f"{path} cannot be used: {type(error).__name__}: {error}. Nothing was dumped. The role mysql_backup writes "
            "it: ansible-playbook phoenix.webstack.provision_web",
        ) from error


def take(settings: t.Mapping[str, t.Any]) -> None:
    """Dump, and say so.

    :raises WebstackError: There is no dump.
    """
    request = backup.request_from(settings, origin=manifests.SCHEDULE)
    names = ", ".join(request.options.databases)
    say(INFO, f"Dumping {names} to {request.options.directory} ({request.method})")
    taken = backup.take(request=request)
    for name in taken["removed_remains"]:
        say(NOTICE, f"Removed {name}, which an earlier dump that was cut off has left")
    say(INFO, summary(taken))
    if taken["removed_sets"]:
        say(INFO, f"Removed, since their time is over: {', '.join(taken['removed_sets'])}")


def summary(taken: t.Mapping[str, t.Any]) -> str:
    """Say in one line what a dump has."""
    databases = taken["manifest"]["databases"]
    return (
        f"Dumped {taken['id']}: {describe.count_tables(databases=databases)} tables with "
        f"{describe.count_rows(databases=databases)} rows, {files.human_size(taken['size'])} in "
        f"{taken['seconds']:.1f} s, writers held for {taken['lock_seconds']:.2f} s"
    )


def prepare(settings: t.Mapping[str, t.Any]) -> None:
    """Have the directory of the dumps, and what root has put into it, belong to the service's user."""
    directory = Path(settings["directory"])
    files.ensure_private_directory(directory)
    owner = pwd.getpwnam(settings["user"])
    files.give(directory, uid=owner.pw_uid, gid=owner.pw_gid)


def conclude(settings: t.Mapping[str, t.Any]) -> None:
    """Clear what a killed dump has left, and write the metrics."""
    directory = Path(settings["directory"])
    how = [os.environ.get(name, "") for name in HOW]
    succeeded = how[0] == GOOD
    if not succeeded:
        say(ERROR, f"There is no new dump: the service ended by {' '.join(filter(None, how)) or 'nobody knows what'}")
        clear(directory)
    newest = backup.newest_whole(directory=directory)
    if newest is None:
        say(ERROR, f"There is no whole dump in {directory}")
    elif not succeeded:
        say(NOTICE, f"The last good dump is {newest['id']}, of {newest['manifest']['snapshot_at']}")
    if settings["metrics"]:
        text = metrics(newest=newest, succeeded=succeeded, now=dump.utc_now())
        write_metrics(Path(settings["metrics"]), text)


def clear(directory: Path) -> None:
    """Remove what a killed dump has left, unless another dump is under way."""
    if not directory.is_dir():
        return
    try:
        with files.exclusive_lock(path=directory / backup.LOCK_FILE, what="Another dump"):
            files.hand_over(directory / backup.LOCK_FILE, like=directory)
            for name in dump.remove_remains(directory=directory):
                say(NOTICE, f"Removed {name}, which the dump that was cut off has left")
    except WebstackError as error:
        say(NOTICE, error.message)


def metrics(*, newest: dict[str, t.Any] | None, succeeded: bool, now: str) -> str:
    """The metrics as text for Prometheus.

    The time of the last success is that of the newest whole dump, whoever has taken it, as `drift` judges it too.

    :arg newest: As `backup.newest_whole` gives it.
    """
    values = {
        "last_run_timestamp_seconds": ("When the timer's service last ended.", f"{seconds_of(now):.0f}"),
        "last_run_success": ("Whether it ended with a new dump.", str(int(succeeded))),
        **(metrics_of(newest["manifest"]) if newest else {}),
    }
    lines = []
    for name, (description, value) in values.items():
        full = f"phoenix_mysql_backup_{name}"
        lines += [f"# HELP {full} {description}", f"# TYPE {full} gauge", f"{full} {value}"]
    return "\n".join(lines) + "\n"


def metrics_of(manifest: manifests.Manifest) -> dict[str, tuple[str, str]]:
    """What is told of the newest whole dump: description and value by name."""
    databases = manifest["databases"]
    size = sum(entry["size"] for entry in manifests.entries_of(manifest))
    duration = seconds_of(manifest["finished_at"]) - seconds_of(manifest["started_at"])
    return {
        "last_success_timestamp_seconds": (
            "The moment that the newest whole dump shows.",
            f"{seconds_of(manifest['snapshot_at']):.0f}",
        ),
        "duration_seconds": ("How long it took.", f"{duration:.3f}"),
        "lock_seconds": ("How long writers were held for it.", f"{manifest.get('lock_seconds', 0):.3f}"),
        "size_bytes": ("Bytes of its files.", str(size)),
        "tables": ("Tables in it.", str(describe.count_tables(databases=databases))),
        "rows": ("Rows in it.", str(describe.count_rows(databases=databases))),
    }


def seconds_of(moment: str) -> float:
    """The seconds since 1970 of a time in a manifest."""
    return datetime.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def write_metrics(path: Path, text: str) -> None:
    """Replace the file of the metrics, for everybody to read; whoever reads it finds the old or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        say(ERROR, f"The metrics could not be written to {path}: {error.strerror}")


def say(weight: str, text: str) -> None:
    """Tell the journal, which has a line for a message."""
    sys.stderr.write(f"{weight}{' '.join(text.split())}\n")
    sys.stderr.flush()


COMMANDS: dict[str, t.Callable[[t.Mapping[str, t.Any]], None]] = {
    "prepare": prepare,
    "dump": take,
    "conclude": conclude,
}


def _stop(_number: int, _frame: t.Any) -> t.NoReturn:
    raise SystemExit(f"{ERROR}Stopped")


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Entry point of the program; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog=COMMAND.name, description="Dump the databases of this host, as its timer does."
    )
    parser.add_argument("command", choices=sorted(COMMANDS))
    command = parser.parse_args(arguments).command
    # systemctl stop, a timeout or a shutdown: the dump removes what it has begun.
    signal.signal(signal.SIGTERM, _stop)
    try:
        COMMANDS[command](read_settings())
    except WebstackError as error:
        say(ERROR, error.message)
        return 1
    except OSError as error:
        say(ERROR, f"{error}. There is no new dump")
        return 1
    return 0
