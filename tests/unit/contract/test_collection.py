"""What the collection as a whole promises."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
YAML_FILES = sorted(path for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml"))
FORBIDDEN = {
    "ignore_errors": re.compile(r"^\s*ignore_errors:", re.MULTILINE),
    "host key checking switched off": re.compile(r"StrictHostKeyChecking=(no|off)|host_key_checking\W+false", re.I),
    "state: latest": re.compile(r"state:\s*latest"),
    "a fixed name in /tmp": re.compile(r"/tmp/\w"),
}


def test_no_group_vars_beside_the_playbooks() -> None:
    # Ansible would load them, and they outrank those of the user's inventory.
    assert not (ROOT / "playbooks" / "group_vars").exists()
    assert not (ROOT / "playbooks" / "host_vars").exists()


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_a_playbook_tells_how_it_is_called(playbook: pathlib.Path) -> None:
    assert "-" not in playbook.stem, "a hyphen breaks the call by fully qualified name"
    header = playbook.read_text(encoding="utf-8").split("\n- ")[0]
    assert f"ansible-playbook phoenix.webstack.{playbook.stem}" in header
    assert all(play.get("name") for play in yaml.safe_load(playbook.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_forbidden(path: pathlib.Path, what: str) -> None:
    assert not FORBIDDEN[what].search(path.read_text(encoding="utf-8")), what


@pytest.mark.parametrize(
    "path", [path for path in YAML_FILES if path.parent.name == "tasks"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_roles_do_not_name_inventory_groups(path: pathlib.Path) -> None:
    # `rebuild` belongs to one playbook, which is about these very groups.
    if path.parents[1].name != "rebuild":
        assert "groups[" not in path.read_text(encoding="utf-8")
