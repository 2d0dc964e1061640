"""The whole story on one screen: a web server is locked out, and rebuilt in one run while users go on.

    make demo                     everything, and nothing left behind
    make demo ARGS=--keep         the lab stays, to look around in it

From a bare Debian machine: real systemd hosts are started, provisioned over SSH, and filled with a sample
database. Then port 22 of web-01 is closed, as in the outage, and `rebuild_web` brings a replacement into
service. Every request of the users is counted. The log of all runs is kept in .cache/log.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from types import FrameType
from typing import Any

from engine import CACHE, ROOT, LabError
from images import CODENAMES
from outage import LOST, PAUSE, REPLACEMENT, SURVIVOR, USERS, newest_report
from story import DATABASE, Run, Story, StoryError, new_story, prepare_images, wait_for
from traffic import Result, Traffic

HOSTS = ("lb-01", "web-01", "web-02", "spare")
STEPS = 9
MARGIN = " " * 14


@dataclass
class Screen:
    """Numbered steps with the time since the start; on a terminal also a line that moves."""

    started: float = field(default_factory=time.monotonic)
    live: bool = field(default_factory=sys.stdout.isatty)
    number: int = 0
    play: str = ""

    def step(self, title: str) -> None:
        """Begin the next step."""
        self.number += 1
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        self.write(f"\n[{self.number}/{STEPS}] {minutes:3}:{seconds:02}  {title}")

    def say(self, text: str) -> None:
        """Print what came of a step, below its title."""
        for line in text.splitlines():
            self.write(f"{MARGIN}{line}")

    def write(self, line: str) -> None:
        """Print a line in place of the moving one."""
        print(f"\r\x1b[K{line}" if self.live else line, flush=True)

    def follow(self, line: str) -> None:
        """Condense a line of Ansible's output: the present task on a terminal, else one line a play."""
        kind, _separator, rest = line.partition(" [")
        name = rest.rpartition("]")[0]
        if kind == "PLAY":
            self.play = name
            if not self.live:
                self.say(f"  {name}")
        elif kind in ("TASK", "RUNNING HANDLER") and self.live:
            width = shutil.get_terminal_size().columns - 1
            text = f"{MARGIN}{self.play} · {name.rpartition(' : ')[2]}"
            print(f"\r\x1b[K{text[:width]}", end="", flush=True)


@dataclass
class Demo:
    """The steps, one method each."""

    story: Story
    screen: Screen
    suite: str

    def tell(self) -> None:
        """Tell the story from the beginning to the end."""
        self.start_machines()
        self.provision()
        self.load_data()
        self.screen.step(f"Let users ask {self.story.url}, and count every request from here on")
        with Traffic(self.story.url, mix=USERS, pause=PAUSE) as traffic:
            wait_for("answers of both servers", lambda: len(traffic.result().servers) > 1)
            served = traffic.result()
            self.screen.say(f"{served.requests} requests so far, answered by {' and '.join(sorted(served.servers))}")
            self.show_the_guard()
            self.lose_the_server()
            rebuild = self.rebuild()
            self.compare(traffic)
            self.provision_again()
            result = traffic.stop()
        self.conclude(rebuild, result)

    def start_machines(self) -> None:
        """Start bare machines."""
        self.screen.step(f"Start four bare Debian {self.suite} machines with systemd and sshd")
        prepare_images(self.story, suite=self.suite)
        self.story.begin(HOSTS, suite=self.suite)
        self.screen.say(", ".join(f"{host} {self.story.address(host)}" for host in HOSTS))

    def provision(self) -> None:
        """Provision the stack."""
        self.screen.step("Provision the stack over SSH: ansible-playbook phoenix.webstack.site")
        run = self.story.play("site").require_success()
        self.screen.say(f"{sum(run.changed.values())} changes on {len(run.changed)} hosts in {run.seconds:.0f} s")

    def load_data(self) -> None:
        """Fill both databases."""
        self.screen.step(
            f"Fill the database on {LOST} and {SURVIVOR}, two clones: Sakila, a shop with views and triggers"
        )
        for host in (LOST, SURVIVOR):
            self.story.load_sample(host)
        tables, objects = self.story.export(LOST), self.story.objects(LOST)
        self.screen.say(f"{len(tables)} tables with data, {len(objects)} views, triggers, routines and events")

    def show_the_guard(self) -> None:
        """Show that what caused the outage does nothing on a provisioned host."""
        self.screen.step(f"Type the outage's command on {LOST}: sudo ufw insert 1 deny 22")
        typed = self.story.ssh(LOST, "sudo", "ufw", "insert", "1", "deny", "22")
        require(typed.returncode == 0, f"ufw refused the rule: {typed.stderr}")
        require(self.story.lets_in(LOST), f"{LOST} locked the admin out in spite of the guard")
        self.screen.say("the guard holds: a new SSH connection still gets in")

    def lose_the_server(self) -> None:
        """Take the guard off, and be locked out."""
        self.screen.step(f"Take the guard off on {LOST}, for the outage to happen at all: now port 22 is closed")
        with self.story.open_shell(LOST) as shell:
            self.story.take_guard_off(shell)
            self.screen.say(f"the connection that was open before lives on (it says `{shell.type('hostname')}`), but")
            refused = self.story.ssh(LOST, "true")
            require(refused.returncode != 0, f"{LOST} still lets a new SSH connection in")
            self.screen.say(f"a new one does not get in: {refused.stderr.strip()}")
        self.screen.say(f"the admin hangs up: nobody will ever get into {LOST} ({self.story.address(LOST)}) again")

    def rebuild(self) -> Run:
        """Bring a replacement into service."""
        story = self.story
        variables = story.rebuild_variables(LOST, REPLACEMENT)
        self.screen.step(
            f"Rebuild it on the spare machine: ansible-playbook phoenix.webstack.rebuild_web"
            f" -e rebuild_host={LOST} -e rebuild_address={variables['rebuild_address']} …"
        )
        story.count_ssh_attempts(LOST)
        run = story.play("rebuild_web", variables).require_success()
        attempts = story.ssh_attempts(LOST)
        require(attempts == 0, f"the lost {LOST} was contacted {attempts} times on port 22")
        story.machines[LOST] = REPLACEMENT
        self.screen.say(f"{LOST} is back in service after {run.seconds:.0f} s; the lost machine was not contacted once")
        return run

    def compare(self, traffic: Traffic) -> None:
        """Hold the new server against the survivor, and the balancer against both."""
        story, lost = self.story, self.story.address(LOST)
        self.screen.step(f"Compare {LOST} with {SURVIVOR}, and look for the old address on the balancer")
        first = story.module(f"{LOST},{SURVIVOR}", "mysql_checksum_info", {"databases": [DATABASE]})
        require(
            first[LOST]["databases"][DATABASE]["tables"] == first[SURVIVOR]["databases"][DATABASE]["tables"],
            "the checksums of the tables differ",
        )
        exports = story.export(LOST), story.export(SURVIVOR)
        require(exports[0] == exports[1], "the sorted exports of the tables differ")
        require(story.objects(LOST) == story.objects(SURVIVOR), "views, triggers, routines or events differ")
        require(story.grants(LOST) == story.grants(SURVIVOR), "the grants differ")
        shown = first[LOST]
        self.screen.say(f"{shown['tables']} tables, {shown['rows']} rows: checksums and sorted exports are equal")
        self.screen.say("views, triggers, routines, events and grants are equal")
        found = story.balancer_knows(lost)
        require(not found, f"the old address {lost} is still on the balancer: {found}")
        require(bool(story.balancer_knows(story.address(REPLACEMENT))), "the balancer does not know the new address")
        before = traffic.result().servers.get(REPLACEMENT, 0)
        wait_for("answers of the new server", lambda: traffic.result().servers.get(REPLACEMENT, 0) > before)
        self.screen.say(f"the balancer serves from {story.address(REPLACEMENT)}; {lost} is nowhere on it any more")

    def provision_again(self) -> None:
        """Show that nothing is left to do."""
        self.screen.step("Provision the stack once more: a second run changes nothing")
        run = self.story.play("site").require_success()
        require(not run.changed, f"the second run changed something: {run.changed}\n{run.tail}")
        require(self.story.lets_in(LOST), f"the new {LOST} does not let the admin in")
        self.screen.say(f"changed=0 on every host, and SSH gets into the new {LOST}")

    def conclude(self, rebuild: Run, result: Result) -> None:
        """Print the timeline."""
        report = newest_report(self.story.folder)
        self.screen.write("")
        for line in timeline(report, result, seconds=rebuild.seconds):
            self.screen.write(line)
        require(result.failed == 0, f"{result.failed} requests failed, the first: {result.examples[:3]}")


def timeline(report: dict[str, Any], result: Result, *, seconds: float) -> list[str]:
    """Return the closing lines."""
    started = datetime.fromisoformat(report["started_at"].replace("Z", "+00:00"))
    longest = max(phase["seconds"] for phase in report["phases"])
    lines = [f"The timeline of the rebuild ({seconds:.0f} s by the clock on the wall)", ""]
    for phase in report["phases"]:
        moment = datetime.fromisoformat(phase["started_at"].replace("Z", "+00:00"))
        length = "#" * max(1, round(40 * phase["seconds"] / longest))
        after = (moment - started).total_seconds()
        lines.append(f"  {after:6.1f} s  {phase['name']:<10} {phase['seconds']:6.1f} s  {length}")
    served = ", ".join(f"{name} {count}" for name, count in result.servers.items())
    facts = {
        "Recovery time (RTO)": f"{report['rto_seconds']:.1f} s; by hand it had been two days",
        "Age of the data (RPO)": f"{report['rpo_seconds']:.1f} s",
        "Address": f"{report['address']['old']} → {report['address']['new']}",
        "Host key": str(report["host_key"]["fingerprint"]),
        "Requests": f"{result.requests} in {result.seconds:.0f} s, {result.failed} failed ({served})",
        "Waiting for an answer": f"half below {result.latency_ms['p50']} ms, the longest {result.latency_ms['max']} ms",
    }
    return [*lines, "", *(f"  {name:<22} {value}" for name, value in facts.items())]


def require(holds: bool, otherwise: str) -> None:
    """End the story where it takes a wrong turn."""
    if not holds:
        raise StoryError(otherwise)


# -- the command line ------------------------------------------------------------------


def may_run_containers() -> str:
    """Return why this user cannot start the lab; an empty text when nothing speaks against it."""
    if os.geteuid() == 0 or os.environ.get("LAB_ENGINE"):
        return ""
    advice = "The machines of the demo are containers that root has to start. Run: sudo make demo"
    if not shutil.which("sudo"):
        return advice.replace("Run: sudo make demo", "Become root and run: make demo")
    quiet = [] if sys.stdin.isatty() else ["--non-interactive"]
    return advice if subprocess.run(["sudo", *quiet, "true"], check=False).returncode else ""


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Take a polite request to end as what Ctrl-C does."""
    raise KeyboardInterrupt


def clean_up(story: Story, *, keep: bool) -> None:
    """Remove the lab, or say how to look at it."""
    if keep:
        name, log = story.lab.name, story.log.relative_to(ROOT)
        print(f"\nThe lab is kept. Look:        make lab-shell LAB={name} HOST=lb-01   ({', '.join(HOSTS)})")
        print(
            f"              run playbooks: . tools/activate; ansible-playbook -i {story.inventory.relative_to(ROOT)} …"
        )
        print(f"              remove it:     make lab-down LAB={name}\n              the log:       {log}")
        return
    # A second Ctrl-C would leave half of it behind.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    story.end()
    print("\nThe machines are gone; nothing is left behind but the log.", flush=True)


def main() -> int:
    """Show the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the lab running at the end")
    parser.add_argument("--suite", default="12", choices=sorted(CODENAMES), help="Debian's version (default: 12)")
    parser.add_argument("--lab", default="demo", help="the lab's name (default: %(default)s)")
    options = parser.parse_args()
    if reason := may_run_containers():
        print(reason, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, interrupt)

    screen = Screen()
    log = CACHE.parent / "log" / f"demo-{datetime.now():%Y%m%d-%H%M%S}.log"
    story = new_story(options.lab, log=log, on_line=screen.follow)
    print(f"A web server is lost, and comes back. The log: {log.relative_to(ROOT)}", flush=True)
    try:
        Demo(story, screen, options.suite).tell()
    except (StoryError, LabError) as error:
        screen.write(f"\nThe demo failed in step {screen.number}: {error}")
        print(f"\nThe whole log: {log}", flush=True)
        return 1
    except KeyboardInterrupt:
        screen.write("\nstopping …")
        return 130
    finally:
        with contextlib.suppress(BrokenPipeError):
            clean_up(story, keep=options.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
