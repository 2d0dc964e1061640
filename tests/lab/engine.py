"""A thin layer over podman's command line: argv in, text out, one kind of error."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import podman_env

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "lab"


class LabError(Exception):
    """Something the user can read and act on."""


class Podman:
    """Runs podman as root, since Ansible reaches the containers at their bridge addresses.

    LAB_ENGINE replaces the command, for example `LAB_ENGINE="sudo podman"`.
    """

    def __init__(self) -> None:
        """Choose the command and the environment it runs in."""
        default = "podman" if os.geteuid() == 0 else "sudo --preserve-env=CONTAINERS_CONF podman"
        self.command = shlex.split(os.environ.get("LAB_ENGINE", default))
        if not shutil.which(self.command[0]):
            raise LabError(f"{self.command[0]} is not installed: run tools/bootstrap.sh lab")
        self.environment = podman_env.environment(CACHE)

    def run(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run one podman command and return what it printed; raise LabError when it fails."""
        result = self.attempt(*arguments, stdin=stdin)
        if result.returncode != 0:
            message = result.stderr.decode(errors="replace").strip()
            raise LabError(f"podman {shlex.join(arguments)}\n  failed with code {result.returncode}: {message}")
        return result.stdout.decode(errors="replace")

    def attempt(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run one podman command whose failure is an answer too."""
        return subprocess.run(
            [*self.command, *arguments], input=stdin or b"", capture_output=True, env=self.environment, check=False
        )

    def replace_process(self, arguments: Sequence[str]) -> None:
        """Become podman, with the user's terminal."""
        command = [*self.command, *arguments]
        os.execvpe(command[0], command, self.environment)

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return what podman knows of a container, image or network; None where there is none."""
        result = self.attempt(kind, "inspect", name)
        if result.returncode != 0:
            return None
        described: dict[str, Any] = json.loads(result.stdout)[0]
        return described

    def containers(self, label: str) -> list[dict[str, Any]]:
        """Return the containers, running or not, that carry a label (`key` or `key=value`)."""
        listed = self.run("ps", "--all", "--format", "json", "--filter", f"label={label}")
        found: list[dict[str, Any]] = json.loads(listed or "[]")
        return found
