# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the program on the host keeps its things."""

from __future__ import annotations

from pathlib import Path

PROGRAM = Path("/usr/local/lib/ssh-lifeline")  # the sources, in the packages they have in the collection
COMMAND = Path("/usr/local/bin/ssh-lifeline")  # everybody may ask for the status
SETTINGS = Path("/etc/ssh-lifeline/settings.json")
STATE = Path("/var/lib/ssh-lifeline")  # survives a reboot; root alone may look
RUNTIME = Path("/run/ssh-lifeline")
PINNED = RUNTIME / "pinned"  # good copies of files that somebody spoils again and again, mounted over them
UNIT = "ssh-lifeline.service"
TIMER = "ssh-lifeline.timer"
ROLLBACK = STATE / "rollback"
ARMED = ROLLBACK / "armed"  # there is a change that nobody has confirmed yet
CONTROL = RUNTIME / "control"  # whoever sends a word to it has everything looked at now
# Locked while another version is put on the host. Not in /run/lock, where everybody could hold it, and so the guard up.
INSTALLING = RUNTIME / "installing"
