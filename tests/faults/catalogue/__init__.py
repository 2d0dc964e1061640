"""Every fault that we know, by letter: U ufw, N the kernel's filters, R routes and links, S sshd and what it needs."""

from __future__ import annotations

from tests.faults.catalogue.ufw import FAULTS as UFW

FAULTS = (*UFW,)
