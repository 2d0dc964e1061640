"""See that the guard of SSH is no hole, on real hosts that the roles `ufw` and `ssh_lifeline` guard.

    make guard-holes                  on Debian 12 and 13
    make guard-holes ARGS="--os 13"   on one of them

- **It opens nothing else.** Ports are scanned before a fault and after it was healed, by an admin and by somebody from
  outside `ssh_admin_cidrs`: nobody reaches what he could not reach before, and to an outsider SSH is closed.
- **Nobody but root commands it.** A user without any rights tries to stop it, to have it act on his input, and to keep
  it busy; then it runs as before, has done nothing, and heals the next fault.
"""

from __future__ import annotations

import argparse
import dataclasses
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))


from tests.faults.__main__ import only_one
from tests.faults.admins import OUTSIDERS, Admins
from tests.faults.catalogue import FAULTS
from tests.faults.machines import GUARD, Host, Workshop
from tests.faults.model import SUITES, Fault, FaultsError, select
from tests.faults.trial import LEARNING, Trial

# They close SSH, each another way, and open nothing themselves.
CLOSING = "N01,N03,N04,N06,N08,N12,N13,N20,N31,N36,N50,R01,R03,R06,S01,S03,S05,S11,S13,S15,S66,U13"
PORTS = (21, 22, 23, 25, 53, 80, 111, 443, 631, 992, 999, 1007, 2222, 3306, 8080, 40000)
# Something listens on each, so that what the firewall lets through is seen.
LISTEN = f"""
run_on python3 -c '
import signal, socket
held = [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    for port in {PORTS!r} if port != 22]
signal.pause()'
ufw allow 80/tcp; sleep 1
"""
SCAN_SECONDS = 1.5
HEAL_SECONDS = 20.0

# What a user without any rights tries. Each has to fail, or to have no effect.
USER = "mallory"
ATTACKS = {
    "systemctl": f"""
        for verb in stop kill disable mask restart; do systemctl --no-ask-password $verb {GUARD}.service; done""",
    "the message bus": "busctl --no-ask-password call org.freedesktop.systemd1 /org/freedesktop/systemd1"
    f" org.freedesktop.systemd1.Manager StopUnit ss {GUARD}.service replace",
    "signals": f"pid=$(systemctl show --property=MainPID --value {GUARD}); kill -9 $pid; kill -STOP $pid",
    "the command": f"""
        for verb in off on heal accept explain 'arm --seconds 60' rollback run; do timeout 20 {GUARD} $verb; done""",
    "its folders": f"""
        for folder in /run/{GUARD} /var/lib/{GUARD} /etc/{GUARD} /usr/local/lib/{GUARD} /etc/ssh/{GUARD}; do
            touch $folder/x; ln -s /etc/shadow $folder/status.json; rm -rf $folder/*; mv $folder $folder.old
        done
        rm -f /run/{GUARD}/control; ln -sf /dev/null /run/{GUARD}/control""",
    "names that it may write to": f"""
        for folder in /tmp /var/tmp /run/lock /dev/shm; do
            ln -s /etc/passwd $folder/{GUARD}; ln -s /etc/shadow $folder/.{GUARD}; touch $folder/{GUARD}.lock
        done""",
    # It leaves files alone as long as another version of it, or a package, is put on the host.
    "locks that it heeds": f"""
        python3 -c '
import fcntl, os, signal
for path in ("/run/lock/{GUARD}", "/run/{GUARD}/installing", "/var/lib/dpkg/lock-frontend"):
    for flags, kind in ((os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX), (os.O_RDONLY, fcntl.LOCK_SH)):
        try:
            fcntl.lockf(os.open(path, flags), kind | fcntl.LOCK_NB)
        except OSError as error:
            print(path, error)
signal.pause()' & disown""",
    "the journal": f"""
        logger -t {GUARD} -p auth.err 'login: put back /etc/shadow'; logger -t sshd 'Accepted publickey for root'
        printf 'MESSAGE=x\\nSYSLOG_IDENTIFIER={GUARD}\\nSSH_LIFELINE_KIND=healed\\n' | logger --journald""",
    "the control socket": f"""
        python3 -c '
import socket, time
asking = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); asking.setblocking(False)
end = time.monotonic() + 10
while time.monotonic() < end:
    for word in (b"off", b"look", b"x" * 60000, b"END", b""):
        try:
            asking.sendto(word, "/run/{GUARD}/control")
        except OSError:
            time.sleep(0.001)'""",
    "a network of his own with a device like the host's": """
        unshare --user --map-root-user --net \\
            sh -c "ip link add eth0 type dummy; ip link set eth0 address $MAC; sleep 600" & disown""",
}
SEEN = f"""
systemctl show --property=MainPID,NRestarts,ActiveState,UnitFileState {GUARD}.service {GUARD}.timer
find /etc/{GUARD} /usr/local/*/{GUARD} /etc/ssh -type f -not -name '*.pyc' | sort | xargs sha256sum
stat --format '%n %a %u' /run/{GUARD} /var/lib/{GUARD} /run/{GUARD}/control
"""
USED = f"sed 's/.*) //' /proc/$(systemctl show --property=MainPID --value {GUARD})/stat"
BUSY = 0.5  # of one core, at the most, while it is asked all the time


class Hole(Exception):  # noqa: N818 (it is what is looked for)
    """The guard lets somebody do what he must not."""


def reachable(host: Host, sources: dict[int, str]) -> frozenset[tuple[int, int]]:
    """Return the versions of IP and ports over which somebody gets a connection."""
    asked = [(version, port) for version in sources for port in PORTS]

    def connects(place: tuple[int, int]) -> bool:
        version, port = place
        source = (sources[version], 0)
        try:
            with socket.create_connection((host.addresses[version], port), SCAN_SECONDS, source_address=source):
                return True
        except OSError:
            return False

    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        return frozenset(place for place, open_ in zip(asked, pool.map(connects, asked), strict=True) if open_)


@dataclasses.dataclass
class Search:
    """The search on hosts of one version of Debian."""

    workshop: Workshop
    suite: str

    def run(self, lane: int, fault: Fault) -> str:
        """Return what came of one fault, for a person.

        :raises Hole: when somebody reaches more than before.
        """
        host = self.workshop.start(fault, self.suite, lane)
        try:
            admins, environment = self._begin(host, fault)
            ways = self.workshop.ways
            admin = {way.version: way.sources[-1] for way in ways if "off-link" in way.name}
            before = {"an admin": reachable(host, admin), "an outsider": reachable(host, OUTSIDERS)}
            if not {(4, 22), (6, 22), (4, 80), (6, 80)} <= before["an admin"]:
                raise FaultsError(f"the admin reaches {sorted(before['an admin'])} only, before anything happens")
            host.type(fault.inject, environment)
            seconds = self._await_login(admins)
            after = {"an admin": reachable(host, admin), "an outsider": reachable(host, OUTSIDERS)}
            for who, places in after.items():
                if places - before[who]:
                    raise Hole(f"{fault.id}: {who} reaches {sorted(places - before[who])} more than before")
            if any(port == 22 for _version, port in after["an outsider"] | before["an outsider"]):
                raise Hole(f"{fault.id}: SSH is open to an outsider")
            told = f"healed after {seconds:.1f} s" if seconds else "prevented"
            open_to = ", ".join(f"to {who}: {as_words(places)}" for who, places in after.items())
            return f"{fault.id:<5} {told}; open {open_to}"
        finally:
            host.remove()

    def attack(self, lane: int) -> str:
        """Have a user without rights try everything, and return what came of it.

        :raises Hole: when any of it had an effect.
        """
        fault = dataclasses.replace(select(FAULTS, "S11")[0], base="")
        host = self.workshop.start(fault, self.suite, lane)
        try:
            admins, environment = self._begin(host, fault)
            host.type(f"useradd --create-home --shell /bin/bash {USER}")
            if host.type(f"runuser -u {USER} -- id -un") != USER:
                raise FaultsError(f"nothing can be done as {USER}")
            environment["MAC"] = host.type("cat /sys/class/net/eth0/address")
            before, events = host.type(SEEN), self._events(host)
            used, began = self._used(host), time.monotonic()
            for name, script in ATTACKS.items():
                host.type(f"runuser -u {USER} -- bash -c {quoted(script)}", environment)
                if host.type(SEEN) != before:
                    raise Hole(f"{name}: the guard is not what it was:\n{before}\n{host.type(SEEN)}")
            share = (self._used(host) - used) / (time.monotonic() - began)
            if share > BUSY:
                raise Hole(f"the guard was kept busy: {share:.2f} of a core")
            if self._events(host) != events:
                raise Hole(f"the guard was made to act: {self._events(host)}")
            host.type(fault.inject, environment)
            seconds = self._await_login(admins)
            done = f"{len(ATTACKS)} attacks of a user without rights: no effect, {100 * share:.0f} % of a core"
            return f"{done}; then {fault.id} healed after {seconds:.1f} s"
        finally:
            host.remove()

    def _begin(self, host: Host, fault: Fault) -> tuple[Admins, dict[str, str]]:
        admins, environment = self.workshop.admins_of(host, one_source=False), host.environment(self.workshop.ways)
        trial = Trial(self.workshop, fault, self.suite, 0.0, threading.Event())
        trial.await_open(admins)
        host.type(LISTEN)
        time.sleep(LEARNING)
        trial.await_open(admins)
        return admins, environment

    @staticmethod
    def _await_login(admins: Admins) -> float:
        """Return how many seconds it took until every view worked, three times in a row; 0 where it always did."""
        began, opened, in_a_row = time.monotonic(), 0.0, 0
        while in_a_row < 3:
            if admins.look(doubt=False):
                opened, in_a_row = time.monotonic() - began, 0
            else:
                in_a_row += 1
            if time.monotonic() > began + HEAL_SECONDS + 10:
                raise FaultsError("SSH does not come back")
            time.sleep(0.7)
        return opened

    @staticmethod
    def _events(host: Host) -> str:
        return host.type(
            f"{GUARD} status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"events\"])'"
        )

    @staticmethod
    def _used(host: Host) -> float:
        """Return the CPU seconds of the guard and its children."""
        return sum(map(int, host.type(USED).split()[11:15])) / 100


def quoted(script: str) -> str:
    """Return a script as one word of a shell."""
    return "'" + script.replace("'", "'\\''") + "'"


def as_words(places: frozenset[tuple[int, int]]) -> str:
    """Return ports, for a person; those of one version of IP alone with it."""
    both = sorted({port for _version, port in places if {(4, port), (6, port)} <= places})
    single = [f"{port}/IPv{version}" for version, port in sorted(places) if port not in both]
    return " ".join([*map(str, both), *single]) or "nothing"


def search(workshop: Workshop, suites: Sequence[str], jobs: int) -> Iterator[tuple[bool, str]]:
    """Yield for each trial whether it found no hole, and what came of it."""
    faults = [dataclasses.replace(fault, base="") for fault in select(FAULTS, CLOSING)]
    # Without a fault it is the user who attacks.
    wanted = [(suite, fault) for fault in (None, *faults) for suite in suites]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        asked = []
        for lane, (suite, fault) in enumerate(wanted, start=1):
            one = Search(workshop, suite)
            job = pool.submit(one.attack, lane) if fault is None else pool.submit(one.run, lane, fault)
            asked.append((suite, job))
        for suite, finished in asked:
            error = finished.exception()
            yield error is None, f"Debian {suite}  {finished.result() if error is None else repr(error)}"


def main() -> int:
    """Search, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--os", choices=SUITES, help="Debian's version; default: both")
    parser.add_argument("--jobs", type=int, default=3, help="hosts beside each other; default: %(default)s")
    arguments = parser.parse_args()
    suites = [arguments.os] if arguments.os else list(SUITES)
    with only_one():
        workshop = Workshop(guarded=True)
        try:
            workshop.open(suites)
            found = []
            for good, words in search(workshop, suites, arguments.jobs):
                found.append(good)
                print(words if good else f"HOLE  {words}", flush=True)
        finally:
            workshop.close()
    print(f"guard: {len(found)} trials, {found.count(False)} with a hole")
    return int(False in found)


if __name__ == "__main__":
    sys.exit(main())
