# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the admin wants of the guard: /etc/ssh-lifeline/settings.json."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import write_atomically

STOP, REPORT = "stop", "report"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The guard's settings.

    :arg accounts: Names of the accounts whose SSH login is held.
    :arg admin_cidrs: Networks SSH is accepted from; none means anywhere.
    :arg ports: Ports on which sshd has to be reachable.
    :arg port_thief: What becomes of another process on one of them: ``stop`` or ``report``.
    :arg check_seconds: How often everything is looked at when nothing happens.
    :arg metrics: File for node_exporter's textfile collector; empty for none.
    """

    accounts: tuple[str, ...] = ("root",)
    admin_cidrs: tuple[str, ...] = ()
    ports: tuple[int, ...] = (22,)
    port_thief: str = STOP
    check_seconds: int = 300
    metrics: str = ""

    def networks(self, version: int) -> list[str]:
        """Return the admins' networks of one IP version; an empty list means anywhere."""
        return [each for each in self.admin_cidrs if ipaddress.ip_network(each, strict=False).version == version]

    def admits(self, version: int) -> bool:
        """Whether SSH is meant to be open over this IP version at all."""
        return not self.admin_cidrs or bool(self.networks(version))


def choose_accounts(named: t.Sequence[str], *, file: Path = paths.SETTINGS) -> tuple[str, ...]:
    """Return the accounts to be held: those that were named, else the one by which this run has come.

    sudo leaves its name. A run that was started on the host itself came by none, and leaves those that are held.
    """
    if named:
        return tuple(named)
    caller = os.environ.get("SUDO_USER")
    if caller:
        return (caller,)
    try:
        return parse_settings(file.read_text(encoding="utf-8")).accounts
    except (OSError, WebstackError):
        return ("root",)


def from_options(params: t.Mapping[str, t.Any]) -> Settings:
    """Return the settings that the options of the module `ssh_lifeline` ask for."""
    return Settings(
        accounts=choose_accounts(params["accounts"]),
        admin_cidrs=tuple(params["admin_cidrs"]),
        ports=tuple(params["ports"]),
        port_thief=params["port_thief"],
        check_seconds=params["check_seconds"],
        metrics=params["metrics"],
    )


def parse_settings(text: str) -> Settings:
    """Read the file's text.

    :raises WebstackError: when it is not what the role writes.
    """
    try:
        given = json.loads(text)
        if not isinstance(given, dict):
            raise ValueError("it holds no mapping")
        values: dict[str, t.Any] = {
            field.name: tuple(given[field.name]) if isinstance(given[field.name], list) else given[field.name]
            for field in dataclasses.fields(Settings)
            if field.name in given
        }
        settings = Settings(**values)
        for network in settings.admin_cidrs:
            ipaddress.ip_network(network, strict=False)
        if not settings.ports or not settings.accounts or not all(isinstance(port, int) for port in settings.ports):
            raise ValueError("it names no port or no account")
    except (ValueError, TypeError, AttributeError) as error:
        raise WebstackError(f"{paths.SETTINGS} cannot be used: {error}") from error
    return settings


def load_settings(*, file: Path = paths.SETTINGS, kept: Path = paths.STATE / "settings.json") -> Settings:
    """Return the settings; those that were last good where somebody has broken or removed the file."""
    try:
        text = file.read_text(encoding="utf-8")
        settings = parse_settings(text)
    except (OSError, WebstackError):
        try:
            return parse_settings(kept.read_text(encoding="utf-8"))
        except (OSError, WebstackError):
            return Settings()
    if not kept.exists() or kept.read_text(encoding="utf-8") != text:
        write_atomically(kept, text.encode())
    return settings
