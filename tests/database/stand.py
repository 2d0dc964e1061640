"""A database host of a lab: the collection's modules over SSH, and the test's own hand around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import lab as labs
from engine import CACHE, ROOT, LabError

IMAGES = {"12": "lab/debian:12", "13": "lab/debian:13", "mysql": "lab/mysql:13"}
STATE = "/var/lib/webstack/mysql_restore"


def environment() -> dict[str, str]:
    """The environment in which Ansible finds this collection, whatever the shell has set."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **own,
        "PATH": f"{Path(sys.executable).parent}:{own['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(ROOT / ".ansible"),
        "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / '.ansible' / 'collections'}:{CACHE.parent / 'bench-collections'}",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }


@dataclass
class Answer:
    """What a module answered."""

    failed: bool
    result: dict[str, Any]

    @property
    def message(self) -> str:
        """The module's own words."""
        return str(self.result.get("msg", ""))


@dataclass
class Stand:
    """One host with a database server."""

    lab: labs.Lab
    host: str
    system: str

    @property
    def engine(self) -> str:
        """Which engine it runs."""
        return "mysql" if self.system == "mysql" else "mariadb"

    @property
    def service(self) -> str:
        """The unit of its server."""
        return "mysql" if self.engine == "mysql" else "mariadb"

    def hand(self, *argv: str, stdin: str = "") -> str:
        """Run a command as root, around SSH."""
        return self.lab.podman.run("exec", "-i", self.lab.container(self.host), *argv, stdin=stdin.encode())

    def sql(self, statement: str) -> str:
        """Run statements as root of the database; rows come as lines."""
        return self.hand("mysql", "-N", "--default-character-set=utf8mb4", stdin=statement).strip()

    def module_argv(self, module: str, arguments: dict[str, Any], variables: dict[str, Any] | None = None) -> list[str]:
        """The command that runs one module (or role, by include_role) on the host."""
        argv = ["ansible", "-i", str(self.lab.folder / "inventory"), self.host, "--become"]
        argv += ["--module-name", module, "--args", json.dumps(arguments)]
        return argv + (["--extra-vars", json.dumps(variables)] if variables else [])

    def module(self, module: str, variables: dict[str, Any] | None = None, **arguments: Any) -> Answer:
        """Run one module and wait for its answer."""
        done = subprocess.run(
            self.module_argv(module, arguments, variables),
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
        return read_answer(done.stdout, done.stderr, self.host)

    def begin(self, module: str, **arguments: Any) -> subprocess.Popen[str]:
        """Start one module and do not wait."""
        return subprocess.Popen(
            self.module_argv(module, arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )

    def end(self, process: subprocess.Popen[str]) -> Answer:
        """Wait for what `begin` started."""
        out, err = process.communicate(timeout=600)
        return read_answer(out, err, self.host)

    def role(self, name: str, **variables: Any) -> None:
        """Run a role of the collection."""
        answer = self.module("ansible.builtin.include_role", variables, name=f"phoenix.webstack.{name}")
        if answer.failed:
            raise LabError(f"the role {name} failed on {self.host}: {answer.result}")

    def install(self) -> None:
        """Install the database server as the role does, and what the modules need."""
        release = "sid" if self.system == "mysql" else ""
        self.role("mysql", mysql_engine=self.engine, mysql_apt_default_release=release)
        packages = ["zstd", "python3-pymysql"] + (["mariadb-backup"] if self.engine == "mariadb" else [])
        self.hand("apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages)

    def restart_server(self) -> None:
        """Start the server if it is down, and wait until it answers."""
        self.hand("systemctl", "start", self.service)
        wait_for(self.answers, what="the database server")

    def answers(self) -> bool:
        """Whether the server answers."""
        return self.lab.podman.attempt("exec", self.lab.container(self.host), "mysqladmin", "ping").returncode == 0

    def sums(self, *databases: str) -> dict[str, Any]:
        """Rows, checksums and objects of some databases."""
        answer = self.module("phoenix.webstack.mysql_checksum_info", databases=list(databases))
        if answer.failed:
            raise LabError(f"reading the checksums failed: {answer.message}")
        return {
            name: {
                "tables": {
                    table: [entry["rows"], entry["checksum"], entry["structure"]]
                    for table, entry in described["tables"].items()
                },
                "objects": {kind: sorted(found) for kind, found in described["objects"].items()},
            }
            for name, described in answer.result["databases"].items()
        }


def read_answer(out: str, err: str, host: str) -> Answer:
    """The answer of the one task that an ad-hoc run has."""
    try:
        play = json.loads(out[out.index("{") :])["plays"][0]
        result: dict[str, Any] = play["tasks"][-1]["hosts"][host]
    except (ValueError, LookupError):
        return Answer(failed=True, result={"msg": f"{out}{err}".strip()[-600:]})
    return Answer(failed=bool(result.get("failed") or result.get("unreachable")), result=result)


def wait_for(condition: Callable[[], bool], *, what: str, seconds: float = 120.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.02)


def start_all(name: str, *, hosts: list[str], system: str) -> list[Stand]:
    """A lab of hosts with a database server each."""
    lab = labs.Lab(name=name, folder=CACHE / "labs" / name)
    labs.up(lab, [labs.Host(name=host, image=IMAGES[system]) for host in hosts])
    labs.write_inventory(lab, lab.folder / "inventory")
    stands = [Stand(lab=lab, host=host, system=system) for host in hosts]
    for stand in stands:
        stand.install()
    return stands
