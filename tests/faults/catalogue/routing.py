"""Faults of addresses, routes, links and the kernel's network settings."""

from __future__ import annotations

from tests.faults.model import BOTH, NEITHER, Fault

FAULTS = (
    Fault("R01", "ip route del default", "ip route del default; ip -6 route del default", BOTH),
    Fault("R02", "ip link set eth0 down", "ip link set eth0 down", BOTH),
    Fault("R03", "ip addr flush dev eth0", "ip addr flush dev eth0", BOTH),
    Fault(
        "R04",
        "blackhole routes to the distant admins",
        "ip route add blackhole 198.51.100.0/24; ip -6 route add blackhole fdc6:7a1e:5eed:1::/64",
        BOTH,
    ),
    Fault(
        "R05",
        "the default route leads to a wrong gateway",
        """
        ip route replace default via ${GATEWAY4%.*}.250; ip -6 route flush default
        ip -6 route add default via ${GATEWAY6%:*}:250 dev eth0
        """,
        BOTH,
    ),
    Fault(
        "R06",
        "ip rule: the admins' networks are prohibited",
        """
        for net in $ADMIN_NETS4; do ip rule add to $net prohibit priority 10; done
        for net in $ADMIN_NETS6; do ip -6 rule add to $net prohibit priority 10; done
        """,
        BOTH,
    ),
    Fault(
        "R07",
        "a wrong hardware address for the gateway",
        """
        ip neigh replace $GATEWAY4 lladdr 02:00:00:00:00:fe dev eth0 nud permanent
        ip neigh replace $GATEWAY6 lladdr 02:00:00:00:00:fe dev eth0 nud permanent
        """,
        BOTH,
    ),
    Fault("R08", "ip link set eth0 arp off, mtu 68", "ip link set eth0 arp off; ip link set eth0 mtu 68", BOTH),
    Fault(
        "R09",
        "ip rule: replies from port 22 are unreachable",
        """
        ip rule add ipproto tcp sport 22 unreachable priority 10
        ip -6 rule add ipproto tcp sport 22 unreachable priority 10
        """,
        BOTH,
    ),
    Fault("R10", "ip rule flush", "ip rule flush; ip -6 rule flush", BOTH),
    Fault("R11", "ip route flush table main", "ip route flush table main; ip -6 route flush table main", BOTH),
    Fault("R12", "ip route flush table local", "ip route flush table local; ip -6 route flush table local", BOTH),
    Fault(
        "R13",
        "sysctl disable_ipv6=1",
        "sysctl -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.eth0.disable_ipv6=1",
        BOTH,
    ),
    Fault(
        "R14",
        "strict rp_filter, and a tunnel that claims the admins' networks",
        """
        ip link add tunnel type bridge; ip link set tunnel up
        sysctl -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1
        ip route add 198.51.100.0/24 dev tunnel metric 1; ip -6 route add fdc6:7a1e:5eed:1::/64 dev tunnel metric 1
        """,
        BOTH,
    ),
    Fault(
        "R15",
        "a tunnel takes both default routes over (0/1 and 128/1)",
        """
        ip link add tunnel type bridge; ip link set tunnel up; ip addr add 10.8.0.2/24 dev tunnel
        ip route add 0.0.0.0/1 dev tunnel; ip route add 128.0.0.0/1 dev tunnel; ip -6 route add ::/1 dev tunnel
        ip -6 route add 8000::/1 dev tunnel
        """,
        BOTH,
    ),
    Fault(
        "R16",
        "another hardware address for eth0",
        "ip link set eth0 address 02:00:00:00:01:99",
        BOTH,
        note="neighbours go on sending to the old address until they have forgotten it",
    ),
    Fault("R17", "ip link set eth0 mtu 68", "ip link set eth0 mtu 68", BOTH),
    Fault(
        "R18",
        "eth0 renamed",
        "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up",
        BOTH,
    ),
    Fault(
        "R19",
        "eth0 made a port of a bridge that has no address",
        "ip link add br0 type bridge; ip link set br0 up; ip link set eth0 master br0",
        BOTH,
    ),
    Fault("R20", "eth0 moved to another network namespace", "ip netns add fault; ip link set eth0 netns fault", BOTH),
    Fault(
        "R21",
        "another address for eth0",
        """
        ip addr flush dev eth0 scope global
        ip addr add ${OWN4%.*}.222/24 dev eth0; ip addr add ${OWN6%:*}:222/64 dev eth0
        """,
        BOTH,
    ),
    Fault(
        "R22",
        "the address without its network (/32 and /128)",
        "ip addr flush dev eth0 scope global; ip addr add $OWN4/32 dev eth0; ip addr add $OWN6/128 dev eth0",
        BOTH,
    ),
    Fault(
        "R24",
        "the admins' addresses taken by the host itself",
        """
        ip addr add $OFF4/24 dev lo; ip route add local 198.51.100.0/24 dev lo
        ip -6 route add local fdc6:7a1e:5eed:1::/64 dev lo
        """,
        BOTH,
    ),
    Fault(
        "R25",
        "systemd-networkd takes eth0 over and waits for DHCP",
        """
        mkdir -p /etc/systemd/network
        printf '%s\\n' '[Match]' Name=eth0 '[Network]' DHCP=yes >/etc/systemd/network/50-eth0.network
        systemctl enable --now systemd-networkd; sleep 2
        """,
        ("13",),
    ),
    Fault(
        "R26",
        "IPsec wanted from everybody",
        """
        ip xfrm policy add src 0.0.0.0/0 dst $OWN4/32 dir in tmpl proto esp mode transport
        ip -6 xfrm policy add src ::/0 dst $OWN6/128 dir in tmpl proto esp mode transport
        """,
        BOTH,
    ),
    Fault(
        "R26b",
        "IPsec wanted for all that goes out",
        """
        ip xfrm policy add src $OWN4/32 dst 0.0.0.0/0 dir out priority 100 tmpl proto esp mode transport
        ip -6 xfrm policy add src $OWN6/128 dst ::/0 dir out priority 100 tmpl proto esp mode transport
        """,
        BOTH,
    ),
    Fault("R26c", "what no IPsec policy allows is blocked", "ip xfrm policy setdefault in block", BOTH),
    Fault(
        "R26d",
        "an IPsec policy that blocks SSH",
        """
        ip xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 proto tcp dport 22 dir in action block
        ip -6 xfrm policy add src ::/0 dst ::/0 proto tcp dport 22 dir in action block
        """,
        BOTH,
    ),
    Fault(
        "R27",
        "default routes that lead nowhere, ahead of the real ones",
        "ip route add unreachable default metric 1; ip -6 route add unreachable default metric 1",
        BOTH,
    ),
    Fault(
        "R28",
        "IPv6: the address is deprecated and then gone",
        "ip -6 addr change $OWN6/64 dev eth0 valid_lft 3 preferred_lft 0",
        BOTH,
        late=15,
    ),
    Fault(
        "R29",
        "a loop that takes the default routes away every second",
        "run_on bash -c 'while :; do ip route del default; ip -6 route del default; sleep 1; done'; sleep 1",
        BOTH,
    ),
    Fault(
        "R30",
        "a network on lo that holds the admins' (198.0.0.1/8)",
        "ip addr add 198.0.0.1/8 dev lo",
        BOTH,
    ),
    Fault(
        "R31",
        "ip link set eth0 down, every second",
        "run_on bash -c 'while :; do ip link set eth0 down; sleep 1; done'; sleep 1",
        BOTH,
    ),
    Fault(
        "R32",
        "ip rule: what comes from the host's own addresses is blackholed",
        "ip rule add from $OWN4 blackhole priority 5; ip -6 rule add from $OWN6 blackhole priority 5",
        BOTH,
    ),
    Fault(
        "R33",
        "sysctl arp_ignore=8, and neighbours have forgotten",
        "sysctl -w net.ipv4.conf.all.arp_ignore=8 net.ipv4.conf.eth0.arp_ignore=8",
        BOTH,
        late=60,
        note="neighbours find out when they ask again, after half a minute and more",
    ),
    Fault(
        "R34",
        "eth0 made a part of a VRF",
        "ip link add vrf0 type vrf table 10; ip link set vrf0 up; ip link set eth0 master vrf0",
        BOTH,
    ),
    Fault(
        "R35",
        "ip link set eth0 multicast off",
        "ip link set eth0 multicast off; ip -6 neigh flush dev eth0",
        BOTH,
        late=60,
    ),
    Fault(
        "R36",
        "eth0 moved into the network of a process",
        "run_on unshare --net sleep infinity; sleep 1; ip link set eth0 netns $(pgrep -n -x sleep)",
        BOTH,
    ),
    Fault(
        "R37",
        "eth0 deleted",
        "ip link delete eth0",
        BOTH,
        out_of_reach="the device is gone from the machine; only whoever gave it to the host can give it another",
    ),
    Fault(
        "R38",
        "no backlog of connections (sysctl), restart",
        """
        sysctl -w net.core.somaxconn=0 net.ipv4.tcp_max_syn_backlog=0 net.ipv4.tcp_syncookies=0
        systemctl restart ssh
        """,
        NEITHER,
    ),
    Fault(
        "R39",
        "ip rule: everything is looked up in an empty table",
        "for v in -4 -6; do ip $v rule add lookup 4242 priority 1; ip $v rule del lookup main; done",
        BOTH,
    ),
    Fault(
        "R40",
        "IPv6: routers are believed, and one says that it is gone",
        """
        sysctl -w net.ipv6.conf.eth0.accept_ra=2
        ip -6 route del default; ip -6 route add unreachable default metric 1
        """,
        BOTH,
    ),
    Fault(
        "R41",
        "a macvlan in the mode passthru takes what comes to eth0",
        "ip link add mv0 link eth0 type macvlan mode passthru; ip link set mv0 up",
        BOTH,
    ),
    Fault(
        "R42",
        "eth0 made a part of a bond",
        "ip link add bond0 type bond; ip link set eth0 down; ip link set eth0 master bond0; ip link set bond0 up",
        BOTH,
    ),
    Fault(
        "R43",
        "an ipvlan takes the address over",
        """
        ip netns add fault; ip link add iv0 link eth0 type ipvlan mode l2; ip link set iv0 netns fault
        ip -n fault link set iv0 up; ip -n fault addr add $OWN4/24 dev iv0; ip -n fault addr add $OWN6/64 dev iv0
        """,
        BOTH,
    ),
    Fault(
        "R44",
        "replies live for one hop (sysctl)",
        "sysctl -w net.ipv4.ip_default_ttl=1 net.ipv6.conf.all.hop_limit=1 net.ipv6.conf.eth0.hop_limit=1",
        NEITHER,
        note="the distant admins of the harness are one hop away",
    ),
    Fault(
        "R45",
        "replies live for one hop (routes)",
        "for v in -4 -6; do ip $v route replace $(ip $v route show default | head -n 1) hoplimit 1; done",
        NEITHER,
        note="the distant admins of the harness are one hop away",
    ),
    Fault(
        "R45b",
        "a window of one byte (routes)",
        "for v in -4 -6; do ip $v route replace $(ip $v route show default | head -n 1) window 1; done",
        BOTH,
    ),
    Fault(
        "R46",
        "a byte of memory for each connection (sysctl), restart",
        "sysctl -w net.ipv4.tcp_rmem='1 1 1' net.ipv4.tcp_wmem='1 1 1'; systemctl restart ssh",
        BOTH,
    ),
)
