"""The test lab: real systemd containers with their own sshd, on a network of their own.

A lab has a name. Its containers are called <lab>-<host>, its files (key, known_hosts,
inventory) lie in .cache/lab/<lab>. Ansible reaches the hosts over SSH at their bridge
addresses; `exec` and `shell` are the test's own hand and need no SSH.

    lab.py up --hosts lb-01,web-01,web-02,spare     start them, write the inventory
    lab.py exec web-01 -- ufw status                run a command as root
    lab.py down                                     remove everything but the images

lb-* and web-* join the inventory as `balancers` and `webservers`; any other host is
a bare machine that the inventory does not know. molecule has two commands of its own,
driven by its environment: molecule-up and molecule-down.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import images
import yaml
from engine import CACHE, ROOT, LabError, Podman

LAB_LABEL = "lab.name"
HOST_LABEL = "lab.host"
ADMIN = "admin"
KEY_TYPES = ("ed25519", "ecdsa")
# As on a real host, who has logged in as an admin may have a login of root start below: PAM notes who it was.
CAPABILITIES = "NET_ADMIN,NET_RAW,SYS_ADMIN,AUDIT_WRITE,AUDIT_CONTROL"
FIRST_ADDRESS = 11  # in the lab's network, counted up by host
BOOT_TIMEOUT = 90.0
INSTANCES_NEEDED = 512
INSTANCES_WANTED = 1024
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


@dataclass(frozen=True)
class Host:
    """One container to be: its short name and what it starts from."""

    name: str
    image: str


@dataclass
class Lab:
    """A named set of containers with their network and their files."""

    name: str
    folder: Path
    podman: Podman = field(default_factory=Podman)

    @property
    def private_key(self) -> Path:
        """The key that opens the admin's account on every host."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys by name, so that a new address changes nothing."""
        return self.folder / "known_hosts"

    def container(self, host: str) -> str:
        """Return the container's name."""
        return f"{self.name}-{host}"

    def hosts(self) -> list[str]:
        """Return the hosts that exist, running or not."""
        found = self.podman.containers(f"{LAB_LABEL}={self.name}")
        return sorted(container["Labels"][HOST_LABEL] for container in found)

    def require(self, host: str) -> str:
        """Return the container's name, or say which hosts there are."""
        hosts = self.hosts()
        if host not in hosts:
            raise LabError(f"the lab '{self.name}' has no host '{host}', it has: {', '.join(hosts) or 'none'}")
        return self.container(host)

    def addresses(self, host: str) -> tuple[str, str]:
        """Return a host's IPv4 and IPv6 address (the latter empty without IPv6)."""
        described = self.podman.inspect("container", self.container(host)) or {}
        settings = described.get("NetworkSettings", {}).get("Networks", {}).get(self.name, {})
        return settings.get("IPAddress", ""), settings.get("GlobalIPv6Address", "")


# -- up and down ---------------------------------------------------------------------


def up(lab: Lab, hosts: Sequence[Host]) -> None:
    """Start the hosts afresh and return when each of them lets the admin in."""
    allow_inotify_instances()
    images.ensure(lab.podman, {host.image for host in hosts})
    down(lab)  # its files too: variables that a rebuild wrote would outrank the new inventory
    lab.folder.mkdir(parents=True, exist_ok=True)
    generate_key(lab.private_key, "ed25519", comment=f"{ADMIN}@{lab.name}")
    create_network(lab)

    known: list[str] = []
    # More starts at a time than this and a small machine only queues them.
    with ThreadPoolExecutor(max_workers=4) as pool:
        for public_keys in pool.map(lambda item: start(lab, item[1], item[0]), enumerate(hosts)):
            known += public_keys
    lab.known_hosts.write_text("".join(f"{line}\n" for line in known))


def down(lab: Lab) -> None:
    """Remove the containers, the network and the files of a lab; nothing there is fine too."""
    remove_containers(lab)
    shutil.rmtree(lab.folder, ignore_errors=True)


def remove_containers(lab: Lab) -> None:
    """Remove a lab's containers and its network."""
    names = [lab.container(host) for host in lab.hosts()]
    if names:
        lab.podman.run("rm", "--force", "--time", "0", "--volumes", *names)
    lab.podman.attempt("network", "rm", "--force", lab.name)


def allow_inotify_instances() -> None:
    """Make room for systemd: each container takes about six inotify instances of its user.

    Past the limit a container dies with code 255, or a service inside hangs.
    """
    allowed = int(INOTIFY.read_text())
    if allowed >= INSTANCES_NEEDED:
        return
    remedy = f"sysctl fs.inotify.max_user_instances={INSTANCES_WANTED}"
    try:
        INOTIFY.write_text(str(INSTANCES_WANTED))
    except OSError:
        say(f"only {allowed} inotify instances are allowed, enough for {allowed // 6} hosts; for more: {remedy}")
    else:
        say(f"{remedy} set until the next boot (it was {allowed})")


def create_network(lab: Lab) -> None:
    """Give the lab a network with names, over IPv4 and where possible IPv6."""
    label = f"{LAB_LABEL}={lab.name}"
    with_ipv6 = lab.podman.attempt("network", "create", "--ipv6", "--label", label, lab.name)
    if with_ipv6.returncode != 0:
        say(f"no IPv6 in this lab: {with_ipv6.stderr.decode(errors='replace').strip()}")
        lab.podman.run("network", "create", "--label", label, lab.name)


def start(lab: Lab, host: Host, number: int) -> list[str]:
    """Start one host and wait until it can be used; return its known_hosts lines."""
    name = lab.container(host.name)
    options = ["--systemd=always", "--cap-add", CAPABILITIES, "--security-opt", "seccomp=unconfined"]
    labels = ["--label", f"{LAB_LABEL}={lab.name}", "--label", f"{HOST_LABEL}={host.name}"]
    network = ["--network", lab.name, "--network-alias", host.name, *fixed_addresses(lab, number)]
    names = ["--name", name, "--hostname", host.name]
    image = f"localhost/{host.image}"
    lab.podman.run("create", "--pull", "never", *names, *labels, *network, *options, image)

    archive, public_keys = credentials(lab, host.name)
    lab.podman.run("cp", "-", f"{name}:/", stdin=archive)
    lab.podman.run("start", name)
    # `podman cp` gives everything to root, whatever the archive says.
    lab.podman.run("exec", name, "chown", "-R", f"{ADMIN}:", f"/home/{ADMIN}/.ssh")
    wait_until_usable(lab, host.name)
    return public_keys


def fixed_addresses(lab: Lab, number: int) -> list[str]:
    """Return options for addresses that outlive a restart, which podman's own would not.

    The hardware address too: neighbours remember the old one for seconds.
    """
    described = lab.podman.inspect("network", lab.name) or {}
    options = ["--mac-address", f"02:00:00:00:00:{FIRST_ADDRESS + number:02x}"]
    for subnet in described.get("subnets", []):
        network = ipaddress.ip_network(subnet["subnet"])
        option = "--ip" if network.version == 4 else "--ip6"
        options += [option, str(network[FIRST_ADDRESS + number])]
    return options


# -- keys ----------------------------------------------------------------------------


def generate_key(path: Path, key_type: str, *, comment: str) -> str:
    """Make a key pair without a passphrase and return the public half."""
    command = ["ssh-keygen", "-q", "-t", key_type, "-N", "", "-C", comment, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_name(f"{path.name}.pub").read_text().strip()


def credentials(lab: Lab, host: str) -> tuple[bytes, list[str]]:
    """Make a host's keys: an archive to unpack at its root, and its lines for known_hosts.

    The keys are known before the host first answers, so nothing is trusted on first use.
    """
    folder = lab.folder / "host_keys" / host
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    public_keys: list[str] = []
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for key_type in KEY_TYPES:
            private = folder / f"ssh_host_{key_type}_key"
            public = generate_key(private, key_type, comment=f"root@{host}")
            add_file(archive, f"etc/ssh/{private.name}", private.read_bytes(), mode=0o600)
            add_file(archive, f"etc/ssh/{private.name}.pub", f"{public}\n".encode(), mode=0o644)
            public_keys.append(f"{host} {public}")
        admin_key = lab.private_key.with_suffix(".pub").read_bytes()
        add_file(archive, f"home/{ADMIN}/.ssh/authorized_keys", admin_key, mode=0o600)
    return buffer.getvalue(), public_keys


def add_file(archive: tarfile.TarFile, path: str, content: bytes, *, mode: int) -> None:
    """Put one file into an archive."""
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = len(content), mode, int(time.time())
    archive.addfile(entry, io.BytesIO(content))


# -- waiting -------------------------------------------------------------------------


def wait_until_usable(lab: Lab, host: str) -> None:
    """Wait until the host has booted (before that only root may log in) and sshd answers."""
    deadline = time.monotonic() + BOOT_TIMEOUT
    name = lab.container(host)
    state = "unknown"
    while state not in ("running", "degraded"):
        if time.monotonic() > deadline:
            raise LabError(describe_failure(lab, host, f"did not boot in {BOOT_TIMEOUT:.0f} s, it is '{state}'"))
        answer = lab.podman.attempt("exec", name, "systemctl", "is-system-running", "--wait")
        state = answer.stdout.decode().strip()
        if state in ("", "offline"):
            time.sleep(0.3)  # no bus yet
    if state == "degraded":
        failed = lab.podman.attempt("exec", name, "systemctl", "list-units", "--failed", "--plain", "--no-legend")
        say(f"{host} has failed units:\n{failed.stdout.decode().strip()}")
    wait_for_banner(lab, host, deadline)


def wait_for_banner(lab: Lab, host: str, deadline: float) -> None:
    """Wait until sshd greets at each of the host's addresses."""
    for address in filter(None, lab.addresses(host)):
        while not greets(address):
            if time.monotonic() > deadline:
                raise LabError(describe_failure(lab, host, f"sshd does not answer at {address}"))
            time.sleep(0.3)


def greets(address: str, port: int = 22) -> bool:
    """Tell whether an SSH server answers a new connection."""
    try:
        with socket.create_connection((address, port), timeout=3) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def describe_failure(lab: Lab, host: str, problem: str) -> str:
    """Say what is known about a host that does not come up."""
    name = lab.container(host)
    described = lab.podman.inspect("container", name) or {}
    status = described.get("State", {}).get("Status", "gone")
    code = described.get("State", {}).get("ExitCode")
    log = lab.podman.attempt("logs", "--tail", "20", name).stdout.decode(errors="replace").strip()
    hint = f"\n  code 255 at boot: sysctl fs.inotify.max_user_instances={INSTANCES_WANTED}" if code == 255 else ""
    return f"{host} {problem}; container {name}: {status}, exit code {code}{hint}\n{log}"


# -- inventories ---------------------------------------------------------------------


def connection_variables(lab: Lab, host: str) -> dict[str, Any]:
    """Return what Ansible needs to reach a host, and the test to reach around SSH."""
    ipv4, ipv6 = lab.addresses(host)
    return {
        "ansible_host": ipv4,
        "lab_ipv6": ipv6,
        "lab_name": lab.name,
        # argv to run a command in the container, whatever has become of its SSH
        "lab_exec": [sys.executable, str(ROOT / "tests/lab/lab.py"), "--lab", lab.name, "exec", host, "--"],
    }


def common_variables(lab: Lab, alias: str = "{{ inventory_hostname }}") -> dict[str, Any]:
    """Return the connection settings that all hosts of a lab share."""
    options = {
        "HostKeyAlias": alias,
        "UserKnownHostsFile": lab.known_hosts,
        "StrictHostKeyChecking": "yes",
    }
    return {
        "ansible_user": ADMIN,
        "ansible_ssh_private_key_file": str(lab.private_key),
        "ansible_ssh_common_args": " ".join(f"-o {name}={value}" for name, value in options.items()),
        "ansible_python_interpreter": "/usr/bin/python3",
    }


def group_of(host: str) -> str | None:
    """Return the inventory group that a host's name stands for."""
    if host.startswith("lb-"):
        return "balancers"
    return "webservers" if host.startswith("web-") else None


def write_inventory(lab: Lab, folder: Path) -> Path:
    """Write the hosts of a named lab, beside a link to the lab's static variables."""
    groups: dict[str, dict[str, Any]] = {}
    for host in lab.hosts():
        if group := group_of(host):
            groups.setdefault(group, {"hosts": {}})["hosts"][host] = connection_variables(lab, host)
    inventory = {"all": {"vars": common_variables(lab), "children": groups}}

    folder.mkdir(parents=True, exist_ok=True)
    for static in ("group_vars", "host_vars"):
        target, link = ROOT / "inventories" / "lab" / static, folder / static
        if target.is_dir() and not link.exists():
            link.symlink_to(target, target_is_directory=True)
    path = folder / "hosts.yml"
    path.write_text(as_yaml(inventory))
    return path


def as_yaml(data: object) -> str:
    """Write data as a person would."""
    return "---\n" + yaml.safe_dump(data, sort_keys=False, width=120)


# -- molecule ------------------------------------------------------------------------


def molecule_lab() -> Lab:
    """Return the lab of the scenario that molecule is running; two checkouts never share one."""
    try:
        scenario = os.environ["MOLECULE_SCENARIO_NAME"]
        folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    except KeyError as missing:
        raise LabError(f"{missing} is not set: molecule runs this command") from None
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
    return Lab(f"molecule-{checkout}-{scenario}", folder / "lab")


def molecule_up() -> None:
    """Start a scenario's platforms and tell molecule and Ansible how to reach them."""
    lab = molecule_lab()
    scenario = yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text())
    hosts = [Host(item["name"], item.get("image", "lab/debian:12")) for item in scenario["platforms"]]
    up(lab, hosts)

    # molecule's own inventory sets variables per host and would switch host key checking
    # off. Ansible reads the files of the folder in order, so this one has the last word.
    # The names are spelled out: testinfra reads the inventory without rendering it.
    variables = {
        host.name: {**common_variables(lab, alias=host.name), **connection_variables(lab, host.name)} for host in hosts
    }
    target = lab.folder.parent / "inventory" / "lab.yml"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(as_yaml({"all": {"hosts": variables}}))
    Path(os.environ["MOLECULE_INSTANCE_CONFIG"]).write_text(as_yaml(instances(lab, hosts)))


def instances(lab: Lab, hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """Return what `molecule login` and molecule's driver want to know."""
    return [
        {
            "instance": host.name,
            "address": lab.addresses(host.name)[0],
            "user": ADMIN,
            "port": 22,
            "identity_file": str(lab.private_key),
        }
        for host in hosts
    ]


# -- the command line ----------------------------------------------------------------


def say(message: str) -> None:
    """Tell the person at the terminal; standard output is for results."""
    print(f"lab: {message}", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", default="lab", help="the lab's name (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    start_command = commands.add_parser("up", help="start the hosts afresh and write their inventory")
    start_command.add_argument("--hosts", default="lb-01,web-01,web-02,spare", help="default: %(default)s")
    start_command.add_argument("--suite", default="12", choices=sorted(images.CODENAMES), help="Debian's version")
    start_command.add_argument("--image", help="such as lab/mysql:13; default: lab/debian:SUITE")
    start_command.add_argument("--inventory-dir", type=Path, help="default: .cache/lab/LAB/inventory")

    commands.add_parser("down", help="remove the hosts and everything the lab wrote")
    commands.add_parser("status", help="list the hosts of all labs")
    commands.add_parser("images", help="build the images that are missing or old")
    for name, text in (
        ("address", "print the IPv4 address, or with -6 the IPv6 address"),
        ("fingerprint", "print the SHA256 fingerprint of the host key, read inside the host"),
        ("host-key", "print the public host key, read inside the host"),
        ("restart", "restart the host, as a reboot would"),
        ("shell", "open a root shell"),
        ("exec", "run a command as root: exec HOST [--user USER] -- COMMAND …"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("host")
        if name == "address":
            command.add_argument("-6", dest="ipv6", action="store_true")
        if name == "exec":
            command.add_argument("--user", default="root")
            command.add_argument("argv", nargs="+")
    commands.add_parser("molecule-up", help="start the platforms of molecule's scenario")
    commands.add_parser("molecule-down", help="remove them")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Do what the command line says."""
    options = parse(arguments)
    if options.command == "molecule-up":
        molecule_up()
        return
    lab = molecule_lab() if options.command == "molecule-down" else Lab(options.lab, CACHE / "labs" / options.lab)
    if options.command in ("down", "molecule-down"):
        down(lab)
    elif options.command == "up":
        command_up(lab, options)
    elif options.command == "images":
        images.ensure(lab.podman, set(images.known_images()))
    elif options.command == "status":
        command_status(lab.podman)
    else:
        command_on_host(lab, options)


def command_up(lab: Lab, options: argparse.Namespace) -> None:
    """Start a named lab and print where its inventory is."""
    image = options.image or f"lab/debian:{options.suite}"
    up(lab, [Host(name, image) for name in options.hosts.split(",")])
    print(write_inventory(lab, options.inventory_dir or lab.folder / "inventory").parent)


def command_status(podman: Podman) -> None:
    """List the hosts of all labs."""
    for container in sorted(podman.containers(LAB_LABEL), key=lambda item: str(item["Names"])):
        labels = container["Labels"]
        lab = Lab(labels[LAB_LABEL], Path(), podman)
        addresses = " ".join(lab.addresses(labels[HOST_LABEL]))
        print(f"{lab.name:24} {labels[HOST_LABEL]:12} {container['State']:10} {container['Image']:28} {addresses}")


def command_on_host(lab: Lab, options: argparse.Namespace) -> None:
    """Run a command that names one host."""
    name = lab.require(options.host)
    public_key = f"/etc/ssh/ssh_host_{KEY_TYPES[0]}_key.pub"
    if options.command == "address":
        print(lab.addresses(options.host)[1 if options.ipv6 else 0])
    elif options.command == "fingerprint":
        print(lab.podman.run("exec", name, "ssh-keygen", "-l", "-f", public_key).split()[1])
    elif options.command == "host-key":
        print(" ".join(lab.podman.run("exec", name, "cat", public_key).split()[:2]))
    elif options.command == "restart":
        lab.podman.run("restart", "--time", "10", name)
        wait_until_usable(lab, options.host)
    elif options.command == "shell":
        lab.podman.replace_process(["exec", "--interactive", "--tty", name, "bash", "--login"])
    else:
        lab.podman.replace_process(["exec", "--interactive", "--user", options.user, name, *options.argv])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except LabError as problem:
        sys.exit(f"lab: {problem}")
