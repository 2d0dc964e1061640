# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the firewall that is there: ufw's files and the kernel's tables."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.guard import IP
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.live import LiveTable, parse_live
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.rules import FAMILIES
from ansible_collections.phoenix.webstack.plugins.module_utils._ufw.store import RulesFile, parse_rules_file

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

# ufw looks for iptables here and nowhere else.
SBIN = "/usr/sbin"
POLICY_KEYS = {
    "incoming": "DEFAULT_INPUT_POLICY",
    "outgoing": "DEFAULT_OUTPUT_POLICY",
    "routed": "DEFAULT_FORWARD_POLICY",
}
POLICY_WORDS = {"ACCEPT": "allow", "DROP": "deny", "REJECT": "reject"}
SETTING = re.compile(r"^(\w+)=[\"']?([^\"'\n]*)[\"']?\s*$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The firewall's settings apart from its rules, as the module's options spell them."""

    incoming: str
    outgoing: str
    routed: str
    logging: str
    ipv6: bool

    def policies(self) -> dict[str, str]:
        """Return the default policies by direction."""
        return {"incoming": self.incoming, "outgoing": self.outgoing, "routed": self.routed}


@dataclasses.dataclass(frozen=True)
class State:
    """The whole firewall as it is. Without ufw all of it is empty.

    ``live`` has the kernel's filter table by IP version; a version the kernel does not have is missing.
    """

    installed: bool
    enabled: bool
    settings: Settings | None
    defaults_file: str
    before: t.Mapping[int, str]
    user: t.Mapping[int, RulesFile]
    live: t.Mapping[int, LiveTable]


class Files:
    """The paths of ufw's files, under another root in tests."""

    def __init__(self, *, root: Path = Path("/")) -> None:
        self.program = root / "usr/sbin/ufw"
        self.init = root / "lib/ufw/ufw-init"
        self.defaults = root / "etc/default/ufw"
        self.conf = root / "etc/ufw/ufw.conf"
        self.kernel_ipv6 = root / "proc/sys/net/ipv6"
        self._etc = root / "etc/ufw"
        self._pristine = root / "usr/share/ufw/iptables"

    def before(self, family: int) -> Path:
        """Return the path of before.rules or before6.rules."""
        return self._etc / f"before{IP[family]}.rules"

    def user(self, family: int) -> Path:
        """Return the path of user.rules or user6.rules."""
        return self._etc / f"user{IP[family]}.rules"

    def read(self, path: Path) -> str:
        """Return the text of one of ufw's files, from the package's own copy where it was deleted."""
        for candidate in (path, self._pristine / path.name):
            if candidate.exists():
                return candidate.read_text(encoding="utf-8")
        raise WebstackError(
            f"{path} does not exist, though ufw is installed. Nothing was changed. Put the package's files back: "
            "apt-get install --reinstall -o Dpkg::Options::=--force-confmiss ufw"
        )


def parse_settings(*, defaults: str, conf: str) -> Settings:
    """Parse /etc/default/ufw and /etc/ufw/ufw.conf."""
    values = dict(SETTING.findall(f"{defaults}\n{conf}"))
    policies = {name: POLICY_WORDS.get(values.get(key, "").upper(), "unknown") for name, key in POLICY_KEYS.items()}
    return Settings(
        incoming=policies["incoming"],
        outgoing=policies["outgoing"],
        routed=policies["routed"],
        logging=values.get("LOGLEVEL", "").lower(),
        ipv6=values.get("IPV6", "").lower() == "yes",
    )


def is_enabled(conf: str) -> bool:
    """Whether /etc/ufw/ufw.conf switches the firewall on."""
    return dict(SETTING.findall(conf)).get("ENABLED", "").lower() == "yes"


def edit_defaults(*, text: str, settings: Settings) -> str:
    """Return /etc/default/ufw with the wanted policies and IPv6 switch, everything else as it was."""
    words = {word: key for key, word in POLICY_WORDS.items()}
    wanted = {POLICY_KEYS[name]: f'"{words[value]}"' for name, value in settings.policies().items()}
    wanted["IPV6"] = "yes" if settings.ipv6 else "no"
    current = parse_settings(defaults=text, conf="")
    if {**current.policies(), "ipv6": current.ipv6} == {**settings.policies(), "ipv6": settings.ipv6}:
        return text
    for key, value in wanted.items():
        line = f"{key}={value}"
        text, count = re.subn(rf"^{key}=.*$", line, text, flags=re.MULTILINE)
        text += "" if count else f"{line}\n"
    return text


def live_families(*, files: Files) -> tuple[int, ...]:
    """Return the IP versions of the kernel; ufw asks it in the same way."""
    return FAMILIES if files.kernel_ipv6.exists() else FAMILIES[:1]


def read_live(*, runner: CommandRunner, files: Files) -> dict[int, LiveTable]:
    """Return the kernel's filter tables."""
    return {
        family: parse_live(runner.run([f"{SBIN}/ip{IP[family]}tables", "-S"]).stdout)
        for family in live_families(files=files)
    }


def starts_at_boot(*, runner: CommandRunner) -> bool:
    """Whether systemd starts the firewall with the system."""
    return runner.run(["systemctl", "is-enabled", "--quiet", "ufw"], check=False).rc == 0


def read_state(*, runner: CommandRunner, files: Files) -> State:
    """Return the firewall as it is."""
    if not files.program.exists():
        return State(installed=False, enabled=False, settings=None, defaults_file="", before={}, user={}, live={})
    defaults = files.read(files.defaults)
    conf = files.read(files.conf)
    return State(
        installed=True,
        enabled=is_enabled(conf),
        settings=parse_settings(defaults=defaults, conf=conf),
        defaults_file=defaults,
        before={family: files.read(files.before(family)) for family in FAMILIES},
        user={family: parse_rules_file(files.read(files.user(family))) for family in FAMILIES},
        live=read_live(runner=runner, files=files),
    )
