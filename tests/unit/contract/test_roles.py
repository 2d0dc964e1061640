"""Every role keeps to the same form: one source for its variables, whatever reads them."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
# Variables of several roles, named for what they are rather than for one role.
SHARED = ("ssh_admin_cidrs", "ssh_rollback_seconds", "ssh_rollback_label")


def read(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def options(role: pathlib.Path) -> dict[str, dict[str, t.Any]]:
    specs = read(role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for spec in specs.values() for name, option in spec.get("options", {}).items()}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_are_what_the_argument_specs_say(role: pathlib.Path) -> None:
    documented = {name: option["default"] for name, option in options(role).items() if "default" in option}
    defaults = {
        name: value for name, value in read(role / "defaults" / "main.yml").items() if not name.startswith("__")
    }
    assert defaults == documented


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_an_option_is_required_or_has_a_default(role: pathlib.Path) -> None:
    open_ended = [
        name for name, option in options(role).items() if not option.get("required") and "default" not in option
    ]
    assert open_ended == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_public_variables_carry_the_name_of_their_role(role: pathlib.Path) -> None:
    strangers = [name for name in options(role) if not name.startswith((f"{role.name}_", *SHARED))]
    assert strangers == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_task_of_a_role_is_a_file_of_ten_steps_at_most(role: pathlib.Path) -> None:
    long = {path.name: len(read(path)) for path in (role / "tasks").glob("*.yml") if len(read(path)) > 10}
    assert long == {}


def test_readme_tables_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "role_readme.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
