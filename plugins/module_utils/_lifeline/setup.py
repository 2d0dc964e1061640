# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard puts on a host beside its program: settings, units, and sshd's own settings."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import login, paths
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.daemon import SSHD, STAND_IN_FLAG

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner
    from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.settings import Settings

UNIT_FOLDER = Path("/etc/systemd/system")
MANAGED = "# Managed by Ansible (phoenix.webstack.ssh_lifeline)."
SERVICE = f"""\
{MANAGED}
[Unit]
Description=Keep SSH reachable
Documentation=man:sshd(8)
# What it has to bring back may have failed, so it waits for its end only.
After=network.target ssh.service
# It stays when everything else is taken down.
IgnoreOnIsolate=yes
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={paths.COMMAND} run
Restart=always
RestartSec=100ms
# Whoever stops it with a signal stops its heartbeat.
WatchdogSec=7s
WatchdogSignal=SIGKILL
# When the system goes down it looks once more whether SSH will be there after the boot.
TimeoutStopSec=15s
# A server that it had to start by hand outlives it.
KillMode=process
OOMScoreAdjust=-900
# Whatever the defaults for all units are set to.
LimitAS=infinity
LimitNOFILE=4096
LimitNPROC=infinity
TasksMax=infinity
# As tight as it can be: docs/guard.md says of each directive that is not here why it cannot be.
CapabilityBoundingSet=~CAP_BLOCK_SUSPEND CAP_IPC_OWNER CAP_LEASE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_SYSLOG CAP_SYS_BOOT
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_PACCT CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_WAKE_ALARM
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=net mnt
RestrictRealtime=yes
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target rescue.target
"""
# Costs nothing while the guard runs; starts it again where somebody has stopped it.
TIMER = f"""\
{MANAGED}
[Unit]
Description=Bring the guard of SSH back

[Timer]
OnActiveSec=1s
OnUnitInactiveSec=3s
AccuracySec=100ms
Unit={paths.UNIT}

[Install]
WantedBy=timers.target
"""
SSH_SERVICE = f"""\
{MANAGED}
[Unit]
StartLimitIntervalSec=0
# The guard's own server is in its place: somebody has stopped or spoiled this one again and again.
ConditionPathExists=!{STAND_IN_FLAG}

[Service]
Restart=always
RestartSec=1s
# sshd says 255 when its port is taken, which may be over in a second.
RestartPreventExitStatus=
TimeoutStartSec=20s
"""


# Shells of a login run these at their end; a session that is no login leaves nothing behind.
LOGOUT_FILES = (Path("/etc/bash.bash_logout"), Path("/etc/zsh/zlogout"))
LOGOUT_BEGIN, LOGOUT_END = "# BEGIN ssh-lifeline", "# END ssh-lifeline"
LOGOUT = f"""\
{LOGOUT_BEGIN}: tells whether the next login will work
[ -z "$SSH_TTY" ] || [ ! -x {paths.COMMAND} ] || {paths.COMMAND} logout
{LOGOUT_END}
"""


def with_logout(text: str) -> str:
    """Return a shell's logout file with our lines at its end, and everything else as it is."""
    kept: list[str] = []
    ours = False
    for line in text.splitlines(keepends=True):
        ours = ours or line.startswith(LOGOUT_BEGIN)
        if not ours:
            kept.append(line)
        ours = ours and not line.startswith(LOGOUT_END)
    return "".join(kept) + LOGOUT


@dataclasses.dataclass(frozen=True)
class SshServer:
    """As much of the host's sshd as its settings depend on.

    :arg keys_file: The value of AuthorizedKeysFile that the admin's own configuration gives.
    :arg penalties: Whether it has PerSourcePenalties.
    :arg reads_drop_ins: Whether its configuration includes the folder of drop-ins.
    """

    keys_file: str
    penalties: bool
    reads_drop_ins: bool


def look_at_server(*, runner: CommandRunner, config: Path = Path("/etc/ssh/sshd_config")) -> SshServer:
    """Ask sshd for its settings.

    :raises WebstackError: when it refuses its own configuration.
    """
    done = runner.run([SSHD, "-T"], check=False)
    if done.rc != 0:
        raise WebstackError(
            f"sshd refuses its configuration, and would not start again: {done.stderr.strip()}. Nothing was changed."
            " Correct it; `sshd -t` tells when it is right."
        )
    effective = login.parse_effective(done.stdout)
    own = [each for each in effective.get("authorizedkeysfile", "").split() if each != login.OUR_KEYS]
    lines = (line.split() for line in config.read_text(encoding="utf-8", errors="replace").splitlines())
    includes = any(words[:1] and words[0].lower() == "include" and "sshd_config.d" in words[1] for words in lines)
    return SshServer(
        keys_file=" ".join(own) or ".ssh/authorized_keys",
        penalties="persourcepenalties" in effective,
        reads_drop_ins=includes,
    )


def host_files(*, settings: Settings, server: SshServer) -> dict[Path, tuple[str, int]]:
    """Return what has to be on the host: text and mode by path."""
    files = {
        paths.SETTINGS: (json.dumps(dataclasses.asdict(settings), indent=1) + "\n", 0o600),
        UNIT_FOLDER / paths.UNIT: (SERVICE, 0o644),
        UNIT_FOLDER / paths.TIMER: (TIMER, 0o644),
        UNIT_FOLDER / "ssh.service.d" / "ssh-lifeline.conf": (SSH_SERVICE, 0o644),
    }
    for path in LOGOUT_FILES:
        if path.parent.is_dir():
            earlier = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            files[path] = (with_logout(earlier), 0o644)
    if server.reads_drop_ins:
        text = login.drop_in(
            ports=settings.ports,
            keys_file=server.keys_file,
            admin_cidrs=settings.admin_cidrs,
            penalties=server.penalties,
        )
        files[login.DROP_IN] = (text, 0o644)
    return files
