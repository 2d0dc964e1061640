"""A host of the lab that runs Ansible itself."""

from __future__ import annotations

import io
import sysconfig
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.drift.playbook import ROOT, Drift

PROJECT = "/srv/stack"
# Ansible as it is in this checkout: the control host has the same Python.
PACKAGES = (
    "ansible",
    "ansible_core-*",
    "jinja2*",
    "markupsafe*",
    "yaml",
    "_yaml",
    "pyyaml*",
    "packaging*",
    "resolvelib*",
)
NATIVE = ("cryptography*", "cffi", "_cffi_backend*", "pycparser")
COMMAND = """\
#!/usr/bin/python3
import sys
sys.path.insert(0, "{project}/lib")
import ansible.cli.{module}
ansible.cli.{module}.main()
"""
COMMANDS = {"ansible": "adhoc", "ansible-playbook": "playbook", "ansible-pull": "pull"}
CONFIGURATION = f"""\
[defaults]
inventory = {PROJECT}/inventory
collections_path = {PROJECT}/collections
callbacks_enabled = phoenix.webstack.drift
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = true
"""


def put(drift: Drift, host: str, files: dict[str, Path | str]) -> None:
    """Put files and folders into the project on a host."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, source in files.items():
            if isinstance(source, Path):
                archive.add(
                    source.resolve(), arcname=name, filter=lambda each: None if "__pycache__" in each.name else each
                )
                continue
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(source.encode()), 0o755
            archive.addfile(entry, io.BytesIO(source.encode()))
    container = drift.story.lab.container(host)
    drift.hand(host, f"mkdir -p {PROJECT}")
    drift.story.lab.podman.run("exec", "-i", container, "tar", "-xf", "-", "-C", PROJECT, stdin=packed.getvalue())


def install(drift: Drift, host: str, *, home: str) -> None:
    """Give a host Ansible, the collection, the project, and the key.

    :arg home: Where the key and the known hosts will be, by the inventory.
    """
    site_packages = Path(sysconfig.get_paths()["purelib"])
    found = [path for pattern in (*PACKAGES, *NATIVE) for path in site_packages.glob(pattern)]
    collection = "collections/ansible_collections/phoenix/webstack"
    parts = ("plugins", "roles", "playbooks", "meta", "galaxy.yml", "tests/lab/app")
    hosts = (drift.story.inventory / "hosts.yml").read_text(encoding="utf-8").replace(str(drift.story.lab.folder), home)
    put(
        drift,
        host,
        {
            **{f"lib/{path.name}": path for path in found},
            **{f"{collection}/{part}": ROOT / part for part in parts},
            **{f"bin/{name}": COMMAND.format(project=PROJECT, module=module) for name, module in COMMANDS.items()},
            "ansible.cfg": CONFIGURATION,
            "inventory/group_vars": drift.story.inventory / "group_vars",
            "inventory/hosts.yml": hosts,
            "id_ed25519": drift.story.lab.private_key,
            "known_hosts": drift.story.lab.known_hosts,
        },
    )


def wait_for(look: Callable[[], bool], *, seconds: float) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(1)
