# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ssh-lifeline."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import (
    guard,
    paths,
    probe,
    report,
    rollback,
    watch,
)
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import load_settings

VERSION = "0.2.0"
EVERYTHING = (watch.FIREWALL, watch.NETWORK, watch.FILES, watch.DAEMON)


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
        ("run", command_run, "be the guard; systemd starts this"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if name in ("status", "check", "heal", "accept"):
            command.add_argument("--json", action="store_true", help="for programs")
    rollback.add_commands(commands)
    connect = commands.add_parser("connect")  # without a help text: it is there for the guard's own ssh
    connect.add_argument("address")
    connect.add_argument("port", type=int)
    connect.set_defaults(run=command_connect)
    return top


def command_run(_options: argparse.Namespace) -> int:
    """Be the guard."""
    guard.run(settings=load_settings(), tell_systemd=tell_systemd)


def command_status(options: argparse.Namespace) -> int:
    """Show the status that the guard publishes."""
    try:
        status = json.loads((paths.RUNTIME / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        print(f"ssh-lifeline is not running here: systemctl status {paths.UNIT}", file=sys.stderr)
        return 3
    if options.json:
        print(json.dumps(status, indent=1))
    else:
        age = time.time() - status["checked_at"]
        print(f"SSH is {status['state']} (seen {age:.0f} s ago; probe: {status.get('probe', 'none yet')})")
        for subject, problem in status["hindrances"].items():
            print(f"  {subject}: {problem}")
        for event in status["events"][-10:]:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
            print(f"  {at}  {event['kind']:6}  {event['subject']}: {event['message']}")
    return 0 if status["state"] == "open" else 1


def command_check(options: argparse.Namespace) -> int:
    """Look at everything and change nothing."""
    found = guard.Guard(settings=load_settings(), voice=report.Report(quiet=True)).problems()
    if options.json:
        print(json.dumps({"open": not found, "hindrances": found}, indent=1))
    elif found:
        print("\n".join(f"{subject}: {problem}" for subject, problem in found.items()))
    else:
        print("The next SSH login will work.")
    return 1 if found else 0


def command_heal(options: argparse.Namespace) -> int:
    """Look at everything and mend it."""
    voice = report.Report(quiet=True)
    one = guard.Guard(settings=load_settings(), voice=voice)
    one.step(EVERYTHING)
    found = one.problems()
    if options.json:
        healed = [event.message for event in voice.events if event.kind == "healed"]
        print(json.dumps({"open": not found, "healed": healed, "hindrances": found}, indent=1))
    else:
        print("\n".join(f"{event.kind}: {event.message}" for event in voice.events) or "There was nothing to heal.")
    return 1 if found else 0


def command_accept(options: argparse.Namespace) -> int:
    """Take the host as it is now for good."""
    one = guard.Guard(settings=load_settings(), voice=report.Report(quiet=True))
    problem = one.accept()
    if options.json:
        print(json.dumps({"accepted": not problem, "problem": problem}))
    else:
        print(f"Not accepted: {problem}" if problem else "Accepted: what a login needs is kept as it is now.")
    return 1 if problem else 0


def command_connect(options: argparse.Namespace) -> int:
    """Hand a connection from one of the probe's ports to the ssh that asks for it."""
    connection = probe.connect(address=options.address, port=options.port)
    with connection, socket.socket(fileno=os.dup(1)) as asking:
        socket.send_fds(asking, [b"\0"], [connection.fileno()])
    return 0


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
        print(f"ssh-lifeline: {error.message}", file=sys.stderr)
    except PermissionError as error:
        print(f"ssh-lifeline: {error}; try sudo", file=sys.stderr)
    return 2
