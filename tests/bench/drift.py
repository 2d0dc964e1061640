"""What a look for drift costs, beside a check run of the same state in plain modules, and one of the whole `site`.

    python tests/bench/drift.py [--hosts 1,5,10,20] [--runs 3]

One real web server is provisioned, and stands behind as many names of the inventory as are measured: each name is a
host to Ansible, with its own connection and its own tasks. The ways take turns, so that whatever drifts while the bench
runs meets all of them alike. Times are of one run on one machine; only their ratios say anything. Names that share a
host share its locks as well, for which the plain modules wait: on the clock the ways are compared at the fewest names.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

import lab as labs  # noqa: E402  the lab's folder has to be on the path first
from engine import CACHE, LabError  # noqa: E402

# Of a look for drift nothing is left out: a host that is clean, and its verdict, is what everybody waits for.
WAYS = {
    "drift": ("phoenix.webstack.drift",),
    "reference": (str(ROOT / "tests" / "bench" / "drift_reference.yml"), "--check"),
    "site": ("phoenix.webstack.site", "--check"),
}


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds on the clock, and CPU seconds of the controller and of the host."""

    wall: float
    controller: float
    host: float

    @property
    def cpu(self) -> float:
        """All CPU seconds together."""
        return self.controller + self.host


class Bench:
    """A lab with one web server."""

    def __init__(self, *, name: str, suite: str) -> None:
        """Name the lab; nothing is started yet."""
        self.lab = labs.Lab(name, CACHE / "labs" / name)
        self.image = f"lab/debian:{suite}"
        self.inventory = self.lab.folder / "inventory"

    def prepare(self) -> None:
        """Provision the web server."""
        labs.up(self.lab, [labs.Host("web-01", self.image)])
        labs.write_inventory(self.lab, self.inventory)
        self.playbook(self.inventory, "phoenix.webstack.site")

    def named(self, count: int) -> Path:
        """Write an inventory in which the web server has so many names."""
        folder = self.lab.folder / f"inventory-{count}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.inventory, folder, symlinks=True)
        path = folder / "hosts.yml"
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
        described["all"]["vars"]["ansible_ssh_common_args"] = described["all"]["vars"][
            "ansible_ssh_common_args"
        ].replace("{{ inventory_hostname }}", "web-01")
        host = described["all"]["children"]["webservers"]["hosts"]["web-01"]
        names = {f"web-{number:02}": dict(host) for number in range(1, count + 1)}
        described["all"]["children"] = {"webservers": {"hosts": names}}
        path.write_text(yaml.safe_dump(described), encoding="utf-8")
        return folder

    def playbook(self, inventory: Path, *arguments: str) -> None:
        """Run a playbook; show its output only where it fails."""
        command = ["ansible-playbook", "-i", str(inventory), *arguments]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        with tempfile.TemporaryDirectory() as folder:
            environment["PWD"] = folder
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                env=environment,
                check=False,
            )
        if done.returncode:
            raise LabError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")

    def cpu_of_host(self) -> float:
        """CPU seconds that the host has used so far."""
        read = "cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || cat /sys/fs/cgroup/cpu.stat"
        words = self.lab.podman.run("exec", self.lab.container("web-01"), "sh", "-c", read).split()
        return int(words[0]) / 1e9 if words[0].isdigit() else int(words[words.index("usage_usec") + 1]) / 1e6

    def measure(self, way: str, inventory: Path) -> Cost:
        """Run one way and say what it took."""
        host, started = self.cpu_of_host(), time.monotonic()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.playbook(inventory, *WAYS[way])
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
        controller = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Cost(wall=wall, controller=controller, host=self.cpu_of_host() - host)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much the second value grows with the first, by least squares."""
    return statistics.linear_regression([x for x, _y in points], [y for _x, y in points]).slope


def measure_all(bench: Bench, *, counts: Sequence[int], runs: int) -> dict[tuple[str, int], list[Cost]]:
    """Let the ways take turns at each number of hosts."""
    costs: dict[tuple[str, int], list[Cost]] = {(way, count): [] for count in counts for way in WAYS}
    for count in counts:
        inventory = bench.named(count)
        for number in range(runs):
            for way in sorted(WAYS, reverse=number % 2 == 1):
                cost = bench.measure(way, inventory)
                costs[way, count].append(cost)
                print(f"bench: {count} hosts, {way}: {cost.wall:.1f} s, CPU {cost.cpu:.1f} s", flush=True)
    return costs


def show(costs: dict[tuple[str, int], list[Cost]], *, counts: Sequence[int]) -> None:
    """Print a table of medians, and the closing line."""
    ratios: dict[str, list[float]] = {"wall": [], "cpu": []}
    for count in counts:
        for way in WAYS:
            measured = costs[way, count]
            walls = [cost.wall for cost in measured]
            cpu = statistics.median(cost.cpu for cost in measured)
            controller = statistics.median(cost.controller for cost in measured)
            spread = f"({min(walls):.1f}-{max(walls):.1f})"
            print(
                f"{count:>3} hosts  {way:<10} wall {statistics.median(walls):6.1f} s {spread}"
                f"   CPU {cpu:6.1f} s (controller {controller:.1f})"
            )
        for ours, theirs in zip(costs["drift", count], costs["reference", count], strict=True):
            if count == min(counts):
                ratios["wall"].append(ours.wall / theirs.wall)
            ratios["cpu"].append(ours.cpu / theirs.cpu)
    for name, found in ratios.items():
        print(f"spread of the {name} ratio: {min(found):.2f}-{max(found):.2f}")
    points = [(float(count), cost.controller) for count in counts for cost in costs["drift", count]]
    per_host = slope(points) if len(counts) > 1 else float("nan")
    wall, cpu = (statistics.median(ratios[name]) for name in ("wall", "cpu"))
    print(f"drift: wall {wall:.2f}, cpu {cpu:.2f} of the reference; {per_host:.2f} s controller CPU per further host")


def main() -> int:
    """Measure, and print the ratios."""
    parser = argparse.ArgumentParser(
        description=textwrap.dedent(__doc__ or ""), formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hosts", default="1,5,10,20", help="how many names are measured (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way at each of them (default: %(default)s)")
    parser.add_argument("--lab", help="one whose web-01 is provisioned already, and which stays")
    parser.add_argument("--suite", choices=("12", "13"), default="12")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.hosts.split(",")]
    bench = Bench(name=arguments.lab or "bench-drift", suite=arguments.suite)
    try:
        if not arguments.lab:
            print("bench: provisioning the web server", flush=True)
            bench.prepare()
        costs = measure_all(bench, counts=counts, runs=arguments.runs)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if not arguments.lab:
            labs.down(bench.lab)
    show(costs, counts=counts)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
