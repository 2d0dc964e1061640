"""Faults that are typed as `ufw` commands, or laid into its files."""

from __future__ import annotations

from tests.faults.model import BOTH, NEITHER, Fault

FAULTS = (
    Fault("U01", "ufw deny 22 (after allow OpenSSH)", "ufw deny 22", NEITHER, base="OpenSSH"),
    Fault("U02", "ufw deny 22 (after allow 22)", "ufw deny 22", BOTH, base="22"),
    Fault("U03", "ufw deny 22/tcp (after allow 22/tcp)", "ufw deny 22/tcp", BOTH),
    Fault("U04", "ufw delete allow OpenSSH", "ufw delete allow OpenSSH", BOTH, base="OpenSSH"),
    Fault("U05", "ufw delete 1, by number", "ufw --force delete 1", BOTH),
    Fault("U06", "ufw insert 1 deny 22", "ufw insert 1 deny 22", BOTH),
    Fault("U07", "ufw reset", "ufw --force reset", NEITHER),
    Fault("U08", "ufw reset, then enable", "ufw --force reset; ufw --force enable", BOTH),
    Fault(
        "U09",
        "ufw prepend deny from the admins' networks",
        "for net in $ADMIN_NETS; do ufw prepend deny from $net; done",
        BOTH,
    ),
    Fault(
        "U10",
        "ufw limit OpenSSH, then a burst of connections",
        "ufw limit OpenSSH",
        BOTH,
        base="OpenSSH",
        burst=12,
        one_source=True,
    ),
    Fault(
        "U11",
        "ufw default deny outgoing",
        "ufw default deny outgoing",
        NEITHER,
        note="replies pass, since their connections are known",
    ),
    Fault(
        "U12",
        "ufw prepend deny out to the admins' networks",
        "for net in $ADMIN_NETS; do ufw prepend deny out to $net; done",
        NEITHER,
    ),
    Fault(
        "U13",
        "ufw default reject, the rule for SSH deleted",
        "ufw default reject incoming; ufw delete allow 22/tcp",
        BOTH,
    ),
    Fault(
        "U14",
        "a syntax error in before.rules, then reload",
        "sed -i '/^COMMIT/i nonsense' /etc/ufw/before.rules; ufw reload",
        NEITHER,
    ),
    Fault("U15", "ufw enable without a rule for SSH", "ufw --force enable", BOTH, base=""),
    Fault(
        "U16",
        "a syntax error in before.rules, then a reboot",
        "sed -i '/^COMMIT/i nonsense' /etc/ufw/before.rules",
        NEITHER,
        reboot=True,
    ),
    Fault("U17", "ufw insert 1 deny in on eth0", "ufw insert 1 deny in on eth0", BOTH),
    Fault(
        "U18",
        "SSH accepted in the kernel alone, then a reboot",
        "ufw --force enable",
        BOTH,
        base="",
        setup="both -I INPUT -p tcp --dport 22 -j ACCEPT",
        reboot=True,
    ),
    Fault(
        "U19", "IPV6=no in ufw's defaults, then reload", "sed -i s/^IPV6=.*/IPV6=no/ /etc/default/ufw; ufw reload", BOTH
    ),
    Fault(
        "U20",
        "a drop of port 22 at the top of before.rules and before6.rules",
        r"""
        sed -i '0,/^-A/s//-A ufw-before-input -p tcp --dport 22 -j DROP\n-A/' /etc/ufw/before.rules
        sed -i '0,/^-A/s//-A ufw6-before-input -p tcp --dport 22 -j DROP\n-A/' /etc/ufw/before6.rules
        ufw reload
        """,
        BOTH,
    ),
    Fault(
        "U21",
        "user.rules and user6.rules emptied, then reload",
        "truncate -s 0 /etc/ufw/user.rules /etc/ufw/user6.rules; ufw reload",
        BOTH,
    ),
    Fault("U22", "ufw reject 22/tcp", "ufw reject 22/tcp", BOTH),
    Fault(
        "U23",
        "the package's own before.rules put back, then deny 22",
        "cp /usr/share/ufw/iptables/before*.rules /etc/ufw/; ufw insert 1 deny 22; ufw reload",
        BOTH,
    ),
    Fault(
        "U24",
        "SSH allowed from one wrong address alone",
        "ufw allow from 203.0.113.9 to any port 22 proto tcp; ufw delete allow 22/tcp",
        BOTH,
    ),
    Fault(
        "U25",
        "configuration management: reset, default deny, allow 80, enable",
        "ufw --force reset; ufw default deny incoming; ufw allow 80/tcp; ufw --force enable",
        BOTH,
    ),
    Fault(
        "U26",
        "ufw removed, the kernel left with a policy of DROP and no rules",
        "DEBIAN_FRONTEND=noninteractive dpkg --force-all --remove ufw; both -P INPUT DROP; both -F; both -X",
        BOTH,
    ),
    Fault(
        "U27",
        "a reset and a deny in a loop",
        "run_on bash -c 'while :; do ufw --force reset; ufw deny 22; ufw --force enable; sleep 5; done'; sleep 3",
        BOTH,
    ),
    Fault(
        "U28",
        "the profile OpenSSH says port 2222, ufw app update",
        "sed -i s/^ports=.*/ports=2222/ /etc/ufw/applications.d/openssh-server; ufw app update OpenSSH",
        BOTH,
        base="OpenSSH",
    ),
    Fault(
        "U29",
        "ufw empties the built-in chains, and a hook of it drops all (after.init)",
        r"""
        sed -i s/^MANAGE_BUILTINS=.*/MANAGE_BUILTINS=yes/ /etc/default/ufw
        printf '#!/bin/sh\nfor t in iptables ip6tables; do $t -I INPUT -j DROP; done\n' >/etc/ufw/after.init
        chmod 755 /etc/ufw/after.init; ufw reload
        """,
        BOTH,
    ),
)
