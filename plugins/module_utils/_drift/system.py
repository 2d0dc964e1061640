# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages, units, accounts and certificates."""

from __future__ import annotations

import datetime
import pwd
import re
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import (
    EXTRA,
    PROBE,
    Difference,
    Item,
    compare_seen,
)

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._drift.around import Around

Entries = t.Sequence[t.Mapping[str, t.Any]]
UNIT_PROPERTIES = "Id,LoadState,ActiveState,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload"
RUNNING = ("active", "reloading", "refreshing")
ENABLED = ("enabled", "enabled-runtime", "static", "indirect", "alias", "generated")
VENDOR = ("/usr/lib/systemd/", "/lib/systemd/")
NO_LOGIN = re.compile(r"/(nologin|false|sync)$")


def observe_packages(names: t.Sequence[str], around: Around) -> t.Iterator[Item]:
    """Ask dpkg whether packages are installed, and not held back by hand."""
    plain = [name.partition("=")[0] for name in names]
    listed = around.runner.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Want} ${db:Status-Status}\n", *plain], check=False
    ).stdout
    states = dict(line.split(" ", 1) for line in listed.splitlines())
    for name in plain:
        want, _blank, status = states.get(name, "unknown absent").partition(" ")
        differences = []
        if status != "installed":
            differences.append(Difference(f"Package {name} is not installed ({status})"))
        elif want == "hold":
            differences.append(Difference(f"Package {name} is held back: it gets no update, also none for security"))
        yield Item(key=f"package:{name}", wanted="installed", differences=tuple(differences))


def observe_units(entries: Entries, around: Around) -> t.Iterator[Item]:
    """Ask systemd whether units run, now and after a boot, by the files that belong to them."""
    names = [entry["name"] for entry in entries]
    shown = around.runner.run(["systemctl", "show", f"--property={UNIT_PROPERTIES}", *names], check=False).stdout
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n")]
    for name, properties in zip(names, blocks):
        differences = tuple(_unit_differences(name, properties, managed=around.managed))
        yield Item(key=f"unit:{name}", wanted="runs and starts at boot", differences=differences)


def _unit_differences(
    name: str, properties: t.Mapping[str, str], *, managed: t.Collection[str]
) -> t.Iterator[Difference]:
    if properties["LoadState"] == "not-found":
        yield Difference(f"{name} does not exist")
        return
    if properties["LoadState"] == "masked":
        yield Difference(f"{name} is masked: nothing can start it")
    elif properties["UnitFileState"] not in ENABLED:
        yield Difference(f"{name} does not start at boot ({properties['UnitFileState']})")
    if properties["ActiveState"] not in RUNNING:
        yield Difference(f"{name} does not run ({properties['ActiveState']})")
    if properties["NeedDaemonReload"] == "yes":
        yield Difference(f"{name} runs with older unit files than those on disk", key=f"unit:{name}:files")
    # What is masked is a link to nothing.
    fragment = "" if properties["LoadState"] == "masked" else properties["FragmentPath"]
    for path in [fragment, *properties["DropInPaths"].split()]:
        if path and path not in managed and not path.startswith(VENDOR) and not path.startswith("/run/systemd/gen"):
            what = f"{path} changes {name}, and no role has put it there"
            yield Difference(what, EXTRA, key=f"file:{path}", path=path)


def observe_system_users(entries: Entries, _around: Around) -> t.Iterator[Item]:
    """Compare the accounts that services run as."""
    for entry in entries:
        yield Item(key=f"user:{entry['name']}", wanted=entry, differences=tuple(_user_differences(entry)))


def _user_differences(entry: t.Mapping[str, t.Any]) -> t.Iterator[Difference]:
    try:
        found = pwd.getpwnam(entry["name"])
    except KeyError:
        yield Difference(f"Account {entry['name']} does not exist")
        return
    for what, has, wants in (("home", found.pw_dir, entry["home"]), ("shell", found.pw_shell, entry["shell"])):
        if has != wants:
            yield Difference(f"The {what} of account {entry['name']} is {has}, not {wants}")


def observe_logins(around: Around) -> Item:
    """Compare the accounts that may log in, or have root's number, with those of the last apply."""
    now = {
        each.pw_name: f"{each.pw_uid} {each.pw_shell}"
        for each in pwd.getpwall()
        if each.pw_uid == 0 or not NO_LOGIN.search(each.pw_shell)
    }
    before = around.record.seen.get("logins")
    found = [] if before is None else compare_seen(before=before, now=now, title="Login account", key="login")
    return Item(key="logins", seen=now, differences=tuple(found))


def observe_certificates(entries: Entries, around: Around) -> t.Iterator[Item]:
    """Ask how long certificates are still good for."""
    for entry in entries:
        yield Item(key=f"certificate:{entry['path']}", differences=tuple(_certificate_differences(entry, around)))


def _certificate_differences(entry: t.Mapping[str, t.Any], around: Around) -> t.Iterator[Difference]:
    path = entry["path"]
    if not Path(path).exists():
        yield Difference(f"Certificate {path} does not exist", path=path)
        return
    asked = around.runner.run(["openssl", "x509", "-noout", "-enddate", "-in", path], check=False)
    match = re.search(r"notAfter=(.+)", asked.stdout)
    if match is None:
        yield Difference(f"{path} holds no certificate: {asked.stderr.strip().splitlines()[:1]}", PROBE, path=path)
        return
    ends = datetime.datetime.strptime(match[1].strip(), "%b %d %H:%M:%S %Y %Z").replace(tzinfo=datetime.timezone.utc)
    left = (ends - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400
    if left < 0:
        yield Difference(f"Certificate {path} has expired on {ends:%Y-%m-%d}", PROBE, path=path)
    elif left < entry["days"]:
        yield Difference(f"Certificate {path} expires on {ends:%Y-%m-%d}, in {left:.0f} days", PROBE, path=path)
