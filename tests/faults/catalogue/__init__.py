"""Every fault that we know, by letter: U ufw, N the kernel's filters, R routes and links, S sshd and what it needs."""

from __future__ import annotations

from tests.faults.catalogue.login import FAULTS as LOGIN
from tests.faults.catalogue.netfilter import FAULTS as NETFILTER
from tests.faults.catalogue.routing import FAULTS as ROUTING
from tests.faults.catalogue.sshd import FAULTS as SSHD
from tests.faults.catalogue.ufw import FAULTS as UFW

FAULTS = (*UFW, *NETFILTER, *ROUTING, *SSHD, *LOGIN)
