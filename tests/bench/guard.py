"""What the guard of SSH costs while nothing happens, and whether it leaks when much does.

    python tests/bench/guard.py [--minutes 10] [--faults 100] [--suite 12|13]

One host of each version of Debian, guarded by the roles `ufw` and `ssh_lifeline`. First nothing happens for some
minutes, but for what the guard does by itself: CPU time and memory are those of its process and all of its children.
Then SSH is closed a hundred times in a row, in ways that take turns, and each time a new login from outside has to
work again. What each fault leaves behind is taken away; then everything is counted that was counted before.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

import lab as labs  # noqa: E402  the lab's folder has to be on the path first
from engine import CACHE, LabError  # noqa: E402

GUARD = "ssh-lifeline"
SETTLED = 20.0  # seconds after which the guard has learnt what a host is like
SAMPLE_SECONDS = 5.0
HEAL_SECONDS = 60.0
SLOW_SECONDS = 10.0  # what takes longer is named
# Between two faults: who closes SSH again and again would have the guard put a server of its own in place.
PAUSE = 2.0
MIB = 1 << 20
# Shell commands that close SSH, with what takes away what they leave behind. Every fifth is about the server.
FAULTS = (
    ("systemctl stop ssh", ""),
    ("iptables -I INPUT -j DROP", "iptables -D INPUT -j DROP"),
    ("ip addr flush dev eth0", ""),
    ("usermod -s /bin/fish admin", ""),
    (
        "nft add table inet storm; nft 'add chain inet storm s { type filter hook input priority -9; policy drop; }'",
        "nft delete table inet storm",
    ),
    ("echo Nonsense >>/etc/ssh/sshd_config; systemctl restart ssh", ""),
    ("ip route flush table main; ip -6 route flush table main", ""),
    ("ufw insert 1 deny 22", "ufw delete deny 22"),
    ("chmod 777 /home/admin", ""),
    ("touch /etc/nologin", ""),
    ("systemctl mask --now ssh", ""),
    ("ip link set eth0 down", ""),
    ("mount -t tmpfs storm /home", ""),
    ("ip rule add from all prohibit priority 9", "ip rule del from all prohibit priority 9"),
    ("rm /home/admin/.ssh/authorized_keys", ""),
    ("rm /etc/ssh/ssh_host_*; systemctl restart ssh", ""),
    ("tc qdisc replace dev eth0 root blackhole", "tc qdisc del dev eth0 root"),
    ("ip route flush table local", ""),
    ("chage -E 0 admin", ""),
    ("iptables -P INPUT DROP; iptables -P OUTPUT DROP", "iptables -P OUTPUT ACCEPT"),
)
COUNTED = f"""
pid=$(systemctl show --property=MainPID --value {GUARD})
echo "processes $(ps -e -o comm= | grep -cvE '^(ps|grep|bash)$')"
echo "descriptors $(ls /proc/$pid/fd | wc -l)"
echo "threads $(ls /proc/$pid/task | wc -l)"
echo "temporary_files $(find /tmp /run/{GUARD} /var/lib/{GUARD} /etc/ssh /etc/systemd -name '.*.*' -type f | wc -l)"
echo "namespaces $(ls /run/netns | wc -l)"
echo "devices $(ip -oneline link | wc -l)"
echo "rules $(nft list ruleset | wc -l)"
echo "filters $(tc filter show dev eth0 egress | wc -l)"
echo "routes $( (ip route show table all; ip -6 route show table all; ip rule; ip -6 rule) | wc -l)"
echo "mounts $(wc -l </proc/self/mountinfo)"
echo "restarts $(systemctl show --property=NRestarts --value {GUARD})"
"""
COST = f"""
pid=$(systemctl show --property=MainPID --value {GUARD})
echo "$pid $(getconf CLK_TCK) $(sed 's/.*) //' /proc/$pid/stat)"
for each in $pid $(pgrep --parent $pid); do grep -h '^Pss:\\|^Rss:' /proc/$each/smaps_rollup; done
"""


@dataclass(frozen=True)
class Cost:
    """What the guard costs: its share of one core, and the most memory that it and its children ever had."""

    share: float
    rss: float  # bytes
    pss: float  # bytes


@dataclass(frozen=True)
class Storm:
    """What became of the faults, and what there is more of than before."""

    seconds: list[float]  # until a login worked again, of each that was healed
    leaks: dict[str, str]


class Bench:
    """A lab with one guarded host of each version of Debian."""

    def __init__(self, suites: Sequence[str]) -> None:
        """Name the hosts; nothing is started yet."""
        self.lab = labs.Lab("bench-guard", CACHE / "labs" / "bench-guard")
        self.hosts = {f"debian-{suite}": labs.Host(f"debian-{suite}", f"lab/debian:{suite}") for suite in suites}
        self.inventory = self.lab.folder / "inventory.yml"

    def prepare(self) -> None:
        """Start the hosts and guard them."""
        labs.up(self.lab, list(self.hosts.values()))
        hosts = {}
        for name in self.hosts:
            self.on(name, "install -D -m 600 -t /root/.ssh /home/admin/.ssh/authorized_keys")
            hosts[name] = {**labs.connection_variables(self.lab, name), **labs.common_variables(self.lab, name)}
        networks = (self.lab.podman.inspect("network", self.lab.name) or {}).get("subnets", [])
        shared = {
            "ssh_admin_cidrs": [network["subnet"] for network in networks],
            "ssh_lifeline_accounts": ["root", labs.ADMIN],
        }
        self.inventory.write_text(labs.as_yaml({"all": {"hosts": hosts, "vars": shared}}))
        playbook = ROOT / "tests" / "faults" / "guarded.yml"
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["ansible-playbook", "-i", str(self.inventory), str(playbook)],
                cwd=folder,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
                check=False,
            )
        if done.returncode:
            raise LabError(f"guarding the hosts failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        time.sleep(SETTLED)

    def on(self, host: str, script: str) -> str:
        """Type commands on a host by the test's own hand; their failure is no error."""
        done = self.lab.podman.attempt("exec", "-i", self.lab.container(host), "bash", stdin=script.encode())
        return done.stdout.decode(errors="replace")

    def log_in(self, host: str, address: str) -> bool:
        """Tell whether a new login from outside works."""
        options = {
            "UserKnownHostsFile": str(self.lab.known_hosts),
            "HostKeyAlias": host,
            "StrictHostKeyChecking": "yes",
            "ControlPath": "none",
            "BatchMode": "yes",
            "ConnectTimeout": "1",
        }
        argv = ["ssh", "-F", "none", "-i", str(self.lab.private_key)]
        argv += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        try:
            done = subprocess.run(
                [*argv, f"{labs.ADMIN}@{address}", "echo in"],
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=10,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.stdout == "in\n"

    # -- nothing happens

    def idle(self, host: str, minutes: float) -> Cost:
        """Measure for some minutes what the guard costs."""
        pid, used, *_memory = self.cost(host)
        started, memory = time.monotonic(), [(0.0, 0.0)]
        while time.monotonic() < started + 60 * minutes:
            time.sleep(SAMPLE_SECONDS)
            memory.append(self.cost(host)[2:])
        now, used_now, *_memory = self.cost(host)
        if now != pid:
            raise LabError(f"{host}: the guard was started anew while nothing happened")
        share = (used_now - used) / (time.monotonic() - started)
        return Cost(share, max(rss for rss, _pss in memory), max(pss for _rss, pss in memory))

    def cost(self, host: str) -> tuple[float, float, float, float]:
        """Return the guard's process, its CPU seconds, and the resident and the proportional memory."""
        first, *memory = self.on(host, COST).splitlines()
        pid, ticks, *fields = first.split()
        # utime, stime, cutime, cstime of proc(5), without the two fields up to the name.
        used = sum(map(int, fields[11:15])) / int(ticks)
        sums = {"Rss:": 0, "Pss:": 0}
        for line in memory:
            name, number, _unit = line.split()
            sums[name] += int(number) * 1024
        return int(pid), used, sums["Rss:"], sums["Pss:"]

    # -- everything happens

    def storm(self, host: str, count: int) -> Storm:
        """Close SSH many times, and count what is left of it."""
        address = self.lab.addresses(host)[0]
        before, memory = self.counted(host), self.cost(host)[2]
        seconds = []
        for number in range(count):
            fault, undo = FAULTS[number % len(FAULTS)]
            self.on(host, fault)
            healed = self.seconds_until_open(host, address)
            if healed is None:
                print(f"bench: {host}: {fault}: not healed within {HEAL_SECONDS:.0f} s", flush=True)
            else:
                seconds.append(healed)
                if healed > SLOW_SECONDS:
                    print(f"bench: {host}: {fault}: {healed:.1f} s", flush=True)
            self.on(host, undo)
            time.sleep(PAUSE)
        time.sleep(SETTLED)
        after = self.counted(host)
        leaks = {name: f"{before[name]} -> {after[name]}" for name in before if after.get(name) != before[name]}
        grown = self.cost(host)[2] - memory
        if grown > 4 * MIB:
            leaks["memory"] = f"{grown / MIB:.1f} MiB more"
        return Storm(seconds, leaks)

    def seconds_until_open(self, host: str, address: str) -> float | None:
        """Wait until a login works, twice in a row; None where it does not."""
        started, in_a_row, opened = time.monotonic(), 0, 0.0
        while time.monotonic() < started + HEAL_SECONDS:
            began = time.monotonic() - started
            works = self.log_in(host, address)
            in_a_row = in_a_row + 1 if works else 0
            if in_a_row == 1:
                opened = began
            if in_a_row == 2:
                return opened
            time.sleep(0.5)
        return None

    def counted(self, host: str) -> dict[str, str]:
        """Return how many there are of whatever could leak."""
        return dict(line.split(" ", 1) for line in self.on(host, COUNTED).splitlines())


def closing_line(costs: Sequence[Cost], storms: Sequence[Storm], *, count: int) -> str:
    """Return the line that ends a run; of several hosts the worst counts."""
    leaks = sorted({name for storm in storms for name in storm.leaks})
    return (
        f"guard: {100 * max(cost.share for cost in costs):.2f} % of a core,"
        f" {max(cost.rss for cost in costs) / MIB:.0f} MiB;"
        f" storm: {min(len(storm.seconds) for storm in storms)} healed of {count}, leaks: {', '.join(leaks) or 'none'}"
    )


def main() -> int:
    """Measure both, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--suite", choices=("12", "13"), help="default: both")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    arguments = parser.parse_args()
    bench = Bench([arguments.suite] if arguments.suite else ["12", "13"])
    try:
        print("bench: guarding the hosts", flush=True)
        bench.prepare()
        with ThreadPoolExecutor() as pool:
            costs = list(pool.map(lambda host: bench.idle(host, arguments.minutes), bench.hosts))
            for host, cost in zip(bench.hosts, costs, strict=True):
                print(
                    f"bench: {host}: {100 * cost.share:.3f} % of a core over {arguments.minutes:g} minutes,"
                    f" {cost.rss / MIB:.1f} MiB resident, {cost.pss / MIB:.1f} MiB of its own share",
                    flush=True,
                )
            storms = list(pool.map(lambda host: bench.storm(host, arguments.faults), bench.hosts))
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if not arguments.keep:
            labs.down(bench.lab)
    for host, storm in zip(bench.hosts, storms, strict=True):
        print(
            f"bench: {host}: {len(storm.seconds)} healed, median {statistics.median(storm.seconds or [0]):.1f} s,"
            f" worst {max(storm.seconds, default=0):.1f} s, more or less than before: {storm.leaks or 'nothing'}"
        )
    print(closing_line(costs, storms, count=arguments.faults))
    healed = all(len(storm.seconds) == arguments.faults and not storm.leaks for storm in storms)
    return int(not healed)


if __name__ == "__main__":
    raise SystemExit(main())
