"""Kill runs between a change that closes SSH and its confirmation, and see when the host opens SSH again.

    kills.py --count 20 --suite 13                              on a host of its own
    kills.py --inventory FOLDER --host d12 --container NAME     on one that is there, with ufw by the role

Each run is killed with SIGKILL at a random moment behind the arming of the switch. Ends with 1 where SSH was not open
again in time, and with a summary in any case.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lab as labs
from engine import CACHE, ROOT, LabError, Podman
from story import Running, wait_for

WAYS = ("firewall", "kernel", "service", "configuration", "elsewhere")
PLAYBOOKS = ROOT / "molecule" / "ssh_rollback"
LOG = ROOT / ".cache" / "log" / "kills.log"
FOLDER = "/var/lib/ssh-lifeline/rollback"
# What a busy machine takes to go back, beyond the time of the switch.
TOLERANCE = 5.0
PATIENCE = 30.0


@dataclass(frozen=True)
class Target:
    """A host under test: how Ansible finds it, and how to look into it past SSH."""

    inventory: Path
    host: str
    container: str
    podman: Podman

    def hand(self, *argv: str) -> str:
        """Run a command as root, around SSH; return what it printed, nothing if it failed."""
        done = self.podman.attempt("exec", self.container, *argv)
        return done.stdout.decode(errors="replace") if done.returncode == 0 else ""

    def armed(self) -> tuple[str, float] | None:
        """Return the switch that waits for a confirmation, and since when; none once it was rolled back."""
        shown = self.hand("sh", "-c", f"stat --format=%.9Y {FOLDER}/armed && cat {FOLDER}/armed")
        stamp, _newline, text = shown.partition("\n")
        found = json.loads(text) if text else {}
        return (found["id"], float(stamp)) if found.get("state") == "armed" else None

    def last_rollback(self) -> dict[str, Any]:
        """Return what the host tells of its last rollback."""
        text = self.hand("cat", f"{FOLDER}/last_rollback.json")
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def start(self, playbook: str, variables: Mapping[str, object]) -> Running:
        """Start one of the scenario's playbooks on this host."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment = {
            **own,
            "PATH": f"{Path(sys.executable).parent}:{own['PATH']}",
            "PWD": str(ROOT),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        }
        argv = ["ansible-playbook", "-i", str(self.inventory), "--limit", self.host, str(PLAYBOOKS / playbook)]
        argv += [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        return Running(argv, folder=ROOT, environment=environment, log=LOG)

    def ssh_argv(self) -> list[str]:
        """Return the command that opens a new connection."""
        asked = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(self.inventory), "--host", self.host]
        shown = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        found = json.loads(shown)
        common = found["ansible_ssh_common_args"].replace("{{ inventory_hostname }}", self.host).split()
        options = ["-F", "none", "-i", found["ansible_ssh_private_key_file"], "-o", "BatchMode=yes"]
        options += ["-o", "ControlPath=none", "-o", "ControlMaster=no", "-o", "ConnectTimeout=1"]
        return ["ssh", *options, *common, f"{found['ansible_user']}@{found['ansible_host']}", "true"]


@dataclass(frozen=True)
class Trial:
    """One killed run.

    `closed` tells whether SSH was seen closed, `seconds` when it was open for good after the arming.
    """

    way: str
    killed_after: float
    closed: bool
    seconds: float
    problem: str

    def __str__(self) -> str:
        verdict = self.problem or f"open {self.seconds:.1f} s after the arming"
        closed = "closed" if self.closed else "never closed"
        return f"{self.way:13} killed after {self.killed_after:4.1f} s, {closed}: {verdict}"


def log_in(argv: list[str]) -> bool:
    """Tell whether a new connection gets in; one that is cut in the middle would hang until the way is open again."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=3)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def try_once(target: Target, ssh: list[str], way: str, seconds: int, delay: float) -> Trial:
    """Start a run, kill it, and watch the host."""
    running = target.start("close_and_confirm.yml", {"way": way, "ssh_rollback_seconds": seconds})
    try:
        found = wait_for("the switch to be armed", target.armed, seconds=120)
        armed = found[1] if found else time.time()
        killer = threading.Timer(max(0.0, armed + delay - time.time()), running.send, [signal.SIGKILL])
        killer.start()
        closed, opened = watch(target, ssh, until=armed + seconds + PATIENCE)
        killer.join()
    finally:
        running.send(signal.SIGKILL)
        running.process.wait()
    return Trial(way, delay, closed, opened - armed, judge(target, way, opened - armed, seconds))


def watch(target: Target, ssh: list[str], *, until: float) -> tuple[bool, float]:
    """Return whether SSH was closed, and when it was open again with the switch gone."""
    closed, opened = False, 0.0
    while time.time() < until:
        if log_in(ssh):
            opened = opened or time.time()
            if target.armed() is None:
                return closed, opened
        else:
            closed, opened = True, 0.0
        time.sleep(0.1)
    return closed, until


def judge(target: Target, way: str, took: float, seconds: int) -> str:
    """Return what is wrong, if anything."""
    last = target.last_rollback()
    if took > seconds + TOLERANCE:
        return f"SSH was open {took:.1f} s after the arming, not within {seconds} s and {TOLERANCE:.0f} s of work"
    if last.get("label") != f"closing by way of {way}":
        return f"the host tells of another rollback: {last.get('label')}"
    if last["problems"]:
        return "; ".join(last["problems"])
    return ""


@contextlib.contextmanager
def host_of_its_own(suite: str) -> Iterator[Target]:
    """Start a host and put the firewall on it."""
    lab = labs.Lab(f"kills-{suite}", CACHE / "labs" / f"kills-{suite}")
    try:
        labs.up(lab, [labs.Host("web-01", f"lab/debian:{suite}")])
        inventory = labs.write_inventory(lab, lab.folder / "inventory")
        target = Target(inventory.parent, "web-01", lab.container("web-01"), lab.podman)
        target.start("converge.yml", {}).wait().require_success()
        yield target
    finally:
        labs.down(lab)


def summarise(trials: list[Trial], seconds: int) -> int:
    """Print the figures and return the exit code."""
    good = [trial for trial in trials if not trial.problem]
    closed = [trial.seconds for trial in good if trial.closed]
    print(f"SSH open again in {len(good)} of {len(trials)} trials; it had been closed in {len(closed)} of them.")
    if closed:
        middle = sorted(closed)[len(closed) // 2]
        print(
            f"After the arming, with {seconds} s to confirm: {min(closed):.1f} to {max(closed):.1f} s, "
            f"median {middle:.1f} s."
        )
    return 0 if len(good) == len(trials) else 1


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3, help="how many runs to kill (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=8, help="the time of the switch (default: %(default)s)")
    parser.add_argument("--suite", default="12", help="Debian's version of a host of its own (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="repeat the moments of an earlier call")
    parser.add_argument("--inventory", type=Path)
    parser.add_argument("--host")
    parser.add_argument("--container")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if options.inventory:
            target = Target(options.inventory, options.host, options.container, Podman())
        else:
            target = stack.enter_context(host_of_its_own(options.suite))
        ssh = target.ssh_argv()
        trials = []
        for number in range(options.count):
            # The whole span in which the run may be: at the change, and asking for the confirmation.
            delay = moments.uniform(0.0, options.seconds)
            trials.append(try_once(target, ssh, WAYS[number % len(WAYS)], options.seconds, delay))
            print(f"{number + 1:3} {trials[-1]}", flush=True)
    return summarise(trials, options.seconds)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as problem:
        sys.exit(f"kills: {problem}")
