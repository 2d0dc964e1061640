"""Faults in the kernel's packet filters that go past ufw: iptables, nftables, tc, eBPF."""

from __future__ import annotations

from tests.faults.model import BOTH, NEITHER, Fault


def nft(rules: str) -> str:
    """Return the command that loads rules."""
    return f"nft -f - <<'RULES'\n{rules}\nRULES"


def chain(hook: str, verdict: str, *, family: str = "inet") -> str:
    """Return the command that loads a table of one chain."""
    return nft(f"table {family} fault {{\n chain fault {{\n type filter hook {hook};\n {verdict}\n }}\n}}")


DROP_ALL_CONF = """
cat >/etc/nftables.conf <<'RULES'
#!/usr/sbin/nft -f
flush ruleset
table inet filter {
  chain input { type filter hook input priority 0; policy drop; iif lo accept; ct state established accept; }
}
RULES
"""
# Two instructions, `r0 = verdict; exit`, loaded and linked to eth0 as long as this process lives.
EBPF = """
cat >/usr/local/bin/drop-all <<'PROGRAM'
import ctypes, signal, socket, struct, sys
kind, verdict, hook = map(int, sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
code = ctypes.create_string_buffer(struct.pack("<QQ", verdict << 32 | 0xB7, 0x95))
license = ctypes.create_string_buffer(b"GPL")
def bpf(command, packed):
    number = libc.syscall(321, command, ctypes.create_string_buffer(packed, 128), 128)
    if number < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return number
program = bpf(5, struct.pack("<IIQQ", kind, 2, ctypes.addressof(code), ctypes.addressof(license)))
link = bpf(28, struct.pack("<IIII", program, socket.if_nametoindex("eth0"), hook, 0))
signal.pause()
PROGRAM
run_on python3 /usr/local/bin/drop-all %d %d %d; sleep 1
"""

UFW_OVER_LEGACY = """
for name in iptables ip6tables; do update-alternatives --quiet --set $name /usr/sbin/$name-legacy; done
ufw disable; nft flush ruleset; ufw --force enable
"""

FAULTS = (
    Fault("N01", "iptables -I INPUT -j DROP", "both -I INPUT -j DROP", BOTH),
    Fault("N02", "iptables -I INPUT, drop of port 22", "both -I INPUT -p tcp --dport 22 -j DROP", BOTH),
    Fault("N03", "iptables -F under a policy of DROP", "both -P INPUT DROP; both -F", BOTH),
    Fault("N04", "nft: another table drops port 22 first", chain("input priority -10", "tcp dport 22 drop"), BOTH),
    Fault("N05", "nft: another table, policy drop, last", chain("input priority 100", "policy drop;"), BOTH),
    Fault("N06", "iptables -I OUTPUT, drop of replies", "both -I OUTPUT -p tcp --sport 22 -j DROP", BOTH),
    Fault("N07", "nft flush ruleset", "nft flush ruleset", NEITHER),
    Fault("N08", "iptables -t raw, drop in PREROUTING", "both -t raw -I PREROUTING -j DROP", BOTH),
    Fault("N09", "iptables -t mangle, drop of port 22", "both -t mangle -I PREROUTING -p tcp --dport 22 -j DROP", BOTH),
    Fault(
        "N10",
        "iptables -t nat, port 22 redirected to 80",
        "both -t nat -I PREROUTING -p tcp --dport 22 -j REDIRECT --to-ports 80",
        BOTH,
    ),
    Fault(
        "N11",
        "nftables.conf with policy drop, the service started",
        f"{DROP_ALL_CONF}systemctl enable --now nftables",
        BOTH,
    ),
    Fault(
        "N12",
        "nft: netdev table drops all that enters eth0",
        chain("ingress device eth0 priority 0", "policy drop;", family="netdev"),
        BOTH,
    ),
    Fault(
        "N13",
        "iptables-restore of nothing but policies of DROP",
        r"""
        for restore in iptables-restore ip6tables-restore; do
            printf '*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\nCOMMIT\n' | $restore
        done
        """,
        BOTH,
    ),
    Fault("N14", "nft: a drop ahead of raw", chain("prerouting priority -450", "tcp dport 22 drop"), BOTH),
    Fault(
        "N15",
        "fail2ban bans the admins by ufw",
        "for admin in $ON4 $ON6 $OFF4 $OFF6; do fail2ban-client set sshd banip $admin; done; sleep 3",
        BOTH,
        setup="""
        printf '[DEFAULT]\\nbanaction = ufw\\n[sshd]\\nenabled = true\\nbackend = systemd\\n' >/etc/fail2ban/jail.local
        systemctl start fail2ban
        for _ in $(seq 20); do fail2ban-client ping && break; sleep 0.5; done
        """,
        one_source=True,
    ),
    Fault(
        "N16",
        "IPAddressDeny=any for ssh.service",
        "unit_says '[Service]' IPAddressDeny=any; systemctl restart ssh",
        BOTH,
    ),
    Fault("N17", "nft: another table rejects the replies", chain("output priority 0", "tcp sport 22 reject"), BOTH),
    Fault(
        "N18",
        "nft: an arp table drops all",
        f"{chain('input priority 0', 'policy drop;', family='arp')}\nip neigh flush dev eth0",
        BOTH,
        late=30,
    ),
    Fault(
        "N19",
        "ICMPv6 dropped, neighbours forgotten",
        "ip6tables -I INPUT -p icmpv6 -j DROP; ip6tables -I OUTPUT -p icmpv6 -j DROP; ip -6 neigh flush dev eth0",
        BOTH,
        late=30,
    ),
    Fault(
        "N20",
        "iptables-legacy drops port 22",
        "iptables-legacy -I INPUT -p tcp --dport 22 -j DROP; ip6tables-legacy -I INPUT -p tcp --dport 22 -j DROP",
        BOTH,
    ),
    Fault("N21", "tc: all that leaves eth0 is lost", "tc qdisc replace dev eth0 root blackhole", BOTH),
    Fault("N22", "tc: an eBPF program drops all that enters eth0", EBPF % (3, 2, 46), BOTH, note="needs Linux 6.6"),
    Fault("N23", "XDP: an eBPF program drops all that enters eth0", EBPF % (6, 1, 37), BOTH),
    Fault("N23b", "tc: an eBPF program drops all that leaves eth0", EBPF % (3, 2, 47), BOTH, note="needs Linux 6.6"),
    Fault(
        "N24",
        "iptables: connlimit of 0",
        "both -I INPUT -p tcp --syn --dport 22 -m connlimit --connlimit-above 0 -j REJECT",
        BOTH,
    ),
    Fault(
        "N25",
        "iptables: one new connection an hour",
        """
        both -I INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -j DROP
        both -I INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m limit --limit 1/hour --limit-burst 1 -j ACCEPT
        """,
        BOTH,
    ),
    Fault(
        "N26",
        "iptables: large replies dropped, the greeting passes",
        "both -I OUTPUT -p tcp --sport 22 -m length --length 500:65535 -j DROP",
        BOTH,
    ),
    Fault(
        "N27",
        "a loop that drops port 22 again every second",
        """
        run_on bash -c 'drop="INPUT -p tcp --dport 22 -j DROP"; while :; do
            for command in iptables ip6tables; do $command -w -D $drop; $command -w -I $drop; done; sleep 1
        done'
        sleep 1
        """,
        BOTH,
    ),
    Fault(
        "N28",
        "ipset: the admins' networks on a list that is dropped",
        """
        ipset create fault4 hash:net; ipset create fault6 hash:net family inet6
        for net in $ADMIN_NETS4; do ipset add fault4 $net; done
        for net in $ADMIN_NETS6; do ipset add fault6 $net; done
        iptables -I INPUT -m set --match-set fault4 src -j DROP
        ip6tables -I INPUT -m set --match-set fault6 src -j DROP
        """,
        BOTH,
    ),
    Fault(
        "N29",
        "nft: a table that belongs to a living process drops all",
        """
        echo 'add table inet fault { flags owner; }' >/tmp/rules
        echo 'add chain inet fault fault { type filter hook input priority -20; policy drop; }' >>/tmp/rules
        run_on bash -c '(cat /tmp/rules; exec sleep infinity) | nft --interactive'
        sleep 1
        """,
        BOTH,
    ),
    Fault(
        "N30",
        "iptables -t nat, port 22 handed to a container (DNAT)",
        "iptables -t nat -I PREROUTING -p tcp --dport 22 -j DNAT --to-destination 172.17.0.2:22",
        BOTH,
    ),
    Fault("N31", "iptables -t raw, drop in OUTPUT", "both -t raw -I OUTPUT -j DROP", BOTH),
    Fault("N32", "nft: new connections rejected", chain("input priority -1", "ct state new reject"), BOTH),
    Fault(
        "N33",
        "nftables.service enabled with policy drop, then a reboot",
        f"{DROP_ALL_CONF}systemctl enable nftables",
        BOTH,
        reboot=True,
    ),
    Fault(
        "N34",
        "a unit that drops port 22 after ufw, then a reboot",
        """
        unit_file fault.service '[Unit]' After=ufw.service '[Service]' Type=oneshot \\
            'ExecStart=iptables -w -I INPUT -p tcp --dport 22 -j DROP' \\
            'ExecStart=ip6tables -w -I INPUT -p tcp --dport 22 -j DROP' \\
            '[Install]' WantedBy=multi-user.target
        systemctl enable fault
        """,
        BOTH,
        reboot=True,
    ),
    Fault(
        "N35",
        "nft: the admins' networks dropped in postrouting",
        """
        nft add table inet fault
        nft 'add chain inet fault fault { type filter hook postrouting priority 300; }'
        for net in $ADMIN_NETS4; do nft add rule inet fault fault ip daddr $net drop; done
        for net in $ADMIN_NETS6; do nft add rule inet fault fault ip6 daddr $net drop; done
        """,
        BOTH,
    ),
    Fault(
        "N36",
        "nft: netdev table drops all that leaves eth0",
        chain("egress device eth0 priority 0", "policy drop;", family="netdev"),
        BOTH,
    ),
    Fault(
        "N37",
        "tc: replies at 8 bit a second",
        "tc qdisc replace dev eth0 root tbf rate 8bit burst 100 latency 1ms",
        BOTH,
    ),
    Fault("N38", "tc: a queue that holds small packets only", "tc qdisc replace dev eth0 root bfifo limit 300", BOTH),
    Fault(
        "N39",
        "nft: flags of TCP cut, no connection is ever established",
        chain("prerouting priority -290", "tcp dport 22 tcp flags & (syn | ack) == ack drop"),
        BOTH,
    ),
    Fault(
        "N40",
        "nft: nine of ten packets to port 22 are lost",
        chain("input priority -30", "tcp dport 22 numgen random mod 10 < 9 drop"),
        BOTH,
    ),
    Fault(
        "N41",
        "iptables-legacy: no rules, policies of DROP",
        "for tables in iptables-legacy ip6tables-legacy; do $tables -P INPUT DROP; $tables -F; done",
        BOTH,
    ),
    Fault(
        "N42",
        "ufw over iptables-legacy: insert 1 deny 22",
        "ufw insert 1 deny 22; ufw reload",
        BOTH,
        setup=UFW_OVER_LEGACY,
    ),
    Fault(
        "N43",
        "ufw over iptables-legacy: reset and enable, then a reboot",
        "ufw --force reset; ufw --force enable",
        BOTH,
        setup=UFW_OVER_LEGACY,
        reboot=True,
    ),
    Fault(
        "N44",
        "tc: a filter drops all that enters eth0",
        "tc qdisc add dev eth0 clsact; tc filter add dev eth0 ingress pref 7 protocol all matchall action drop",
        BOTH,
    ),
    Fault("N45", "tc: every packet is lost (netem)", "tc qdisc replace dev eth0 root netem loss 100%", BOTH),
    Fault(
        "N46",
        "iptables: packets are marked, and marked replies go nowhere",
        """
        both -t mangle -I OUTPUT -p tcp --sport 22 -j MARK --set-mark 7
        ip rule add fwmark 7 blackhole priority 7; ip -6 rule add fwmark 7 blackhole priority 7
        """,
        BOTH,
    ),
    Fault(
        "N47",
        "nft: a table that drops all, made anew ten times a second",
        """
        run_on bash -c 'while :; do nft delete table inet fault
            nft "add table inet fault; add chain inet fault fault {
                type filter hook input priority -50; policy drop; }"; sleep 0.1; done'
        sleep 2
        """,
        BOTH,
    ),
    Fault(
        "N48",
        "the qdisc that the guard's probe is caught by, taken away",
        "tc qdisc del dev eth0 clsact",
        NEITHER,
    ),
    Fault(
        "N49",
        "iptables: port 22 handed to a queue that nobody reads",
        "both -I INPUT -p tcp --dport 22 -j NFQUEUE --queue-num 7",
        BOTH,
    ),
    Fault(
        "N50",
        "tc: a filter diverts replies from port 22 on their way out",
        """
        ip link add sink type bridge; ip link set sink up; tc qdisc add dev eth0 clsact
        for match in 'ip pref 70 u32 match ip' 'ipv6 pref 71 u32 match ip6'; do
            tc filter add dev eth0 egress protocol $match sport 22 0xffff action mirred egress redirect dev sink
        done
        """,
        BOTH,
    ),
    Fault(
        "N51",
        "set-property: IPAddressDeny=any for system.slice",
        "systemctl set-property system.slice IPAddressDeny=any",
        BOTH,
    ),
    Fault(
        "N52",
        "nft: whoever connects to port 22 is banned for an hour",
        nft(
            "table inet fault {\n set four { type ipv4_addr; timeout 1h; }\n set six { type ipv6_addr; timeout 1h; }\n"
            " chain fault {\n type filter hook prerouting priority -200;\n ip saddr @four drop\n ip6 saddr @six drop\n"
            " meta nfproto ipv4 tcp dport 22 add @four { ip saddr }\n"
            " meta nfproto ipv6 tcp dport 22 add @six { ip6 saddr }\n }\n}"
        ),
        BOTH,
        one_source=True,
    ),
    Fault(
        "N53",
        "tc: what enters eth0 is diverted",
        """
        ip link add sink type bridge; ip link set sink up; tc qdisc add dev eth0 clsact
        tc filter add dev eth0 ingress pref 7 protocol all matchall action mirred egress redirect dev sink
        """,
        BOTH,
    ),
    Fault("N54", "iptables -t security, drop in INPUT", "both -t security -I INPUT -j DROP", BOTH),
)
