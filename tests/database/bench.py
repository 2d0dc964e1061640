"""How long it takes to bring a database from one server to another, in the ways there are.

    python -m tests.database.bench --mib 1024 [--system 12] [--ways copy,mysql_db,physical,logical] [--rounds 1]

Each way ends with the whole data on another host, over the lab's network. `copy` is the floor: the data directory of a
stopped server as a tar stream, with fsync, nothing checked. `mysql_db` is what a playbook does with community.mysql:
dump to a gzip file, fetch it, copy it, import it. The others are this collection's dump, fetch, copy and restore, as a
rebuild does them; proof and manifest are part of them. Times are of one run on one machine: only their ratios say
anything.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.database import stand as stands
from tests.database.stand import CACHE, LabError, Stand
from tools import fill_collections

COLLECTIONS = CACHE.parent / "bench-collections"
SETS = "/var/backups/webstack/mysql"
ROWS_A_MIB = 2400  # rows of the large tables with their indexes, measured
TABLE = """
CREATE TABLE {name} (
  id INT PRIMARY KEY AUTO_INCREMENT, customer INT NOT NULL, placed DATETIME NOT NULL, state CHAR(8) NOT NULL,
  reference VARCHAR(60) NOT NULL, note VARCHAR(255), KEY customer (customer, placed), KEY reference (reference),
  KEY state (state)
) ENGINE = InnoDB;
INSERT INTO {name} (customer, placed, state, reference, note)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
SELECT CRC32(i) % 50000, '2020-01-01' + INTERVAL CRC32(i * 7) % 3000000 MINUTE,
  ELT(1 + i % 4, 'new', 'paid', 'sent', 'done'),
  SHA2(i, 224), CONCAT(SHA2(i * 3, 256), ' a note of some words ', SHA2(i * 5, 256)) FROM n;
"""


def make_data(stand: Stand, mib: int) -> None:
    """Four large tables and a hundred small ones."""
    rows = mib * ROWS_A_MIB // 4
    limit = f"SET SESSION cte_max_recursion_depth = {rows + 1};"
    if stand.engine == "mariadb":
        limit = f"SET SESSION max_recursive_iterations = {rows + 1};"
    small = "".join(
        f"CREATE TABLE small_{n} (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO small_{n} VALUES (1, 'x');"
        for n in range(100)
    )
    stand.sql(f"DROP DATABASE IF EXISTS sakila; CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop; {limit} {small}")
    for number in range(4):
        stand.sql(f"USE shop; {limit} {TABLE.format(name=f'orders_{number}', rows=rows)}")


def size_mib(stand: Stand) -> int:
    """How large the data directory's part of the database is."""
    return int(stand.hand("du", "-sm", "/var/lib/mysql/shop").split()[0])


class Play:
    """The steps of one way, run by one ``ansible-playbook``, as a rebuild would."""

    def __init__(self, *ends: Stand) -> None:
        """Begin without any step."""
        self.ends = {stand.host: stand for stand in ends}
        self.tasks: list[dict[str, Any]] = []

    def add(self, stand: Stand, module: str, **arguments: Any) -> None:
        """Add a module on one of the hosts, as root; its answer is known as ``step_<number>``."""
        self.tasks.append({"name": f"step {len(self.tasks)}", module: arguments, "delegate_to": stand.host})
        self.tasks[-1]["become"] = True
        self.tasks[-1]["register"] = f"step_{len(self.tasks) - 1}"

    def run(self) -> list[dict[str, Any]]:
        """Run all steps, which have to succeed, and give their answers."""
        first = next(iter(self.ends.values()))
        play = {"hosts": first.host, "gather_facts": False, "tasks": self.tasks}
        path = CACHE / "bench" / "play.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([play]), encoding="utf-8")
        done = subprocess.run(
            ["ansible-playbook", "-i", str(first.lab.folder / "inventory"), str(path)],
            check=False,
            capture_output=True,
            text=True,
            cwd=stands.ROOT,
            env=stands.environment(),
        )
        try:
            tasks = json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"]
            answers = [next(iter(task["hosts"].values())) for task in tasks]
        except (ValueError, LookupError) as error:
            raise LabError(f"the play failed: {done.stdout}{done.stderr}"[-600:]) from error
        if any(answer.get("failed") or answer.get("unreachable") for answer in answers):
            raise LabError(f"the play failed: {answers[-1].get('msg')}")
        return answers


class Bench:
    """A source and a target, and the ways between them."""

    def __init__(self, source: Stand, target: Stand) -> None:
        """Remember both ends."""
        self.source, self.target = source, target
        self.proof: dict[str, float] = {}

    def reset(self) -> None:
        """An empty target, and no dumps anywhere."""
        self.target.restart_server()
        self.target.sql("DROP DATABASE IF EXISTS shop")
        for stand in (self.source, self.target):
            stand.hand(
                "sh", "-c", f"rm -rf {SETS} /var/lib/webstack /var/tmp/shop.sql.gz /var/lib/mysql.before_*; sync"
            )

    def copy(self) -> None:
        """Send the data directory as it is."""
        for stand in (self.source, self.target):
            stand.hand("systemctl", "stop", stand.service)
        address = self.source.lab.addresses(self.source.host)[0]
        receive = (
            "import shutil,socket,sys; s=socket.create_server(('', 7000)); c=s.accept()[0]; "
            "shutil.copyfileobj(sys.stdin.buffer, c.makefile('wb'), 1<<20)"
        )
        send = (
            f"import shutil,socket,sys; c=socket.create_connection(('{address}', 7000)); "
            "shutil.copyfileobj(c.makefile('rb'), sys.stdout.buffer, 1<<20)"
        )
        podman, container = self.source.lab.podman, self.source.lab.container(self.source.host)
        argv = ["sh", "-c", f'tar -C /var/lib/mysql -c shop | python3 -c "{receive}"']
        server = subprocess.Popen([*podman.command, "exec", container, *argv], env=podman.environment)
        time.sleep(1)
        begun = time.monotonic()
        self.target.hand("sh", "-c", f'mkdir /var/copy; python3 -c "{send}" | tar -C /var/copy -x; sync -f /var/copy')
        self.elapsed = time.monotonic() - begun
        server.wait(timeout=60)
        self.target.hand("rm", "-rf", "/var/copy")
        for stand in (self.source, self.target):
            stand.restart_server()

    def mysql_db(self) -> None:
        """The usual way."""
        socket = {"login_unix_socket": "/run/mysqld/mysqld.sock"}
        name, local = "shop.sql.gz", CACHE / "bench" / "shop.sql.gz"
        there = f"/var/tmp/{name}"
        play = Play(self.source, self.target)
        play.add(
            self.source,
            "community.mysql.mysql_db",
            name="shop",
            state="dump",
            target=there,
            single_transaction=True,
            **socket,
        )
        # As the login user, who may read it: as root, `fetch` takes ten minutes, by the square of the size.
        play.add(self.source, "ansible.builtin.fetch", src=there, dest=str(local), flat=True)
        play.tasks[-1]["become"] = False
        play.add(self.target, "ansible.builtin.copy", src=str(local), dest=there, mode="0600")
        play.add(self.target, "community.mysql.mysql_db", name="shop", state="import", target=there, **socket)
        play.run()
        local.unlink()

    def own(self, method: str) -> None:
        """The way of this collection."""
        dumps = CACHE / "bench" / "dumps"
        play = Play(self.source, self.target)
        play.add(self.source, "phoenix.webstack.mysql_dump", databases=["shop"], method=method)
        dump = {"path": "{{ step_0.dump.path }}", "manifest": "{{ step_0.dump.manifest }}"}
        here = f"{dumps}/{{{{ step_0.dump.id }}}}"
        hand = {"hand_to": self.target.host, "hand_to_path": dump["path"]}
        play.add(self.source, "phoenix.webstack.mysql_dump_fetch", **dump, dest=here, **hand)
        play.add(self.target, "phoenix.webstack.mysql_restore", path=dump["path"])
        *_before, restored = play.run()
        shutil.rmtree(dumps)
        self.proof[method] = restored["restore"]["databases"]["shop"]["proof_seconds"]

    def measure(self, way: str) -> float:
        """Seconds that a way takes, from nothing on the target to all of it."""
        self.reset()
        self.elapsed = 0.0
        ways: dict[str, Callable[[], None]] = {
            "copy": self.copy,
            "mysql_db": self.mysql_db,
            "physical": lambda: self.own("physical"),
            "logical": lambda: self.own("logical"),
        }
        begun = time.monotonic()
        ways[way]()
        seconds = self.elapsed or time.monotonic() - begun
        print(f"{way:10} {seconds:7.1f} s", flush=True)
        return seconds


def bring_mysql_db() -> None:
    """Have community.mysql, which nothing but this comparison uses."""
    fill_collections.TREE = COLLECTIONS / "ansible_collections"
    if not (fill_collections.TREE / "community" / "mysql").is_dir():
        fill_collections.TREE.mkdir(parents=True, exist_ok=True)
        fill_collections.install_from_wheel(["community.mysql"])


def main(arguments: list[str]) -> int:
    """Measure the ways and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--system", default="12", choices=sorted(stands.IMAGES))
    parser.add_argument("--ways", default="copy,mysql_db,physical,logical")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--lab", default="bench-restore")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    options = parser.parse_args(arguments)
    bring_mysql_db()
    source, target = stands.start_all(options.lab, hosts=["web-01", "web-02"], system=options.system)
    try:
        make_data(source, options.mib)
        print(f"{size_mib(source)} MiB of data files", flush=True)
        bench = Bench(source, target)
        ways = options.ways.split(",")
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _round in range(options.rounds):
            for way in ways:
                taken[way].append(bench.measure(way))
    finally:
        if not options.keep:
            stands.labs.down(source.lab)
    report({way: statistics.median(seconds) for way, seconds in taken.items()}, bench.proof)
    return 0


def report(taken: dict[str, float], proof: dict[str, float]) -> None:
    """The closing line, of what was measured."""
    print(json.dumps({"seconds": taken, "proof": proof}))
    told = []
    if {"physical", "mysql_db", "copy"} <= set(taken):
        physical = taken["physical"]
        told.append(
            f"physical {taken['mysql_db'] / physical:.1f} x mysql_db, {physical / taken['copy']:.1f} x raw copy"
        )
    if {"logical", "mysql_db"} <= set(taken):
        told.append(f"logical {taken['mysql_db'] / taken['logical']:.1f} x mysql_db")
    costs = [f"{way} +{100 * proof[way] / (taken[way] - proof[way]):.0f} %" for way in sorted(proof)]
    told += [f"proof {', '.join(costs)}"] if costs else []
    print(f"restore: {'; '.join(told)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
