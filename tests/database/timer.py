"""Break the timer's dumps in every way we know, on a real server.

    python -m tests.database.timer --system 12 [--fault killed,disk_full]

After each fault the dumps of before must be there, whole, and nothing else; the unit must have failed, its journal and
its metrics must say so; and the next dump must succeed. Ends with 1 where that did not hold.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.database import stand as stands
from tests.database.faults import ViolationError, expect
from tests.database.stand import LabError, Stand, wait_for

DIRECTORY = "/var/backups/webstack/mysql"
METRICS = "/run/mysql_backup.prom"
SERVICE = "webstack-mysql-backup.service"
USER = "'webstack-backup'@localhost"
# So large that a dump can be caught in the middle of it.
DATA = """
CREATE DATABASE shop; USE shop; CREATE TABLE small (a INT PRIMARY KEY); INSERT INTO small VALUES (1);
CREATE DATABASE big; USE big; CREATE TABLE rows_of_noise (id INT PRIMARY KEY AUTO_INCREMENT, x TEXT);
INSERT INTO rows_of_noise (x) VALUES (CONCAT(SHA2(RAND(), 512), SHA2(RAND(), 512), SHA2(RAND(), 512)));
"""
DOUBLE = (
    "INSERT INTO rows_of_noise (x) SELECT CONCAT(SHA2(RAND(), 512), SHA2(RAND(), 512), SHA2(RAND(), 512))"
    " FROM rows_of_noise;"
)


@dataclass
class Timer:
    """A host whose timer dumps two databases."""

    stand: Stand

    def prepare(self, *, doublings: int = 18, **variables: object) -> None:
        """Make the data and the timer, and take a good dump."""
        self.stand.sql(DATA + DOUBLE * doublings)
        self.schedule(**variables)
        expect(self.dump() == "", "the first dump failed")

    def schedule(self, **variables: object) -> None:
        """Run the role, with more variables."""
        given = {
            "mysql_backup_databases": ["shop", "big"],
            "mysql_backup_metrics": METRICS,
            "mysql_engine": self.stand.engine,
            "mysql_backup_schedule_keep": 1,
            "mysql_backup_schedule_keep_days": 0,
            **variables,
        }
        role = {"name": "phoenix.webstack.mysql_backup", "tasks_from": "schedule"}
        answer = self.stand.module("ansible.builtin.include_role", given, **role)
        if answer.failed:
            raise LabError(f"the role failed: {answer.result}")

    def shell(self, script: str) -> str:
        """Run a script as root on the host."""
        return self.stand.hand("sh", "-c", script).strip()

    def dump(self) -> str:
        """Take a dump as the timer does; returns how the service has ended, nothing for well."""
        self.shell(f"systemctl reset-failed {SERVICE}; systemctl start {SERVICE} 2>&1 || true")
        return self.failure()

    def failure(self) -> str:
        """How the service has failed, or nothing."""
        result = self.shell(f"systemctl show --property Result --value {SERVICE}")
        return "" if result == "success" else result

    def begin(self) -> None:
        """Begin a dump, and wait until some of it is written."""
        self.shell(f"systemctl reset-failed {SERVICE}; systemctl start --no-block {SERVICE}")
        written = f"du --summarize --block-size=1M {DIRECTORY}/*.partial 2>/dev/null | cut -f 1"
        wait_for(lambda: int(self.shell(written) or 0) > 2, what="a dump in the middle")

    def settle(self) -> None:
        """Wait until the service has ended."""
        state = f"systemctl is-active {SERVICE} || true"
        wait_for(lambda: self.shell(state) in ("inactive", "failed"), what="the end of the service")

    def sets(self) -> str:
        """All that lies in the directory, with the checksums of it."""
        return self.shell(f"cd {DIRECTORY} && find . -mindepth 2 -type f | sort | xargs sha256sum; ls -d *")

    def told(self, since: str) -> str:
        """What the journal says."""
        return self.shell(f"journalctl --unit {SERVICE} --output cat --no-pager --since @{since}")


def killed(timer: Timer) -> None:
    """All of the service dies."""
    timer.begin()
    timer.shell(f"systemctl kill --signal=KILL {SERVICE}")


def main_killed(timer: Timer) -> None:
    """The program dies alone, as for want of memory."""
    timer.begin()
    timer.shell(f"kill -9 $(systemctl show --property MainPID --value {SERVICE})")


def stopped(timer: Timer) -> None:
    """An admin stops it, or the host goes down."""
    timer.begin()
    timer.shell(f"systemctl stop {SERVICE}")


def server_down(timer: Timer) -> None:
    """There is no server at the timer's moment."""
    timer.shell(f"systemctl stop {timer.stand.service}")
    timer.dump()


def server_killed(timer: Timer) -> None:
    """The server dies under the dump."""
    timer.begin()
    timer.shell(f"kill -9 $(systemctl show --property MainPID --value {timer.stand.service})")


def blind(timer: Timer) -> None:
    """The account cannot see triggers any more."""
    timer.stand.sql(f"REVOKE TRIGGER ON shop.* FROM {USER}")
    timer.dump()
    timer.stand.sql(f"GRANT TRIGGER ON shop.* TO {USER}")


def no_account(timer: Timer) -> None:
    """The account is gone."""
    timer.stand.sql(f"RENAME USER {USER} TO 'other'@localhost")
    timer.dump()
    timer.stand.sql(f"RENAME USER 'other'@localhost TO {USER}")


def emptied(timer: Timer) -> None:
    """All tables of a database are gone."""
    timer.stand.sql("RENAME TABLE shop.small TO big.small")
    timer.dump()
    timer.stand.sql("RENAME TABLE big.small TO shop.small")


def wrong_recipient(timer: Timer) -> None:
    """The public key is none."""
    timer.schedule(mysql_backup_age_recipients=["age1nonsense"])
    timer.dump()
    timer.schedule()


@contextmanager
def small_disk(timer: Timer, mib: int) -> Iterator[None]:
    """Have the dumps of before on a small disk, and put them back where they were."""
    timer.shell(f"cp --archive {DIRECTORY} /root/kept && mount -t tmpfs -o size={mib}m tmpfs {DIRECTORY}")
    timer.shell(f"cp --archive /root/kept/. {DIRECTORY}")
    try:
        yield
    finally:
        timer.settle()
        timer.shell(f"rm --force {DIRECTORY}/filler")
        left = timer.shell(f"diff --recursive --brief --exclude=.lock /root/kept {DIRECTORY} 2>&1 || true")
        timer.shell(f"umount {DIRECTORY}; rm --recursive /root/kept")
        expect(left == "", f"the small disk has other dumps than before: {left}")


def disk_full(timer: Timer) -> None:
    """The disk fills up under the dump."""
    with small_disk(timer, 1024):
        timer.begin()
        free = f"$(df --output=avail --block-size=1M {DIRECTORY} | tail -n 1)"
        timer.shell(f"fallocate --length $(({free} - 8))MiB {DIRECTORY}/filler")


def no_room(timer: Timer) -> None:
    """There is no room for a dump from the beginning."""
    with small_disk(timer, 160):
        timer.dump()


# What the journal has to say of each.
FAULTS: dict[str, tuple[Callable[[Timer], None], str]] = {
    "killed": (killed, "the service ended by signal killed KILL"),
    "main_killed": (main_killed, "the service ended by signal killed KILL"),
    "stopped": (stopped, "Stopped"),
    "server_down": (server_down, "No database server listens on"),
    "server_killed": (server_killed, "There is no new dump"),
    "blind": (blind, "lacks TRIGGER on shop.*"),
    "no_account": (no_account, "does not let the user webstack-backup in"),
    "emptied": (emptied, "No table is left in: shop."),
    "wrong_recipient": (wrong_recipient, "`age1nonsense` is no public key of age"),
    "disk_full": (disk_full, "No space left on device"),
    "no_room": (no_room, "and the dump may need"),
}


def check(timer: Timer, name: str) -> str:
    """Let a fault strike, and hold what is there against what must be; returns what the journal said."""
    strike, words = FAULTS[name]
    before, since = timer.sets(), timer.shell("sleep 1; date +%s")
    strike(timer)
    timer.settle()
    told, failure = timer.told(since), timer.failure()
    expect(failure != "", "the unit did not fail")
    expect(words in told, f"the journal does not say `{words}`: {told}")
    expect("The last good dump is 2" in told, f"the journal names no last good dump: {told}")
    expect(timer.sets() == before, f"the dumps of before are not what they were: {timer.sets()}")
    expect("last_run_success 0" in timer.shell(f"cat {METRICS}"), "the metrics do not say that it failed")
    timer.stand.restart_server()
    expect(timer.dump() == "", "the next dump failed")
    expect("last_run_success 1" in timer.shell(f"cat {METRICS}"), "the metrics do not say that it succeeded")
    return next(line for line in told.splitlines() if words in line)


def run(timer: Timer, name: str) -> bool:
    """Try one fault, and tell how it went."""
    begun = time.monotonic()
    try:
        words = check(timer, name)
    except Exception as error:  # noqa: BLE001 -- whatever it was, the next fault is tried too
        print(f"{name:16} {'violated' if isinstance(error, ViolationError) else 'broken'}: {error}", flush=True)
        if not isinstance(error, ViolationError):
            traceback.print_exc()
        timer.stand.restart_server()
        return False
    print(f"{name:16} held  {time.monotonic() - begun:5.1f} s  {words[:200]}", flush=True)
    return True


def main(arguments: list[str]) -> int:
    """Run the faults on a lab of one host."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default="12", choices=sorted(stands.IMAGES))
    parser.add_argument("--fault", default=",".join(FAULTS), help="some of: %(default)s")
    parser.add_argument("--lab", default="backup-faults")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    options = parser.parse_args(arguments)
    (stand,) = stands.start_all(options.lab, hosts=["web-01"], system=options.system)
    try:
        timer = Timer(stand=stand)
        timer.prepare()
        held = [run(timer, name) for name in options.fault.split(",")]
    finally:
        if not options.keep:
            stands.labs.down(stand.lab)
    print(f"{sum(held)} passed, {len(held) - sum(held)} failed")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
