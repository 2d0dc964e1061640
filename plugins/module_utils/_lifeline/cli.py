# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ssh-lifeline."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import socket
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import (
    guard,
    paths,
    report,
    rollback,
    service,
    watch,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import HostRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import load_settings
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.terminal import complain, say

VERSION = "0.2.0"
LOGOUT_SECONDS = 6.0  # a logout waits no longer than this


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(prog="ssh-lifeline", description="Keeps SSH reachable on this host.")
    top.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, text in (
        ("status", command_status, "show what the guard last saw and did"),
        ("check", command_check, "look at everything now and change nothing; exit code 1 where something hinders SSH"),
        ("heal", command_heal, "look at everything now and mend it"),
        ("accept", command_accept, "take the host as it is now for good, if a login works"),
        ("off", command_off, "switch the guard off until it is switched on again: SSH is then held by nobody"),
        ("on", command_on, "switch it on again; the host as it is now is taken for good, if a login works"),
        ("explain", command_explain, "show what is held, and what would be taken back if a login failed now"),
        ("logout", command_logout, "tell in a line whether the next login will work; shells run this at their end"),
        ("run", command_run, "be the guard; systemd starts this"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if name in ("status", "check", "heal", "accept", "explain"):
            command.add_argument("--json", action="store_true", help="for programs")
    rollback.add_commands(commands)
    return top


def command_run(_options: argparse.Namespace) -> int:
    """Be the guard."""
    service.run(settings=load_settings(), tell_systemd=tell_systemd)
    return 0


def read_status() -> dict[str, t.Any] | None:
    """Return what the guard last published; None where it never ran, or not since the boot."""
    try:
        status: dict[str, t.Any] = json.loads((paths.RUNTIME / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return status


def command_explain(options: argparse.Namespace) -> int:
    """Show what is held."""
    held = guard.Guard(settings=load_settings(), voice=report.Report(quiet=True)).explain()
    if options.json:
        say(json.dumps(held, indent=1))
        return 0
    for name, value in held.items():
        say(f"{name.replace('_', ' ')}:")
        for line in as_lines(value):
            say(f"  {line}")
    return 0


def as_lines(value: t.Any) -> list[str]:
    """Return a value of `explain` as lines for a person."""
    if isinstance(value, dict):
        return [f"{kind}: {line}" for kind, lines in value.items() for line in lines] or ["nothing yet"]
    if isinstance(value, list):
        return [str(each) for each in value] or ["none"]
    return [str(value) or "unknown"]


def command_logout(_options: argparse.Namespace) -> int:
    """Have everything looked at now, and tell in a line what came of it."""
    asked_at = time.time()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking, contextlib.suppress(BlockingIOError):
            asking.setblocking(False)  # where many have asked already, it will look anyway
            asking.sendto(b"look", str(paths.CONTROL))
    except OSError:
        say("SSH: the guard does not run, so nobody knows whether the next login will work: ssh-lifeline check")
        return 1
    status = read_status()
    while (status or {}).get("login_tried_at", 0) < asked_at and time.time() < asked_at + LOGOUT_SECONDS:
        time.sleep(0.1)
        status = read_status()
    say(logout_line(status or {}, asked_at=asked_at))
    return 0 if (status or {}).get("state") == "open" else 1


def logout_line(status: t.Mapping[str, t.Any], *, asked_at: float) -> str:
    """Return what an admin is told at the end of a session."""
    if status.get("hindrances"):
        problems = "; ".join(f"{subject}: {problem}" for subject, problem in status["hindrances"].items())
        return f"SSH: STAY LOGGED IN. The next login is hindered: {problems}"
    healed = [
        event["message"] for event in status.get("events", []) if event["kind"] == "healed" and event["at"] >= asked_at
    ]
    if healed:
        return f"SSH: the next login will work. It would not have, but was healed: {'; '.join(healed)}"
    if status.get("login_tried_at", 0) < asked_at:
        return "SSH: the guard is busy; `ssh-lifeline status` shows what it saw last"
    return "SSH: the next login will work; one was tried just now."


def command_status(options: argparse.Namespace) -> int:
    """Show the status that the guard publishes."""
    status = read_status()
    if status is None:
        complain(f"ssh-lifeline is not running here: systemctl status {paths.UNIT}")
        return 3
    if options.json:
        say(json.dumps(status, indent=1))
    else:
        age = time.time() - status["checked_at"]
        say(f"SSH is {status['state']} (seen {age:.0f} s ago; probe: {status.get('probe', 'none yet')})")
        for subject, problem in status["hindrances"].items():
            say(f"  {subject}: {problem}")
        for event in status["events"][-10:]:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
            say(f"  {at}  {event['kind']:6}  {event['subject']}: {event['message']}")
    return 0 if status["state"] == "open" else 1


def command_check(options: argparse.Namespace) -> int:
    """Look at everything and change nothing."""
    found = guard.Guard(settings=load_settings(), voice=report.Report(quiet=True)).problems()
    if options.json:
        say(json.dumps({"open": not found, "hindrances": found}, indent=1))
    elif found:
        say("\n".join(f"{subject}: {problem}" for subject, problem in found.items()))
    else:
        say("The next SSH login will work.")
    return 1 if found else 0


def command_heal(options: argparse.Namespace) -> int:
    """Look at everything and mend it."""
    voice = report.Report(quiet=True)
    one = guard.Guard(settings=load_settings(), voice=voice)
    one.step(set(watch.EVERYTHING))
    found = one.problems()
    if options.json:
        healed = [event.message for event in voice.events if event.kind == "healed"]
        say(json.dumps({"open": not found, "healed": healed, "hindrances": found}, indent=1))
    else:
        say("\n".join(f"{event.kind}: {event.message}" for event in voice.events) or "There was nothing to heal.")
    return 1 if found else 0


def command_accept(options: argparse.Namespace) -> int:
    """Take the host as it is now for good."""
    one = guard.Guard(settings=load_settings(), voice=report.Report(quiet=True))
    problem = one.accept()
    if options.json:
        say(json.dumps({"accepted": not problem, "problem": problem}))
    else:
        say(f"Not accepted: {problem}" if problem else "Accepted: what a login needs is kept as it is now.")
    return 1 if problem else 0


def command_off(_options: argparse.Namespace) -> int:
    """Switch the guard off, take out of the kernel what it has put there, and have the journal say who did it."""
    require_root()
    voice = report.Report(quiet=True)
    HostRunner().run(["systemctl", "disable", "--quiet", "--now", paths.TIMER, paths.UNIT], timeout=30.0)
    guard.Guard(settings=load_settings(), voice=voice).release()
    voice.tell("guard", "off", f"switched off by {caller()}; nobody holds SSH", priority=report.WARNING)
    say("The guard is off, also after a boot. Once you are done: ssh-lifeline on")
    return 0


def command_on(_options: argparse.Namespace) -> int:
    """Switch the guard on; the host as it is now is kept, if a login works, and else taken back to what it was."""
    require_root()
    voice = report.Report(quiet=True)
    problem = guard.Guard(settings=load_settings(), voice=voice).accept()
    HostRunner().run(["systemctl", "enable", "--quiet", "--now", paths.UNIT, paths.TIMER], timeout=30.0)
    kept = "a login fails, so the host is not kept as it is now" if problem else "the host is kept as it is now"
    voice.tell("guard", "on", f"switched on by {caller()}; {kept}")
    if problem:
        say(f"The guard is on. A login fails ({problem}), so it takes back what was changed, as far as that helps.")
        return 1
    say("The guard is on. A login works, and what it needs is kept as it is now.")
    return 0


def require_root() -> None:
    """Refuse anybody else before anything is touched.

    :raises WebstackError: when this is not root.
    """
    if os.geteuid() != 0:
        raise WebstackError("only root may do that; try sudo")


def caller() -> str:
    """Return who has logged in to run this, whatever account it runs as now."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return pwd.getpwuid(int(Path("/proc/self/loginuid").read_text(encoding="ascii"))).pw_name
    return os.environ.get("SUDO_USER", "root")


def tell_systemd(state: str) -> None:
    """Say to systemd that the guard is ready, or alive (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except WebstackError as error:
        complain(f"ssh-lifeline: {error.message}")
    except PermissionError as error:
        complain(f"ssh-lifeline: {error}; try sudo")
    return 2
