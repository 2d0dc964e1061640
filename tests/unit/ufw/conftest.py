"""A host with ufw in a temporary directory, and a command runner that answers from a script."""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandResult
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.plan import Wanted
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import Rule
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.state import Files, Settings

FIXTURES = Path(__file__).parents[1] / "fixtures" / "ufw" / "0.36.2"
PACKAGE_SETTINGS = Settings(incoming="deny", outgoing="allow", routed="deny", logging="low", ipv6=True)


class FakeRunner:
    """Answers each command with a text, a function of its input, or an error; remembers what was run."""

    def __init__(self, answers: dict[str, t.Any] | None = None) -> None:
        self.answers = answers or {}
        self.calls: list[tuple[str, str]] = []

    def run(self, argv: t.Sequence[str], *, stdin: str | None = None, check: bool = True) -> CommandResult:
        command = " ".join([Path(argv[0]).name, *argv[1:]])
        self.calls.append((command, stdin or ""))
        answer = self.answers.get(command, "")
        stdout = answer(stdin or "") if callable(answer) else answer
        if isinstance(stdout, WebstackError):
            if check:
                raise stdout
            return CommandResult(argv=tuple(argv), rc=1, stdout="", stderr=stdout.message)
        return CommandResult(argv=tuple(argv), rc=0, stdout=stdout, stderr="")

    def commands(self) -> list[str]:
        return [command for command, _stdin in self.calls]


def read_fixture(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def _make_wanted(**values: t.Any) -> Wanted:
    defaults: dict[str, t.Any] = {
        "rules": (),
        "settings": PACKAGE_SETTINGS,
        "purge": True,
        "ports": (22,),
        "networks": (),
    }
    return Wanted(**{**defaults, **values})


# What molecule/ufw/vars.yml asks for; the saved files are what a real host made of it.
SAVED_RULES = (
    Rule("allow", proto="tcp", port="80,443", comment="nginx"),
    Rule("allow", proto="tcp", port="3306", source="192.0.2.0/24", comment="replication, read only"),
    Rule("allow", proto="tcp", port="3306", source="2001:db8::/32"),
    Rule("limit", proto="tcp", port="8080"),
    Rule("reject", proto="udp", port="6000:6010"),
    Rule("deny", source="198.51.100.7"),
    Rule("deny", direction="out", proto="tcp", port="25"),
    Rule("allow", port="53", interface="eth0"),
)


def _make_host(root: Path, *, pristine: bool) -> Files:
    """Lay out ufw's files as its package does, or as they were saved from a host with the saved rules."""
    files = Files(root=root)
    for path in (files.program, files.init):
        path.parent.mkdir(parents=True)
        path.touch()
    files.kernel_ipv6.mkdir(parents=True)
    files.defaults.parent.mkdir(parents=True)
    shutil.copy(FIXTURES / "default", files.defaults)
    files.conf.parent.mkdir()
    conf = read_fixture("ufw.conf")
    files.conf.write_text(conf.replace("ENABLED=yes", "ENABLED=no") if pristine else conf, encoding="utf-8")
    for name in ("before.rules", "before6.rules", "user.rules", "user6.rules"):
        shutil.copy(FIXTURES / (f"{name}.pristine" if pristine else name), files.conf.parent / name)
        (files.conf.parent / name).chmod(0o640)
    return files


@pytest.fixture
def fresh_host(tmp_path: Path) -> Files:
    return _make_host(tmp_path, pristine=True)


@pytest.fixture
def converged_host(tmp_path: Path) -> Files:
    return _make_host(tmp_path, pristine=False)


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner({"iptables -S": read_fixture("iptables-S"), "ip6tables -S": read_fixture("ip6tables-S")})


@pytest.fixture
def saved() -> t.Callable[[str], str]:
    """Return the text of a file saved from a host."""
    return read_fixture


@pytest.fixture
def saved_rules() -> tuple[Rule, ...]:
    """Return the rules that the saved files hold."""
    return SAVED_RULES


@pytest.fixture
def make_wanted() -> t.Callable[..., Wanted]:
    """Return a maker of wanted firewalls, by default what the package sets and no rule."""
    return _make_wanted
