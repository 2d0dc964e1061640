"""Faults of sshd itself: its service, its configuration, its port and its keys."""

from __future__ import annotations

from tests.faults.model import BOTH, NEITHER, Fault

RESTART = "systemctl restart ssh"
THIEF = "python3 -m http.server 22 --bind"


def configured(*lines: str, then: str = RESTART) -> str:
    """Return the commands that put lines at the top of sshd_config, ahead of every other file, and restart sshd."""
    return f"sshd_says {' '.join(repr(line) for line in lines)}; {then}"


def unit(*lines: str, then: str = RESTART) -> str:
    """Return the commands that give ssh.service a drop-in and restart it."""
    return f"unit_says {' '.join(repr(line) for line in lines)}; {then}"


USER_RC = "for home in /root /home/admin; do echo 'sleep 600' >$home/.ssh/rc; done"
# The way to have a guard agree to it.
BY_SOCKET = """
systemctl stop ssh-lifeline.timer ssh-lifeline
systemctl disable --now ssh; systemctl enable --now ssh.socket
if type ssh-lifeline; then ssh-lifeline accept; systemctl start ssh-lifeline ssh-lifeline.timer; fi
"""

FAULTS = (
    # -- the service
    Fault("S01", "systemctl stop ssh", "systemctl stop ssh", BOTH),
    Fault("S02", "systemctl disable ssh, then a reboot", "systemctl disable ssh", BOTH, reboot=True),
    Fault("S03", "systemctl mask --now ssh", "systemctl mask --now ssh", BOTH),
    Fault("S03b", "systemctl mask ssh, then a reboot", "systemctl mask ssh", BOTH, reboot=True),
    Fault("S04", "kill -9 of the listener", "kill -9 $(systemctl show -p MainPID --value ssh)", NEITHER),
    Fault(
        "S04b",
        "kill -9 of the listener, until systemd gives up",
        """
        for _ in $(seq 15); do
            pid=$(systemctl show -p MainPID --value ssh)
            [ "$pid" = 0 ] || kill -9 "$pid"
            sleep 0.3
        done
        """,
        BOTH,
    ),
    Fault(
        "S04c",
        "the listener killed in a loop",
        """
        run_on bash -c 'while :; do kill -9 $(systemctl show -p MainPID --value ssh); sleep 1; done'
        sleep 5
        """,
        BOTH,
    ),
    Fault("S04d", "kill -STOP of the listener", "kill -STOP $(systemctl show -p MainPID --value ssh)", BOTH),
    Fault(
        "S04e",
        "a cron job stops ssh again and again",
        "run_on bash -c 'while :; do systemctl stop ssh; sleep 5; done'; sleep 1",
        BOTH,
    ),
    Fault(
        "S21",
        "drop-in: TasksMax=1",
        unit("[Service]", "TasksMax=1"),
        NEITHER,
        note="has no effect where systemd may not count processes, as in a lab on cgroup v1",
    ),
    Fault("S22", "drop-in: ExecStart=/bin/false", unit("[Service]", "ExecStart=", "ExecStart=/bin/false"), BOTH),
    Fault("S22b", "drop-in: ExecStartPre=/bin/false", unit("[Service]", "ExecStartPre=/bin/false"), BOTH),
    Fault(
        "S22c",
        "drop-in: MemoryMax=1",
        unit("[Service]", "MemoryMax=1"),
        NEITHER,
        note="has no effect where systemd may not limit memory, as in a lab on cgroup v1",
    ),
    Fault("S22d", "drop-in: ProtectHome=yes", unit("[Service]", "ProtectHome=yes"), BOTH),
    Fault("S22e", "drop-in: PrivateNetwork=yes", unit("[Service]", "PrivateNetwork=yes"), BOTH),
    Fault("S22f", "drop-in: User=nobody", unit("[Service]", "User=nobody"), BOTH),
    Fault(
        "S22g", "drop-in: RestrictAddressFamilies=AF_UNIX", unit("[Service]", "RestrictAddressFamilies=AF_UNIX"), BOTH
    ),
    Fault(
        "S22h",
        "drop-in: ConditionPathExists= of a missing file",
        unit("[Unit]", "ConditionPathExists=/srv/missing"),
        BOTH,
    ),
    Fault("S22i", "drop-in: InaccessiblePaths=/home /root", unit("[Service]", "InaccessiblePaths=/home /root"), BOTH),
    Fault(
        "S22j", "drop-in: no capabilities left", unit("[Service]", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"), BOTH
    ),
    Fault("S22k", "drop-in: LimitNOFILE=3", unit("[Service]", "LimitNOFILE=3"), BOTH),
    Fault(
        "S22l",
        "drop-in: Conflicts=multi-user.target, then a reboot",
        unit("[Unit]", "Conflicts=multi-user.target", then=":"),
        BOTH,
        reboot=True,
    ),
    Fault("S22m", "drop-in: RootDirectory=/srv", unit("[Service]", "RootDirectory=/srv"), BOTH),
    Fault(
        "S22n",
        "drop-in: RestrictAddressFamilies without IPv6",
        unit("[Service]", "RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK"),
        BOTH,
    ),
    Fault(
        "S22o",
        "drop-in: requires a unit that does not exist, then a reboot",
        unit("[Unit]", "Requires=missing.service", "After=missing.service", then=":"),
        ("13",),
        reboot=True,
    ),
    Fault("S22p", "drop-in: RuntimeMaxSec=3, Restart=no", unit("[Service]", "RuntimeMaxSec=3", "Restart=no"), BOTH),
    Fault("S22q", "set-property: IPAddressDeny=any", "systemctl set-property ssh.service IPAddressDeny=any", BOTH),
    Fault(
        "S22r",
        "a unit file of the same name in /etc",
        """
        unit_file ssh.service '[Service]' ExecStart=/bin/true Type=oneshot '[Install]' WantedBy=multi-user.target
        systemctl restart ssh
        """,
        BOTH,
    ),
    Fault(
        "S24",
        "ssh.socket on port 2222 instead of the service",
        """
        unit_file ssh.socket.d/port.conf '[Socket]' ListenStream= ListenStream=2222
        systemctl disable --now ssh; systemctl enable --now ssh.socket
        """,
        BOTH,
    ),
    Fault("S24b", "ssh.socket started while ssh.service runs", "systemctl enable --now ssh.socket", NEITHER),
    Fault("S24c", "systemctl mask ssh.socket", "systemctl mask --now ssh.socket", NEITHER),
    Fault(
        "S24d",
        "ssh.socket instead of the service, with a template that fails",
        """
        unit_file ssh@.service.d/fault.conf '[Service]' ExecStart= ExecStart=/bin/false
        unit_says '[Service]' ExecStart= ExecStart=/bin/false
        systemctl disable --now ssh; systemctl enable --now ssh.socket
        """,
        BOTH,
    ),
    Fault("S36", "rescue.target as default, then a reboot", "systemctl set-default rescue.target", BOTH, reboot=True),
    Fault(
        "S36b",
        "emergency.target as default, then a reboot",
        "systemctl set-default emergency.target",
        BOTH,
        reboot=True,
    ),
    Fault("S36c", "systemctl isolate rescue.target", "systemctl --no-block isolate rescue.target; sleep 3", BOTH),
    Fault(
        "S36d",
        "a mount in fstab that does not exist, then a reboot",
        "echo '/dev/missing /srv ext4 defaults 0 2' >>/etc/fstab",
        NEITHER,
        reboot=True,
        note="a container has no devices that systemd could wait for; a real host ends in emergency.target",
    ),
    Fault("S36e", "network.target masked, then a reboot", "systemctl mask network.target", NEITHER, reboot=True),
    Fault(
        "S36f",
        "default.target dangles, then a reboot",
        "ln -sfn /lib/systemd/system/missing.target /etc/systemd/system/default.target",
        BOTH,
        reboot=True,
    ),
    Fault("S36g", "multi-user.target masked, then a reboot", "systemctl mask multi-user.target", BOTH, reboot=True),
    Fault(
        "S36h",
        "three open files for every service, then a reboot",
        """
        mkdir -p /etc/systemd/system.conf.d
        printf '[Manager]\\nDefaultLimitNOFILE=3\\n' >/etc/systemd/system.conf.d/fault.conf
        """,
        BOTH,
        reboot=True,
    ),
    # -- the server that runs
    Fault(
        "S70",
        "the listener left with four open files",
        "prlimit --nofile=4 --pid $(systemctl show -p MainPID --value ssh)",
        BOTH,
    ),
    Fault(
        "S71",
        "a debugger holds the listener",
        """
        run_on python3 -c '
import ctypes, signal, sys
ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), 0, 0)
signal.pause()' $(systemctl show -p MainPID --value ssh); sleep 1
        """,
        BOTH,
    ),
    Fault("S73", "the listening socket destroyed", "ss -K state listening sport = :22", BOTH),
    Fault(
        "S73b",
        "the listening socket destroyed every two seconds",
        "run_on sh -c 'while :; do ss -K state listening sport = :22; sleep 2; done'",
        BOTH,
    ),
    Fault(
        "S75",
        "set-property: TasksMax=1 for the sessions of all users",
        "systemctl set-property user.slice TasksMax=1",
        NEITHER,
    ),
    # -- the configuration
    Fault("S05", "a syntax error in sshd_config, restart", configured("Nonsense yes"), BOTH),
    Fault(
        "S05b",
        "a syntax error in sshd_config, reload",
        configured("Nonsense yes", then="systemctl reload ssh"),
        NEITHER,
    ),
    Fault(
        "S05c", "a syntax error in sshd_config, then a reboot", configured("Nonsense yes", then=":"), BOTH, reboot=True
    ),
    Fault("S05d", "sshd_config removed, restart", f"rm /etc/ssh/sshd_config; {RESTART}", BOTH),
    Fault("S05e", "/etc/ssh moved away, restart", f"mv /etc/ssh /etc/ssh.old; {RESTART}", BOTH),
    Fault(
        "S05f",
        "a second Subsystem sftp, restart",
        f"echo 'Subsystem sftp internal-sftp' >>/etc/ssh/sshd_config; {RESTART}",
        ("12",),
        note="Debian 13 takes the first of the two lines",
    ),
    Fault(
        "S05g",
        "sshd_config is a folder, restart",
        f"rm /etc/ssh/sshd_config; mkdir /etc/ssh/sshd_config; {RESTART}",
        BOTH,
    ),
    Fault("S05i", "a pipe in sshd_config.d, restart", f"mkfifo /etc/ssh/sshd_config.d/00-x.conf; {RESTART}", BOTH),
    Fault(
        "S05h",
        "AllowUsers in a file that comes first in sshd_config.d",
        f"""
        echo 'AllowUsers somebody-else' >/etc/ssh/sshd_config.d/00-00.conf; {RESTART}
        """,
        BOTH,
    ),
    Fault("S06", "Port 2222, restart", configured("Port 2222"), BOTH),
    Fault("S07", "ListenAddress 127.0.0.1, restart", configured("ListenAddress 127.0.0.1"), BOTH),
    Fault("S07b", "AddressFamily inet, restart", configured("AddressFamily inet"), BOTH),
    Fault("S08", "AllowUsers somebody-else", configured("AllowUsers somebody-else"), BOTH),
    Fault("S08b", "DenyUsers root admin", configured("DenyUsers root admin"), BOTH),
    Fault("S08c", "AllowGroups of a group nobody is in", configured("AllowGroups games"), BOTH),
    Fault("S08d", "PermitRootLogin no", configured("PermitRootLogin no"), BOTH),
    Fault("S08f", "PermitRootLogin forced-commands-only", configured("PermitRootLogin forced-commands-only"), BOTH),
    Fault(
        "S08e",
        "AllowUsers again every five seconds, by configuration management",
        """
        run_on bash -c 'while :; do
            grep -q ^AllowUsers /etc/ssh/sshd_config || sed -i "1i AllowUsers somebody-else" /etc/ssh/sshd_config
            systemctl restart ssh; sleep 5; done'
        sleep 2
        """,
        BOTH,
    ),
    Fault("S09", "PubkeyAuthentication no", configured("PubkeyAuthentication no"), BOTH),
    Fault("S09b", "AuthenticationMethods password", configured("AuthenticationMethods password"), BOTH),
    Fault(
        "S09c", "AuthenticationMethods publickey,password", configured("AuthenticationMethods publickey,password"), BOTH
    ),
    Fault("S09d", "AuthorizedKeysFile none", configured("AuthorizedKeysFile none"), BOTH),
    Fault("S09e", "AuthorizedKeysFile elsewhere", configured("AuthorizedKeysFile /etc/ssh/keys/%u"), BOTH),
    Fault(
        "S09f",
        "Match block: no keys from the admins' networks",
        f"""
        echo "Match Address ${{ADMIN_NETS// /,}}" >>/etc/ssh/sshd_config
        echo 'PubkeyAuthentication no' >>/etc/ssh/sshd_config; {RESTART}
        """,
        BOTH,
    ),
    Fault(
        "S09g",
        "PubkeyAcceptedAlgorithms without the admins' kind",
        configured("PubkeyAcceptedAlgorithms rsa-sha2-512"),
        BOTH,
    ),
    Fault("S09h", "RevokedKeys names a missing file", configured("RevokedKeys /etc/ssh/missing"), BOTH),
    Fault(
        "S09q",
        "RevokedKeys with the admins' keys",
        "cp /home/admin/.ssh/authorized_keys /etc/ssh/revoked; " + configured("RevokedKeys /etc/ssh/revoked"),
        BOTH,
    ),
    Fault("S09i", "UsePAM no", configured("UsePAM no"), BOTH),
    Fault("S09j", "ForceCommand /bin/false", configured("ForceCommand /bin/false"), BOTH),
    Fault("S09k", "ChrootDirectory /srv", configured("ChrootDirectory /srv"), BOTH),
    Fault("S09l", "MaxSessions 0", configured("MaxSessions 0"), BOTH),
    Fault("S09m", "MaxAuthTries 0", configured("MaxAuthTries 0"), BOTH),
    Fault("S09n", "Ciphers that do not exist, restart", configured("Ciphers rot13"), BOTH),
    Fault("S09o", "a key exchange that clients refuse", configured("KexAlgorithms diffie-hellman-group1-sha1"), BOTH),
    Fault("S09p", "AuthorizedKeysCommand without its user", configured("AuthorizedKeysCommand /bin/true"), BOTH),
    Fault("S12", "host keys removed, restart", f"rm /etc/ssh/ssh_host_*; {RESTART}", BOTH),
    Fault("S12b", "host keys readable by all, restart", f"chmod 644 /etc/ssh/ssh_host_*_key; {RESTART}", BOTH),
    Fault("S12c", "host keys made anew, restart", f"rm /etc/ssh/ssh_host_*; ssh-keygen -qA; {RESTART}", BOTH),
    Fault("S12d", "HostKey names a missing file, restart", configured("HostKey /etc/ssh/missing"), BOTH),
    Fault("S12e", "host keys emptied, restart", f"truncate -s 0 /etc/ssh/ssh_host_*_key; {RESTART}", BOTH),
    Fault(
        "S16b",
        "MaxStartups 1, and one connection that says nothing",
        configured("MaxStartups 1")
        + """
        run_on bash -c 'while :; do exec 3<>/dev/tcp/127.0.0.1/22; cat <&3 >/dev/null; sleep 0.1; done'
        sleep 1
        """,
        BOTH,
    ),
    Fault(
        "S16c",
        "a hundred and twenty connections that say nothing",
        """
        run_on bash -c 'hold() { while :; do exec 3<>/dev/tcp/127.0.0.1/22; cat <&3 >/dev/null; sleep 0.1; done; }
            for n in $(seq 120); do hold & done; wait'
        sleep 4
        """,
        BOTH,
    ),
    Fault("S16d", "PerSourceMaxStartups 0", configured("PerSourceMaxStartups 0"), BOTH),
    Fault("S28", "PerSourcePenalties: the admin's own failed logins", ":", ("13",), bad_logins=8, one_source=True),
    Fault(
        "S28b",
        "PerSourcePenalties of an hour, then one failed login",
        configured("PerSourcePenalties authfail:3600s min:1s"),
        ("13",),
        suites=("13",),
        bad_logins=2,
        one_source=True,
    ),
    Fault(
        "S33",
        "LoginGraceTime 1, and a slow PAM",
        "sed -i '1i account optional pam_exec.so quiet /bin/sleep 4' /etc/pam.d/sshd; "
        + configured("LoginGraceTime 1"),
        BOTH,
    ),
    Fault(
        "S33b",
        "UseDNS yes, and name servers that do not answer",
        "printf 'nameserver 203.0.113.53\\nnameserver 203.0.113.54\\n' >/etc/resolv.conf; "
        + configured("UseDNS yes", "LoginGraceTime 10"),
        NEITHER,
        note="each login takes longer, but not too long",
    ),
    # -- the port
    Fault(
        "S13",
        "another process holds port 22",
        f"systemctl stop ssh; run_on {THIEF} ::; sleep 2; systemctl start ssh",
        BOTH,
    ),
    Fault(
        "S13b",
        "an enabled unit takes port 22 ahead of ssh, at boot",
        f"""
        unit_file thief.service '[Service]' 'ExecStart=/usr/bin/{THIEF} ::' '[Install]' WantedBy=multi-user.target
        unit_says '[Unit]' After=thief.service '[Service]' 'ExecStartPre=/bin/sleep 2'
        systemctl enable thief
        """,
        BOTH,
        reboot=True,
    ),
    Fault("S13c", "another process wants port 22 while sshd runs", f"run_on {THIEF} ::; sleep 1", NEITHER),
    Fault(
        "S13d",
        "another process holds port 22 of the IPv4 address",
        f"systemctl stop ssh; run_on {THIEF} $OWN4; sleep 2; systemctl start ssh",
        BOTH,
    ),
    Fault(
        "S13e",
        "another process holds port 22 of IPv6 alone",
        """
        systemctl stop ssh
        run_on python3 -c 'import signal, socket
taken = socket.socket(socket.AF_INET6)
taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
taken.bind(("::", 22)); taken.listen(); signal.pause()'
        sleep 2; systemctl start ssh
        """,
        BOTH,
    ),
    Fault(
        "S13f",
        "a socket unit holds port 22",
        """
        systemctl stop ssh
        unit_file thief.socket '[Socket]' ListenStream=22 Accept=yes '[Install]' WantedBy=sockets.target
        unit_file thief@.service '[Service]' ExecStart=/bin/true StandardInput=socket
        systemctl enable --now thief.socket; systemctl start ssh
        """,
        BOTH,
    ),
    Fault(
        "S13g",
        "a socket unit takes port 22, then a reboot",
        """
        unit_file thief.socket '[Socket]' ListenStream=22 Accept=yes '[Install]' WantedBy=sockets.target
        unit_file thief@.service '[Service]' ExecStart=/bin/true StandardInput=socket
        systemctl enable thief.socket
        """,
        BOTH,
        reboot=True,
    ),
    Fault(
        "S13h",
        "a thief that starts again whenever it is killed",
        f"""
        systemctl stop ssh
        unit_file thief.service '[Service]' 'ExecStart=/usr/bin/{THIEF} ::' Restart=always RestartSec=0
        systemctl start thief; sleep 2; systemctl start ssh
        """,
        BOTH,
    ),
    Fault(
        "S13i",
        "a second sshd with a configuration of its own holds port 22",
        """
        printf '%s\\n' 'Port 22' 'AuthorizedKeysFile none' 'UsePAM yes' >/etc/ssh/second_config
        systemctl stop ssh; mkdir -p /run/sshd
        run_on /usr/sbin/sshd -D -f /etc/ssh/second_config; sleep 1; systemctl start ssh
        """,
        BOTH,
    ),
    # -- what is included, and what clients know the host by
    Fault(
        "S50",
        "an included file with a syntax error, restart",
        f"echo 'Nonsense yes' >/etc/ssh/sshd_config.d/50-fault.conf; {RESTART}",
        BOTH,
    ),
    Fault(
        "S50b",
        "an included file that is a link to a folder without end, restart",
        f"ln -s /dev/zero /etc/ssh/sshd_config.d/50-fault.conf; timeout 20 {RESTART}",
        BOTH,
    ),
    Fault(
        "S51",
        "HostKeyAlgorithms of a kind that clients do not know",
        configured("HostKeyAlgorithms rsa-sha2-512"),
        BOTH,
    ),
    Fault(
        "S51b",
        "HostKey: another one, of the same kind",
        "ssh-keygen -qt ed25519 -N '' -f /etc/ssh/other; " + configured("HostKey /etc/ssh/other"),
        BOTH,
    ),
    Fault("S52", "PermitUserRC, and a ~/.ssh/rc that hangs", USER_RC, BOTH),
    # -- ssh.socket in place of ssh.service
    Fault("S53", "ssh.socket in use: stopped", "systemctl stop ssh.socket ssh", BOTH, setup=BY_SOCKET),
    Fault(
        "S53b",
        "ssh.socket in use: masked",
        "systemctl mask --now ssh.socket; systemctl stop ssh",
        BOTH,
        setup=BY_SOCKET,
    ),
    Fault(
        "S53c",
        "ssh.socket in use: on port 2222 by a drop-in",
        """
        unit_file ssh.socket.d/port.conf '[Socket]' ListenStream= ListenStream=2222
        systemctl stop ssh; systemctl restart ssh.socket
        """,
        BOTH,
        setup=BY_SOCKET,
    ),
    Fault(
        "S53d",
        "ssh.socket in use: a syntax error in sshd_config",
        "sshd_says 'Nonsense yes'; systemctl stop ssh",
        BOTH,
        setup=BY_SOCKET,
    ),
    Fault(
        "S53e",
        "ssh.socket in use: disabled, then a reboot",
        "systemctl disable ssh.socket",
        BOTH,
        setup=BY_SOCKET,
        reboot=True,
    ),
)
