"""The collection as its users get it: one tarball, and nothing of this checkout beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's home with the tarball installed beside the collections it depends on."""
    folder = tmp_path_factory.mktemp("home")
    run(folder, "ansible-galaxy", "collection", "build", "--output-path", str(folder), cwd=ROOT)
    (tarball,) = folder.glob("phoenix-webstack-*.tar.gz")
    for dependency in yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"]:
        path = Path("ansible_collections", *dependency.split("."))
        shutil.copytree(ROOT / ".ansible/collections" / path, folder / ".ansible/collections" / path)
    said = run(folder, "ansible-galaxy", "collection", "install", "--offline", str(tarball))
    assert "phoenix.webstack:" in said
    return folder


def run(home: Path, *argv: str, cwd: Path | None = None) -> str:
    """Run a command with nothing but this home, and return what it said."""
    environment = {"HOME": str(home), "PATH": f"{TOOLS}:/usr/bin:/bin", "PWD": str(cwd or home), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        argv, cwd=cwd or home, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_holds_what_users_need_and_no_more(home: Path) -> None:
    installed = home / ".ansible/collections/ansible_collections/phoenix/webstack"
    names = {path.name for path in installed.iterdir()}
    assert {"LICENSE", "README.md", "meta", "playbooks", "plugins", "roles"} <= names
    assert names.isdisjoint({".git", ".ansible", ".cache", ".venv", "tests", "molecule", "tools", "requirements"})


def test_project_can_be_begun(home: Path) -> None:
    said = run(home, "ansible-playbook", "phoenix.webstack.init", "-e", "init_directory=project")
    assert "Written to" in said
    project = home / "project"
    graph = run(home, "ansible-inventory", "--graph", cwd=project)
    for name in ("@webservers", "@balancers", "web-01", "web-02", "lb-01"):
        assert name in graph
    run(home, "ansible-playbook", "phoenix.webstack.check_variables", cwd=project)


def test_every_playbook_is_there(home: Path) -> None:
    for playbook in sorted((ROOT / "playbooks").glob("*.yml")):
        run(home, "ansible-playbook", f"phoenix.webstack.{playbook.stem}", "--list-tasks")


def test_documentation_is_there(home: Path) -> None:
    shown = run(home, "ansible-doc", "--type", "role", "phoenix.webstack.rebuild")
    assert "rebuild_host" in shown
    assert "phoenix.webstack.ufw" in run(home, "ansible-doc", "--list", "phoenix.webstack")
