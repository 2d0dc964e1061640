"""How much longer a rebuild takes than a hand-written shell script that reaches the same end state.

    python tests/bench/rebuild.py [--pairs 3] [--rows 250000]

Each pair rebuilds two bare hosts from the same state, one in each way, in alternating order. The floor is one script
sent over one ssh: packages in one apt call, the finished configuration files unpacked, the ready dump imported, ufw
enabled, services started, the balancer's line changed and reloaded. It has no dump to take, no proof, no health gate
and no report. Times are of one run on one machine; only their ratio says anything.
"""

from __future__ import annotations

import argparse
import base64
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

import lab as labs  # noqa: E402  the lab's folder has to be on the path first
from engine import CACHE, LabError  # noqa: E402

PACKAGES = "ufw mariadb-server mariadb-backup python3-pymysql zstd gunicorn python3-flask nginx"
# What configuration files and users the roles leave behind; a person would write them by hand.
END_STATE = (
    "/etc/default/ufw /etc/ufw/ufw.conf /etc/ufw/before.rules /etc/ufw/before6.rules /etc/ufw/user.rules"
    " /etc/ufw/user6.rules /etc/nginx/nginx.conf /etc/mysql/mariadb.conf.d /etc/default/app /srv/app"
    " /etc/systemd/system/app.service /etc/systemd/system/app.socket"
    # The guard of SSH, and the nightly dumps.
    " /usr/local/lib/ssh-lifeline /usr/local/bin/ssh-lifeline /etc/ssh-lifeline /etc/bash.bash_logout"
    " /etc/systemd/system/ssh-lifeline.service /etc/systemd/system/ssh-lifeline.timer"
    " /etc/systemd/system/ssh.service.d /etc/ssh/sshd_config.d"
    " /usr/local/lib/webstack-mysql-backup /usr/local/sbin/webstack-mysql-backup /etc/webstack-mysql-backup.json"
    " /etc/systemd/system/webstack-mysql-backup.service /etc/systemd/system/webstack-mysql-backup.timer"
)
FLOOR = """\
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -qq -y --no-install-recommends -o Dpkg::Options::=--force-confold {packages} >/dev/null
useradd --system --home-dir /srv/app --no-create-home --shell /usr/sbin/nologin app
useradd --system --home-dir /var/backups/webstack/mysql --no-create-home --shell /usr/sbin/nologin webstack-backup
base64 -d <<'CONFIGURATION' | tar -xzf - -C / --overwrite
{configuration}
CONFIGURATION
ufw --force enable >/dev/null
systemctl daemon-reload
systemctl restart mariadb
mariadb -e "CREATE DATABASE sakila; CREATE USER app@localhost IDENTIFIED VIA unix_socket;
  GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON sakila.* TO app@localhost"
base64 -d <<'DUMP' | zstd -dc | mariadb sakila
{dump}
DUMP
mariadb -e "CREATE USER 'webstack-backup'@localhost IDENTIFIED VIA unix_socket;
  GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON sakila.* TO 'webstack-backup'@localhost"
systemctl enable -q --now app.socket app.service ssh-lifeline.service ssh-lifeline.timer webstack-mysql-backup.timer
systemctl restart nginx
"""
REPOINT = (
    "sed -i 's/\\(server web-01 \\)[^ ]*:80/\\1{address}:80/' /etc/haproxy/conf.d/web.cfg && systemctl reload haproxy"
)
BULK = """\
CREATE TABLE bulk (id INT PRIMARY KEY, code CHAR(32) NOT NULL, body TEXT NOT NULL, KEY (code)) ENGINE=InnoDB;
INSERT INTO bulk SELECT seq, MD5(seq), REPEAT(MD5(seq + 1), 5) FROM seq_1_to_{rows};
COMMIT;
"""  # the sample data leaves autocommit off


@dataclass(frozen=True)
class Cost:
    """What one rebuild took: seconds on the clock, and CPU seconds of the controller and of all hosts."""

    wall: float
    controller: float
    hosts: float

    @property
    def cpu(self) -> float:
        """All CPU seconds together."""
        return self.controller + self.hosts


class Bench:
    """A lab with a finished stack and as many bare hosts as there are rebuilds to measure."""

    def __init__(self, *, pairs: int, rows: int, suite: str) -> None:
        """Name the hosts; nothing is started yet."""
        self.lab = labs.Lab("bench", CACHE / "labs" / "bench")
        self.spares = [f"spare-{number}" for number in range(1, 2 * pairs + 1)]
        self.rows = rows
        self.image = f"lab/debian:{suite}"
        self.inventory = self.lab.folder / "inventory"
        self.dump = self.configuration = ""

    def prepare(self) -> None:
        """Provision the stack, fill the clones, and write down what the floor needs."""
        names = ["lb-01", "web-01", "web-02", *self.spares]
        labs.up(self.lab, [labs.Host(name, self.image) for name in names])
        labs.write_inventory(self.lab, self.inventory)
        self.playbook("site")
        schema = (ROOT / "tests" / "data" / "sakila" / "sakila-schema.sql").read_bytes()
        data = (ROOT / "tests" / "data" / "sakila" / "sakila-data.sql").read_bytes()
        for host in ("web-01", "web-02"):
            self.on(host, "mariadb", stdin=schema + data + BULK.format(rows=self.rows).encode())
        dump = "mariadb-dump --single-transaction --routines --triggers --events --hex-blob sakila | zstd -q | base64"
        self.dump = self.on("web-02", "sh", "-c", dump)
        existing = f"ls -d {END_STATE} 2>/dev/null | tar -czf - -T - 2>/dev/null | base64"
        self.configuration = self.on("web-02", "sh", "-c", existing)

    def on(self, host: str, *argv: str, stdin: bytes | None = None) -> str:
        """Run a command as root by the test's own hand."""
        return self.lab.podman.run("exec", "-i", self.lab.container(host), *argv, stdin=stdin)

    def playbook(self, name: str, *arguments: str) -> None:
        """Run a playbook of the collection; show its output only where it fails."""
        command = ["ansible-playbook", "-i", str(self.inventory), f"phoenix.webstack.{name}", *arguments]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        with tempfile.TemporaryDirectory() as folder:
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

    def rebuild(self, spare: str) -> None:
        """Rebuild web-01 on a bare host, the collection's way."""
        address, _ipv6 = self.lab.addresses(spare)
        key = (self.lab.folder / "host_keys" / spare / "ssh_host_ed25519_key.pub").read_text(encoding="utf-8").strip()
        options = {
            "rebuild_host": "web-01",
            "rebuild_address": address,
            "rebuild_host_key": f"'{key}'",
            "rebuild_confirm": "web-01",
        }
        self.playbook("rebuild_web", *(part for name, value in options.items() for part in ("-e", f"{name}={value}")))

    def floor(self, spare: str) -> None:
        """Rebuild web-01 on a bare host by one script over one ssh, and change the balancer's line by another."""
        address, _ipv6 = self.lab.addresses(spare)
        script = FLOOR.format(packages=PACKAGES, configuration=self.configuration, dump=self.dump)
        self.ssh(spare, address, script)
        self.ssh("lb-01", self.lab.addresses("lb-01")[0], REPOINT.format(address=address))

    def ssh(self, host: str, address: str, script: str) -> None:
        """Send a script to a host over one new connection and run it there as root."""
        options = {
            "UserKnownHostsFile": str(self.lab.known_hosts),
            "HostKeyAlias": host,
            "StrictHostKeyChecking": "yes",
            "ControlPath": "none",
            "BatchMode": "yes",
        }
        command = ["ssh", "-i", str(self.lab.private_key)]
        command += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        done = subprocess.run(
            [*command, f"{labs.ADMIN}@{address}", "sudo", "sh"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"The script failed on {host}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def check(self, spare: str) -> None:
        """Require the same end state of both ways: the balancer serves, from the new host, with the whole data."""
        address, _ipv6 = self.lab.addresses(spare)
        body = self.on("lb-01", "curl", "-sSf", f"http://{address}/readyz")
        rows = self.on(spare, "mariadb", "-N", "-e", "SELECT COUNT(*) FROM sakila.bulk").strip()
        config = self.on("lb-01", "cat", "/etc/haproxy/conf.d/web.cfg")
        if "ready" not in body or int(rows) != self.rows or f"{address}:80" not in config:
            raise LabError(f"{spare} did not reach the end state: {body!r}, {rows} rows")

    def cpu_of_hosts(self) -> float:
        """CPU seconds that all hosts have used so far."""
        total = 0.0
        for host in self.lab.hosts():
            read = "cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || cat /sys/fs/cgroup/cpu.stat"
            words = self.on(host, "sh", "-c", read).split()
            total += int(words[0]) / 1e9 if words[0].isdigit() else int(words[words.index("usage_usec") + 1]) / 1e6
        return total

    def measure(self, way: Callable[[str], None], spare: str) -> Cost:
        """Run one rebuild and say what it took."""
        hosts, started = self.cpu_of_hosts(), time.monotonic()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        way(spare)
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
        controller = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cost = Cost(wall=wall, controller=controller, hosts=self.cpu_of_hosts() - hosts)
        self.check(spare)
        return cost


def show(name: str, costs: Sequence[Cost]) -> str:
    """One line of the table: medians, with the spread of the wall time."""
    walls = [cost.wall for cost in costs]
    return (
        f"{name:<8} wall {statistics.median(walls):6.1f} s ({min(walls):.1f}-{max(walls):.1f})   CPU"
        f" {statistics.median(cost.cpu for cost in costs):6.1f} s"
        f" (controller {statistics.median(cost.controller for cost in costs):.1f},"
        f" hosts {statistics.median(cost.hosts for cost in costs):.1f})"
    )


def main() -> int:
    """Measure the pairs and print the ratio."""
    parser = argparse.ArgumentParser(
        description=textwrap.dedent(__doc__ or ""), formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--rows", type=int, default=250_000, help="rows of the table beside Sakila (200,000: a 46 MB dump)"
    )
    parser.add_argument("--suite", choices=("12", "13"), default="12")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    arguments = parser.parse_args()
    bench = Bench(pairs=arguments.pairs, rows=arguments.rows, suite=arguments.suite)
    ways: dict[str, Callable[[str], None]] = {"floor": bench.floor, "rebuild": bench.rebuild}
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    try:
        print("bench: provisioning the stack", flush=True)
        bench.prepare()
        print(f"bench: the dump is {len(base64.b64decode(bench.dump)) / 1e6:.1f} MB compressed", flush=True)
        spares = iter(bench.spares)
        for pair in range(arguments.pairs):
            # Whatever drifts while the bench runs meets both ways alike.
            for name in sorted(ways, reverse=pair % 2 == 1):
                cost = bench.measure(ways[name], next(spares))
                costs[name].append(cost)
                print(f"bench: pair {pair + 1}, {name}: {cost.wall:.1f} s, CPU {cost.cpu:.1f} s", flush=True)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if not arguments.keep:
            labs.down(bench.lab)
    for name, measured in costs.items():
        print(show(name, measured))
    ratios = [ours.wall / floor.wall for ours, floor in zip(costs["rebuild"], costs["floor"], strict=True)]
    print(f"spread of the ratio: {min(ratios):.2f}-{max(ratios):.2f}")
    print(f"rebuild: {statistics.median(ratios):.2f} x floor ({len(ratios)} pairs)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
