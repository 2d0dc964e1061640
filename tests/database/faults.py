"""Break restores and dumps in every way we know, on a real server.

    python -m tests.database.faults --system 12 [--fault disk_full,kill_run_moved]

Each fault strikes a restore that is to replace live data. Then the live data must be what it was, and a second run
must succeed, with what it replaced kept; at last the kept data is put back, and must be what it was once more. Ends
with 1 where that did not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.database import stand as stands
from tests.database.stand import STATE, Answer, LabError, Stand, wait_for

DATADIR = "/var/lib/mysql"
INCOMING = f"{DATADIR}.incoming"
SMALL_DISK = 1024  # MiB, in memory
RESTORE = "phoenix.webstack.mysql_restore"
# A table that takes seconds to load and has indexes that wait, and one of each kind that a switch has to carry along.
SHOP = """
DROP DATABASE IF EXISTS shop; CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(60)) ENGINE = InnoDB;
INSERT INTO customers VALUES (1, 'Zoë 🐘'), (2, 'O''Hara'), (3, NULL);
CREATE TABLE orders (
  id INT PRIMARY KEY AUTO_INCREMENT, customer INT, placed DATETIME, note VARCHAR(200),
  KEY placed (placed), KEY note (note),
  CONSTRAINT by_customer FOREIGN KEY (customer) REFERENCES customers (id)
) ENGINE = InnoDB;
CREATE TABLE log (at TIMESTAMP NULL, what VARCHAR(40)) ENGINE = InnoDB;
INSERT INTO orders (customer, placed, note) VALUES (1, '2026-01-01 10:00:00', REPEAT('a', 120));
SET @i = 0;
"""
DOUBLE = (
    "INSERT INTO orders (customer, placed, note) SELECT 1 + id % 3, placed + INTERVAL id MINUTE, MD5(id) FROM orders;"
)
DOUBLE_MYSQL = DOUBLE.replace("MD5(id)", "SHA2(id, 256)")
OBJECTS = """
CREATE FUNCTION twice (n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
CREATE VIEW late AS SELECT o.id, c.name, total(o.customer) AS n FROM orders o JOIN customers c ON c.id = o.customer;
CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' DO DELETE FROM log;
CREATE TRIGGER orders_log AFTER INSERT ON orders FOR EACH ROW INSERT INTO log VALUES (NOW(), CONCAT('order ', NEW.id));
"""
FUNCTION = (
    "CREATE FUNCTION total (c INT) RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM orders WHERE customer = c)"
)
# What the live data has that the dump has not.
LIVE = """
USE shop; DELETE FROM orders WHERE id % 7 = 0; CREATE TABLE mine (id INT PRIMARY KEY) ENGINE = InnoDB;
INSERT INTO mine VALUES (42); DROP VIEW late; CREATE VIEW mine_view AS SELECT * FROM mine;
CREATE TRIGGER mine_log AFTER INSERT ON mine FOR EACH ROW INSERT INTO log VALUES (NOW(), 'mine');
"""


class ViolationError(Exception):
    """Something that must hold did not."""


@dataclass
class Trial:
    """A host whose live data differs from a dump that lies on it."""

    stand: Stand
    method: str = "logical"
    dump: str = ""
    live: dict[str, Any] = field(default_factory=dict)
    dumped: dict[str, Any] = field(default_factory=dict)
    doublings: int = 18

    def prepare(self) -> None:
        """Make the data, dump it, and let the live data move on."""
        double = DOUBLE_MYSQL if self.stand.engine == "mysql" else DOUBLE
        self.stand.sql("SET GLOBAL log_bin_trust_function_creators = 1; " + SHOP + double * self.doublings)
        self.stand.sql(f"USE shop; {FUNCTION}")
        self.stand.sql(f"USE shop; {OBJECTS}")
        answer = self.stand.module("phoenix.webstack.mysql_dump", databases=["shop"], method=self.method)
        expect(not answer.failed, f"the dump failed: {answer.message}")
        self.dump = answer.result["dump"]["path"]
        self.dumped = self.stand.sums("shop")
        self.stand.sql(LIVE)
        self.live = self.stand.sums("shop")

    def reset(self) -> None:
        """Start afresh, whatever a fault has left."""
        self.stand.restart_server()
        for name in self.databases():
            if name.startswith("shop"):
                self.stand.sql(f"DROP DATABASE `{name}`")
        self.stand.hand("rm", "-rf", STATE)
        self.prepare()

    def arguments(self, **more: Any) -> dict[str, Any]:
        """Arguments of the restore."""
        return {"path": self.dump, "replace": ["shop"], "lock_timeout": 5, **more}

    def begin(self, **more: Any) -> subprocess.Popen[str]:
        """Start the restore."""
        return self.stand.begin(RESTORE, **self.arguments(**more))

    def reach(self, phase: str, *, then: str = ":") -> None:
        """Wait until the restore is in a phase, and do something there at once: some phases last for moments."""
        told = f'grep --quiet --no-messages \'"phase": "{phase}\' {STATE}/.progress.json'
        self.stand.hand("timeout", "120", "sh", "-c", f"until {told}; do sleep 0.005; done; {then}")

    def pid(self) -> str:
        """The process of the restore."""
        return self.stand.hand("cat", f"{STATE}/.lock")

    def running_pid(self) -> str:
        """The same, once there is one."""
        self.reach("prove")
        return self.pid()

    def check_untouched(self) -> None:
        """The live data is what it was."""
        now = self.stand.sums("shop")
        expect(now == self.live, f"the live data has changed: {difference(self.live, now)}")

    def check_second_run(self) -> None:
        """A second run succeeds, keeps what it replaced, leaves nothing beside, and the way back works."""
        answer = self.stand.module(RESTORE, **self.arguments())
        expect(not answer.failed, f"the second run failed: {answer.message}")
        now = self.stand.sums("shop")
        expect(now == self.dumped, f"the second run did not restore the dump: {difference(self.dumped, now)}")
        self.go_back()

    def go_back(self) -> None:
        """Put back what was kept, and see that it is whole."""
        kept = [name for name in self.databases() if name.startswith("shop__before")]
        expect(len(kept) == 1, f"kept are {kept}")
        answer = self.stand.module("phoenix.webstack.mysql_restore_kept", name=kept[0], state="live")
        expect(not answer.failed, f"putting back failed: {answer.message}")
        self.check_untouched()
        for entry in answer.result["kept"]:
            self.stand.module("phoenix.webstack.mysql_restore_kept", name=entry["kept"], state="absent")
        left = [name for name in self.databases() if name.startswith("shop__")]
        expect(not left, f"left behind: {left}")

    def databases(self) -> list[str]:
        """The databases of the server."""
        return self.stand.sql("SHOW DATABASES").split()


class CopyTrial(Trial):
    """The same with a copy of the whole server's files."""

    def prepare(self) -> None:
        """See `Trial.prepare`; what other faults have left would be copied too."""
        for name in self.databases():
            if name.startswith(("shop", "sakila")):
                self.stand.sql(f"DROP DATABASE `{name}`")
        super().prepare()

    def reset(self) -> None:
        """See `Trial.reset`."""
        self.stand.hand("sh", "-c", f"umount {INCOMING} 2>/dev/null; rm -rf {INCOMING} {DATADIR}.before_*")
        super().reset()

    def go_back(self) -> None:
        """Let the server run from the kept directory again, as the documentation says."""
        kept = self.stand.hand("sh", "-c", f"ls -d {DATADIR}.before_*").split()
        expect(len(kept) == 1, f"kept are {kept}")
        self.stand.hand("systemctl", "stop", self.stand.service)
        self.stand.hand("sh", "-c", f"rm -rf {DATADIR} && mv {kept[0]} {DATADIR}")
        self.stand.restart_server()
        self.stand.hand("rm", "-rf", STATE)  # which tells of the data that was just removed
        self.check_untouched()
        left = self.stand.hand("sh", "-c", f"ls -d {INCOMING} {DATADIR}.before_* 2>/dev/null || true").split()
        expect(not left, f"left behind: {left}")


def expect(condition: bool, message: str) -> None:
    """Require something."""
    if not condition:
        raise ViolationError(message)


def difference(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """The first few differences between two results of `Stand.sums`."""
    told = []
    for name, described in wanted.items():
        for part in ("tables", "objects"):
            want, have = described[part], found.get(name, {}).get(part, {})
            told += [
                f"{name} {key}: {want.get(key)} / {have.get(key)}"
                for key in sorted({*want, *have})
                if want.get(key) != have.get(key)
            ]
    return "; ".join(told[:4])


# -- faults: each breaks one restore and returns what the run said ---------------------------------


def kill_run(trial: Trial, phase: str) -> str:
    """Kill the module without a word."""
    process = trial.begin()
    try:
        trial.reach(phase, then=f"kill -9 $(cat {STATE}/.lock)")
    except LabError as error:
        answer = trial.stand.end(process)
        raise LabError(f"{phase} was not reached; the run said: {answer.message or answer.result}") from error
    return trial.stand.end(process).message


def kill_server(trial: Trial, phase: str) -> str:
    """Kill the server without a word; whoever watches it may start it again."""
    process = trial.begin()
    trial.reach(phase, then="kill -9 $(pidof mariadbd mysqld)")
    time.sleep(1)
    trial.stand.restart_server()
    return failed(trial.stand.end(process))


def kill_clients(trial: Trial, command: str) -> str:
    """End the connections of the loading clients, by the client's process or by the server."""
    process = trial.begin()
    trial.reach("load")
    wait_for(lambda: bool(loaders(trial)), what="a client that loads")
    if command == "process":
        trial.stand.hand("sh", "-c", "kill -9 $(pidof mariadb mysql)")
    else:
        for number in loaders(trial):
            trial.stand.sql(f"KILL {number}")
    return failed(trial.stand.end(process))


def loaders(trial: Trial) -> list[str]:
    """Connections that load."""
    return trial.stand.sql(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = 'shop__incoming' AND COMMAND = 'Query'"
    ).split()


def disk_full(trial: Trial) -> str:
    """Fill the disk when half of the rows are loaded: a small disk of its own, since the machine's is everybody's."""
    with small_disk(trial):
        process = trial.begin()
        trial.reach("load")
        trial.stand.hand("sh", "-c", f"head -c {SMALL_DISK}M /dev/zero > {DATADIR}/filler || true")
        answer = trial.stand.end(process)
        trial.stand.hand("rm", "-f", f"{DATADIR}/filler")
        trial.stand.restart_server()
        trial.check_untouched()
    return failed(answer)


@contextlib.contextmanager
def small_disk(trial: Trial) -> Iterator[None]:
    """Let the server live on a disk of SMALL_DISK MiB for a while."""
    service, hand = trial.stand.service, trial.stand.hand
    aside = f"{DATADIR}.aside"
    hand("systemctl", "stop", service)
    hand("cp", "--archive", DATADIR, aside)
    hand("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}M,mode=0755", "tmpfs", DATADIR)
    hand("sh", "-c", f"cp --archive {aside}/. {DATADIR}/ && chown mysql: {DATADIR}")
    trial.stand.restart_server()
    try:
        yield
    finally:
        hand("systemctl", "stop", service)
        hand("umount", DATADIR)
        hand("rm", "-rf", aside)
        trial.stand.restart_server()


def in_use(trial: Trial) -> str:
    """Hold a lock on a live table in an open transaction."""
    holder = hold(trial, "SELECT COUNT(*) FROM shop.mine")
    try:
        answer = trial.stand.module(RESTORE, **trial.arguments())
    finally:
        release(trial, holder)
    expect("The tables were in use for 5 s" in answer.message, answer.message)
    return failed(answer)


def kill_waiting(trial: Trial) -> str:
    """Kill the run while it waits for the live tables: triggers and events are gone, and the server waits on."""
    holder = hold(trial, "SELECT COUNT(*) FROM shop.customers")
    try:
        process = trial.begin(lock_timeout=60)
        renames = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'RENAME TABLE%'"
        wait_for(lambda: trial.stand.sql(renames) == "1", what="the switch to wait")
        trial.stand.hand("kill", "-9", trial.pid())
        answer = trial.stand.end(process)
        # The next run puts back what was taken off, before it does anything else; so does one that is refused.
        refused = trial.stand.module(RESTORE, **trial.arguments(replace=[]))
        expect(refused.failed, "a run without the name was not refused")
        expect(trial.stand.sql(renames) == "0", "the move of the killed run still waits")
    finally:
        release(trial, holder)
    return answer.message


def kill_moved(trial: Trial) -> str:
    """Kill the run when the tables have moved and the rest has not: the next run has to finish it."""
    holder = hold(trial, "SELECT shop.twice(2)")
    try:
        process = trial.begin()
        wait_for(lambda: has_moved(trial), what="the tables to move")
        trial.stand.hand("kill", "-9", trial.pid())
        answer = trial.stand.end(process)
    finally:
        release(trial, holder)
    resumed = trial.stand.module(RESTORE, **trial.arguments())
    expect(not resumed.failed, resumed.message)
    told = str(resumed.result["restore"].get("resumed"))
    expect("was finished" in told, f"it was not resumed: {resumed.result['restore']}")
    now = trial.stand.sums("shop")
    expect(now == trial.dumped, f"the resumed run did not restore the dump: {difference(trial.dumped, now)}")
    trial.go_back()
    return answer.message


def has_moved(trial: Trial) -> bool:
    """Whether the live tables are kept already."""
    return (
        trial.stand.sql(
            "SELECT COUNT(*) > 3 FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE 'shop\\_\\_before%'"
        )
        == "1"
    )


def hold(trial: Trial, statement: str) -> subprocess.Popen[bytes]:
    """Open a transaction that has used something, and leave it open."""
    podman, name = trial.stand.lab.podman, trial.stand.lab.container(trial.stand.host)
    text = f"START TRANSACTION; {statement}; DO SLEEP(300);"
    process = subprocess.Popen(
        [*podman.command, "exec", "-i", name, "mysql", "-N"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=podman.environment,
    )
    process.stdin.write(text.encode())  # type: ignore[union-attr]
    process.stdin.close()  # type: ignore[union-attr]
    wait_for(lambda: holder_of(trial) != "", what="the open transaction")
    return process


def holder_of(trial: Trial) -> str:
    """The connection that holds."""
    return trial.stand.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP(300)%'")


def release(trial: Trial, holder: subprocess.Popen[bytes]) -> None:
    """End the open transaction."""
    for number in holder_of(trial).split():
        trial.stand.sql(f"KILL {number}")
    holder.wait(timeout=30)


def twice(trial: Trial, phase: str = "load") -> str:
    """Start a second restore beside the first."""
    process = trial.begin()
    trial.reach(phase, then=f"kill -STOP $(cat {STATE}/.lock)")  # it would be done by then
    second = trial.stand.module(RESTORE, **trial.arguments())
    expect("Another restore is running" in second.message, second.message)
    trial.stand.hand("kill", "-9", trial.pid())
    trial.stand.end(process)
    return failed(second)


def wrong_credentials(trial: Trial) -> str:
    """Take the socket login of root away."""
    mysql = trial.stand.engine == "mysql"
    trial.stand.sql(
        "CREATE USER spare@localhost IDENTIFIED BY 'x'; GRANT ALL ON *.* TO spare@localhost WITH GRANT OPTION;"
    )
    how = "WITH caching_sha2_password BY" if mysql else "BY"
    trial.stand.sql(f"ALTER USER root@localhost IDENTIFIED {how} 'secret';")
    answer = trial.stand.module(RESTORE, **trial.arguments())
    word = "WITH auth_socket" if mysql else "VIA unix_socket"
    alter = f"ALTER USER root@localhost IDENTIFIED {word}; DROP USER spare@localhost;"
    trial.stand.hand("mysql", "--user=spare", "--password=x", stdin=alter)
    expect("does not let the user root in" in answer.message, answer.message or "the run did not fail")
    return failed(answer)


def changing_source(trial: Trial) -> str:
    """Make a table while the others are dumped: the dump is refused, and none is left."""
    process = trial.stand.begin("phoenix.webstack.mysql_dump", databases=["shop"], workers=1)
    # By one command there: a dump takes half a second. What it has read already cannot be changed under it anyway.
    change = (
        "until ls /var/backups/webstack/mysql/*.partial/shop.data-01.sql.zst; do :; done >/dev/null 2>&1;"
        " mysql -e 'CREATE TABLE shop.another (id INT)'"
    )
    trial.stand.hand("timeout", "60", "sh", "-c", change)
    answer = trial.stand.end(process)
    trial.stand.sql("DROP TABLE shop.another")
    left = trial.stand.hand("sh", "-c", "ls -d /var/backups/webstack/mysql/*.partial 2>/dev/null || true").strip()
    expect(not left, f"left behind: {left}")
    return failed(answer)


# How far the swap of the data directories has come, as the shell sees it.
SWAPS = {
    "begun": f"test -e {STATE}/.server.json",
    "done": f"test -e {STATE}/.server.json && ! test -e {INCOMING}",
}


def kill_swapping(trial: Trial, moment: str) -> str:
    """Kill the run while it swaps the data directories: the next run finishes that, or puts the old one back.

    The moment between the two renames is too short to be met: it is made by hand.
    """
    process = trial.begin()
    reached = SWAPS["begun" if moment == "between" else moment]
    journal = f"until {reached}; do :; done; kill -9 {trial.running_pid()}"
    trial.stand.hand("timeout", "120", "sh", "-c", journal)
    answer = trial.stand.end(process)
    if moment == "between":
        kept = json.loads(trial.stand.hand("cat", f"{STATE}/.server.json"))["kept"]
        trial.stand.hand("sh", "-c", f"systemctl stop {trial.stand.service}; mv {DATADIR} {kept}")
    resumed = trial.stand.module(RESTORE, **trial.arguments(replace=[]))
    now = trial.stand.sums("shop")
    expect(now in (trial.live, trial.dumped), f"neither the old nor the new data: {difference(trial.live, now)}")
    if now == trial.dumped:
        expect(not resumed.failed, resumed.message)
        trial.go_back()
    return f"{answer.message} {resumed.result.get('restore', {}).get('resumed', resumed.message)}"


def kill_prover(trial: Trial) -> str:
    """Kill the server that proves the copy."""
    process = trial.begin()
    trial.reach("prove")
    trial.stand.hand("sh", "-c", f"until pkill -9 -f '[d]atadir={INCOMING}'; do sleep 0.01; done")
    return failed(trial.stand.end(process))


def kill_live_server(trial: Trial) -> str:
    """Kill the live server while the copy is unpacked beside it: that has nothing to do with it."""
    process = trial.begin()
    trial.reach("unpack")
    trial.stand.hand("sh", "-c", "kill -9 $(pidof mariadbd mysqld)")
    answer = trial.stand.end(process)
    trial.stand.restart_server()
    if not answer.failed:
        trial.go_back()
    return answer.message or "it went on"


def no_room_to_unpack(trial: Trial) -> str:
    """Let the copy have a disk that is too small for it, which nobody could know before."""
    trial.stand.hand("mkdir", INCOMING)
    trial.stand.hand("mount", "-t", "tmpfs", "-o", "size=20M", "tmpfs", INCOMING)
    try:
        return failed(trial.stand.module(RESTORE, **trial.arguments()))
    finally:
        trial.stand.hand("umount", INCOMING)
        trial.stand.hand("rm", "-rf", INCOMING)


def no_start(trial: Trial) -> str:
    """Have a server that starts on its old data alone: it must be put back."""
    unit = f"/run/systemd/system/{trial.stand.service}.service.d"
    trial.stand.hand("touch", f"{DATADIR}/of-old")
    text = f"[Service]\nExecStartPre=/usr/bin/test -e {DATADIR}/of-old\n"
    trial.stand.hand("sh", "-c", f"mkdir -p {unit} && cat > {unit}/old.conf && systemctl daemon-reload", stdin=text)
    try:
        answer = trial.stand.module(RESTORE, **trial.arguments())
    finally:
        trial.stand.hand("sh", "-c", f"rm -r {unit} {DATADIR}/of-old; systemctl daemon-reload")
    expect("and runs on what it had before" in answer.message, answer.message)
    return failed(answer)


def failed(answer: Answer) -> str:
    """The message of a run that must have failed."""
    expect(answer.failed, f"the run did not fail: {answer.result}")
    return answer.message


FAULTS: dict[str, Callable[[Trial], str]] = {
    "kill_run_loading": lambda trial: kill_run(trial, "load"),
    "kill_run_indexing": lambda trial: kill_run(trial, "index"),
    "kill_run_proving": lambda trial: kill_run(trial, "prove"),
    "kill_run_waiting": kill_waiting,
    "kill_run_moved": kill_moved,
    "kill_server_loading": lambda trial: kill_server(trial, "load"),
    "kill_server_indexing": lambda trial: kill_server(trial, "index"),
    "kill_server_proving": lambda trial: kill_server(trial, "prove"),
    "kill_clients": lambda trial: kill_clients(trial, "process"),
    "lost_connections": lambda trial: kill_clients(trial, "connection"),
    "disk_full": disk_full,
    "in_use": in_use,
    "twice": twice,
    "wrong_credentials": wrong_credentials,
    "changing_source": changing_source,
}
# The same for a copy of the whole server.
COPY_FAULTS: dict[str, Callable[[Trial], str]] = {
    "copy_kill_unpacking": lambda trial: kill_run(trial, "unpack"),
    "copy_kill_preparing": lambda trial: kill_run(trial, "prepare"),
    "copy_kill_proving": lambda trial: kill_run(trial, "prove"),
    "copy_kill_swapping": lambda trial: kill_swapping(trial, "begun"),
    "copy_kill_between": lambda trial: kill_swapping(trial, "between"),
    "copy_kill_swapped": lambda trial: kill_swapping(trial, "done"),
    "copy_kill_prover": kill_prover,
    "copy_kill_live_server": kill_live_server,
    "copy_no_room": no_room_to_unpack,
    "copy_no_start": no_start,
    "copy_twice": lambda trial: twice(trial, phase="unpack"),
}

# MySQL applies the log of a copy when it starts on it: there is nothing to prepare.
MARIADB = ("copy_kill_preparing",)


def run(trial: Trial, name: str) -> bool:
    """Let one fault strike, and check what must hold; tell how it went."""
    begun = time.monotonic()
    try:
        message = {**FAULTS, **COPY_FAULTS}[name](trial)
        trial.check_untouched()
        trial.check_second_run()
    except Exception as error:  # noqa: BLE001 -- whatever it was, the next fault is tried too
        kind = "violated" if isinstance(error, ViolationError) else "broken"
        print(f"{name:22} {kind}: {error}", flush=True)
        if kind == "broken":
            traceback.print_exc()
        trial.reset()
        return False
    words = " ".join(message.split())[:230]
    print(f"{name:22} held  {time.monotonic() - begun:5.1f} s  {words}", flush=True)
    return True


def main(arguments: list[str]) -> int:
    """Run the faults on a lab of one host."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default="12", choices=sorted(stands.IMAGES))
    parser.add_argument("--fault", default=",".join([*FAULTS, *COPY_FAULTS]), help="some of: %(default)s")
    parser.add_argument("--lab", default="restore-faults")
    parser.add_argument("--doublings", type=int, default=18, help="the large table has two to this power rows")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    options = parser.parse_args(arguments)
    (stand,) = stands.start_all(options.lab, hosts=["web-01"], system=options.system)
    try:
        held = []
        wanted = options.fault.split(",")
        for trial, faults in (
            (Trial(stand=stand, doublings=options.doublings), FAULTS),
            (CopyTrial(stand=stand, doublings=options.doublings, method="physical"), COPY_FAULTS),
        ):
            names = [name for name in wanted if name in faults and not (name in MARIADB and stand.engine == "mysql")]
            if names:
                trial.prepare()
            held += [run(trial, name) for name in names]
    finally:
        if not options.keep:
            stands.labs.down(stand.lab)
    print(f"{sum(held)} passed, {len(held) - sum(held)} failed")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
