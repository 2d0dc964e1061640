"""Faults that are typed as `ufw` commands, or laid into its files."""

from __future__ import annotations

from tests.faults.model import BOTH, NEITHER, Fault

FAULTS = (
    Fault("U01", "ufw deny 22 (after allow OpenSSH)", "ufw deny 22", NEITHER, base="OpenSSH"),
    Fault("U02", "ufw deny 22 (after allow 22)", "ufw deny 22", BOTH, base="22"),
    Fault("U03", "ufw deny 22/tcp (after allow 22/tcp)", "ufw deny 22/tcp", BOTH),
    Fault("U06", "ufw insert 1 deny 22", "ufw insert 1 deny 22", BOTH),
    Fault(
        "U18",
        "an accept only in the kernel, ufw without a rule for SSH, reboot",
        "ufw --force enable",
        BOTH,
        base="",
        reboot=True,
    ),
)
