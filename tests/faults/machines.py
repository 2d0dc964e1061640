"""The hosts that faults are injected into, and the images they start from.

    localhost/lab/faults:12                    the lab's server with packages that the faults need, and its keys
    localhost/lab/faults:12-bare-22tcp         the same after `ufw allow 22/tcp` and `ufw enable`, nothing else
    localhost/lab/faults:12-guarded-22tcp      the same after the roles `ufw` and `ssh_lifeline` over Ansible

Images are kept, and made again when what they are made from has changed: the roles, for one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import images
import lab as labs
from engine import ROOT, LabError

from tests.faults import admins
from tests.faults.model import Fault, FaultsError

FOLDER = ROOT / ".cache" / "faults"
PLAYBOOK = Path(__file__).with_name("guarded.yml")
GUARD = "ssh-lifeline"
GUARDING = (
    "plugins/module_utils/_*.py",
    "plugins/module_utils/_lifeline/*",
    "plugins/module_utils/_ssh/*",
    "plugins/module_utils/_ufw/*",
    "plugins/modules/ssh_*",
    "plugins/modules/ufw*",
    "plugins/action/ssh_*",
    "roles/ufw/**/*",
    "roles/ssh_lifeline/**/*",
)
# Every host is a clone of one image, and known by one name.
ALIAS = "host"
ANCHOR = "anchor"
PACKAGES = "ufw iptables nftables arptables fail2ban ipset netcat-openbsd python3-systemd"
BOOT_TIMEOUT = 60.0
ADDRESSES = admins.FIRST_SOURCE - labs.FIRST_ADDRESS  # the next ones are those of admins
ADDRESS_IN_USE = "already allocated"  # in the words of podman's IPAM
INJECTION_TIMEOUT = 90
# The kernel's settings can be written, as on a real host; those that are not of the network stay as they are.
WRITABLE_SYSCTL = ("--security-opt", "unmask=/proc/sys")
INSTALL = f"""
set -eu
export DEBIAN_FRONTEND=noninteractive
systemctl -q mask systemd-sysctl.service
apt-get -qq -y install --no-install-recommends {PACKAGES} >/dev/null
systemctl -q disable --now fail2ban.service
chown -R admin: /home/admin/.ssh
install -D -m 0600 /home/admin/.ssh/authorized_keys /root/.ssh/authorized_keys
"""
# What the commands of the faults may use.
PRELUDE = """
both() { iptables -w "$@" && ip6tables -w "$@"; }
sshd_says() { for line; do sed -i "1i $line" /etc/ssh/sshd_config; done; }
unit_file() {
    mkdir -p "$(dirname "/etc/systemd/system/$1")"
    printf '%s\\n' "${@:2}" >"/etc/systemd/system/$1"
    systemctl daemon-reload
}
unit_says() { unit_file ssh.service.d/fault.conf "$@"; }
run_on() { systemd-run --quiet --collect "$@"; }
"""


@dataclass
class Host:
    """A running container of the harness."""

    lab: labs.Lab
    name: str

    @property
    def addresses(self) -> dict[int, str]:
        """The host's addresses by version of IP."""
        ipv4, ipv6 = self.lab.addresses(self.name)
        return {4: ipv4, 6: ipv6}

    def environment(self, ways: Sequence[admins.Route]) -> dict[str, str]:
        """Return what the commands of a fault are told.

        ON4, ON6, OFF4, OFF6: the first address of each route's admins; ADMIN_NETS: all their networks, and
        ADMIN_NETS4, ADMIN_NETS6; OWN4, OWN6: the host's addresses; GATEWAY4, GATEWAY6: its default gateways.
        """
        own = self.addresses
        told = {f"OWN{version}": address for version, address in own.items()}
        for route in ways:
            where = "OFF" if route.network in admins.DISTANT else "ON"
            told[f"{where}{route.version}"] = route.sources[0]
            if where == "ON":
                told[f"GATEWAY{route.version}"] = str(route.network[1])
        for version in (4, 6):
            told[f"ADMIN_NETS{version}"] = " ".join(str(way.network) for way in ways if way.version == version)
        told["ADMIN_NETS"] = f"{told['ADMIN_NETS4']} {told['ADMIN_NETS6']}"
        return told

    def type(self, script: str, environment: dict[str, str] | None = None) -> str:
        """Have root type commands, around SSH; return what they printed and how they ended.

        Their failure is no error: a fault may well break the shell that it is typed into.
        """
        told = [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
        container = self.lab.container(self.name)
        command = [*self.lab.podman.command, "exec", "--interactive", *told, container, "bash", "-u"]
        try:
            done = subprocess.run(
                command,
                input=PRELUDE + script + "\n",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=self.lab.podman.environment,
                timeout=INJECTION_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"(still running after {INJECTION_TIMEOUT} s)"
        ending = f"(ended with {done.returncode})" if done.returncode else ""
        return f"{done.stdout.strip()}\n{ending}".strip()

    def reboot(self) -> None:
        """Restart the host and return when it has booted, into whatever target."""
        name = self.lab.container(self.name)
        done = self.lab.podman.attempt("restart", "--time", "10", name)
        tries = 0
        while ADDRESS_IN_USE in done.stderr.decode(errors="replace") and tries < 20:  # by this very host, as yet
            time.sleep(0.5)
            tries += 1
            done = self.lab.podman.attempt("start", name)
        if done.returncode:
            raise FaultsError(f"the host cannot be restarted: {done.stderr.decode(errors='replace').strip()}")
        self.wait_for_boot()

    def wait_for_boot(self) -> str:
        """Wait until systemd has nothing left to start, or for a minute; return the state it is in."""
        deadline = time.monotonic() + BOOT_TIMEOUT
        state = ""
        while state not in ("running", "degraded", "maintenance") and time.monotonic() < deadline:
            asked = self.lab.podman.attempt("exec", self.lab.container(self.name), "systemctl", "is-system-running")
            state = asked.stdout.decode(errors="replace").strip()
            time.sleep(0.3)
        return state

    def journal(self, *, since: float) -> list[str]:
        """Return the last lines that the guard wrote, with seconds from a moment of the epoch."""
        # Servers that the guard starts by hand, and those of trial logins, write as the same unit.
        who = ["--unit", GUARD, "--identifier", GUARD, "--identifier", "systemd"]
        argv = ["journalctl", *who, "--output", "json", "--lines", "80", "--no-pager"]
        written = self.lab.podman.attempt("exec", self.lab.container(self.name), *argv).stdout
        entries = [json.loads(line) for line in written.splitlines()]
        lines = [(int(each["__REALTIME_TIMESTAMP"]) / 1e6 - since, str(each.get("MESSAGE", ""))) for each in entries]
        return [f"{at:+7.1f} s  {message}" for at, message in lines]

    def remove(self) -> None:
        """Take the host off."""
        self.lab.podman.attempt("rm", "--force", "--time", "0", "--volumes", self.lab.container(self.name))


@dataclass
class Workshop:
    """Makes images and hosts, and leaves nothing but images behind."""

    guarded: bool
    lab: labs.Lab = field(default_factory=lambda: labs.Lab("faults", FOLDER / "lab"))
    ways: list[admins.Route] = field(default_factory=admins.routes)
    _building: threading.Lock = field(default_factory=threading.Lock)
    _ready: set[str] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(1, ADDRESSES)))

    def open(self, suites: Sequence[str]) -> None:
        """Prepare the network, the admins' addresses and the keys."""
        labs.allow_inotify_instances()
        images.ensure(self.lab.podman, {f"lab/debian:{suite}" for suite in suites})
        self.close()
        self._make_keys()
        subnets = [word for network in admins.NEAR for word in ("--subnet", str(network))]
        label = f"{labs.LAB_LABEL}={self.lab.name}"
        self.lab.podman.run("network", "create", "--ipv6", *subnets, "--label", label, self.lab.name)
        # The bridge lives as long as somebody is on it, and the admins' addresses with it.
        self.lab.podman.run(
            *("run", "--detach", "--pull", "never", "--name", self.lab.container(ANCHOR)),
            *("--label", label, "--label", f"{labs.HOST_LABEL}={ANCHOR}"),
            *("--network", self.lab.name, f"localhost/lab/debian:{suites[0]}", "sleep", "infinity"),
        )
        described = self.lab.podman.inspect("network", self.lab.name) or {}
        admins.move_in(described["network_interface"], self.ways)

    def close(self) -> None:
        """Remove hosts, network and addresses, those of a run that was cut off as well."""
        try:
            labs.remove_containers(self.lab)
        except LabError:  # a host that is full of processes may take its time to end
            time.sleep(5)
            labs.remove_containers(self.lab)
        admins.move_out()

    @property
    def stranger(self) -> Path:
        """A key that opens nothing."""
        return self.lab.folder / "stranger"

    def _make_keys(self) -> None:
        """Make the keys once: they are part of the images."""
        if self.lab.known_hosts.exists():
            return
        self.lab.folder.mkdir(parents=True, exist_ok=True)
        for key in (self.lab.private_key, self.stranger):
            key.unlink(missing_ok=True)
            labs.generate_key(key, "ed25519", comment=key.name)
        archive, public_keys = labs.credentials(self.lab, ALIAS)
        (self.lab.folder / "credentials.tar").write_bytes(archive)
        self.lab.known_hosts.write_text("".join(f"{line}\n" for line in public_keys))

    # -- hosts

    def start(self, fault: Fault, suite: str, lane: int) -> Host:
        """Start a fresh host for a fault."""
        image = self.image(suite, fault.base)
        return self._boot_anywhere(Host(self.lab, f"lane-{lane}"), image)

    def _boot_anywhere(self, host: Host, image: str, tries: int = 20) -> Host:
        """Start a host at an address of its own: podman does not always give one free that was used a moment ago."""
        try:
            return self._boot(host, image, next(self._numbers))
        except LabError as error:
            if not tries or ADDRESS_IN_USE not in str(error):
                raise
            return self._boot_anywhere(host, image, tries - 1)

    def _boot(self, host: Host, image: str, number: int, archive: bytes = b"") -> Host:
        """Start a host from an image, at an address that a restart does not change."""
        host.remove()
        name = host.lab.container(host.name)
        labels = [f"{labs.LAB_LABEL}={self.lab.name}", f"{labs.HOST_LABEL}={host.name}"]
        self.lab.podman.run(
            *("create", "--pull", "never", "--name", name, "--hostname", ALIAS),
            *(word for label in labels for word in ("--label", label)),
            *("--network", self.lab.name, *labs.fixed_addresses(self.lab, number)),
            *("--systemd=always", "--cap-add", labs.CAPABILITIES, "--security-opt", "seccomp=unconfined"),
            *WRITABLE_SYSCTL,
            image,
        )
        if archive:
            self.lab.podman.run("cp", "-", f"{name}:/", stdin=archive)
        self.lab.podman.run("start", name)
        state = host.wait_for_boot()
        if state not in ("running", "degraded"):
            raise FaultsError(labs.describe_failure(self.lab, host.name, f"does not boot, it is '{state}'"))
        return host

    def admins_of(self, host: Host, *, one_source: bool) -> admins.Admins:
        """Return those who want to log in to a host."""
        return admins.Admins(
            host.addresses, self.ways, self.lab.private_key, self.lab.known_hosts, ALIAS, one_source=one_source
        )

    # -- images

    def image(self, suite: str, base: str) -> str:
        """Return the image of a host whose firewall was set up by `ufw allow BASE`; make it where it is missing."""
        kind = "guarded" if self.guarded else "bare"
        tag = f"localhost/lab/faults:{suite}-{kind}-{base.replace('/', '').lower() or 'off'}"
        with self._building:
            if tag not in self._ready:
                self._ensure(tag, suite, base)
                self._ready.add(tag)
        return tag

    def _ensure(self, tag: str, suite: str, base: str) -> None:
        """Make an image, and the one it is built on, where they are missing or old."""
        parent = f"localhost/lab/faults:{suite}"
        debian = self.lab.podman.inspect("image", f"localhost/lab/debian:{suite}") or {}
        own = self.lab.known_hosts.read_text(encoding="utf-8")
        parent_key = digest(str(debian.get("Id")), INSTALL, own)
        if self._key_of(parent) != parent_key:
            self._make_parent(parent, f"localhost/lab/debian:{suite}", parent_key)
        key = digest(parent_key, base, *([collection_digest()] if self.guarded else []))
        if self._key_of(tag) != key:
            host = self._boot(Host(self.lab, "workbench"), parent, 0)
            if base:
                self._require(host, f"set -e; ufw allow {base}; ufw --force enable")
            if self.guarded:
                self._provision(host)
            self._commit(host, tag, key)

    def _make_parent(self, tag: str, debian: str, key: str) -> None:
        archive = (self.lab.folder / "credentials.tar").read_bytes()
        host = self._boot(Host(self.lab, "workbench"), debian, 0, archive)
        self._require(host, INSTALL)
        self._commit(host, tag, key)

    def _key_of(self, tag: str) -> str:
        """Return the digest of what an image was made from."""
        described = self.lab.podman.inspect("image", tag) or {}
        return str((described.get("Labels") or {}).get(images.KEY_LABEL, ""))

    @staticmethod
    def _require(host: Host, script: str) -> None:
        """Type commands that must not fail."""
        printed = host.type(script)
        if "(ended with" in printed or "(still running" in printed:
            raise FaultsError(f"preparing an image failed:\n{printed[-3000:]}")

    def _provision(self, host: Host) -> None:
        """Guard a host the way a user does: the collection's roles, over SSH."""
        variables = {**labs.connection_variables(self.lab, host.name), **labs.common_variables(self.lab, ALIAS)}
        variables["ssh_admin_cidrs"] = [str(route.network) for route in self.ways]
        variables["ssh_lifeline_accounts"] = list(admins.ACCOUNTS)
        inventory = self.lab.folder / "inventory.yml"
        inventory.write_text(labs.as_yaml({"all": {"hosts": {ALIAS: variables}}}))
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            ["ansible-playbook", "-i", str(inventory), str(PLAYBOOK)],
            cwd=self.lab.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if done.returncode:
            raise FaultsError(f"guarding a host failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        # What the guard has learnt of this host is not true of its clones: they have other addresses.
        self._require(host, f"set -e; systemctl stop {GUARD}.timer {GUARD}; rm -rf /var/lib/{GUARD}")

    def _commit(self, host: Host, tag: str, key: str) -> None:
        """Make an image of a host, switched off first, and remove the host."""
        name = self.lab.container(host.name)
        self.lab.podman.run("stop", "--time", "10", name)
        self.lab.podman.run("commit", "--quiet", "--change", f"LABEL {images.KEY_LABEL}={key}", name, tag)
        host.remove()
        # What this image replaced.
        self.lab.podman.attempt("image", "prune", "--force", "--filter", f"label={images.KEY_LABEL}")


def digest(*parts: str) -> str:
    """Return a short digest of texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def collection_digest() -> str:
    """Return a digest of everything that guards a host: what else the collection does has no say in it."""
    parts = [PLAYBOOK.read_text(encoding="utf-8")]
    for path in sorted(path for pattern in GUARDING for path in ROOT.glob(pattern)):
        if path.suffix in (".py", ".yml", ".j2"):
            parts += [str(path.relative_to(ROOT)), hashlib.sha256(path.read_bytes()).hexdigest()]
    return digest(*parts)
