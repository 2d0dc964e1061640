"""Faults of what a login needs beside sshd: accounts, keys, PAM, programs, folders; and of the guard itself."""

from __future__ import annotations

from tests.faults.model import BOTH, NEITHER, Fault

RESTART = "systemctl restart ssh"
KEYS = "/root/.ssh/authorized_keys /home/admin/.ssh/authorized_keys"
GUARD = "ssh-lifeline"


def each_key_file(commands: str) -> str:
    """Return commands that are done for the key file of either account, `$keys`."""
    return f"for keys in {KEYS}; do {commands}; done"


def pam(*lines: str) -> str:
    """Return the commands that put lines at the top of sshd's PAM stack."""
    return "; ".join(f"sed -i '1i {line}' /etc/pam.d/sshd" for line in lines)


FAULTS = (
    # -- accounts
    Fault("S15", "/etc/nologin", "touch /etc/nologin", BOTH),
    Fault(
        "S15b", "/etc/nologin on a file system made read-only", "touch /etc/nologin; mount -o remount,bind,ro / /", BOTH
    ),
    Fault("S18", "accounts expired", "chage -E 0 root; chage -E 0 admin", BOTH),
    Fault("S18b", "a shell that does not exist", "usermod -s /bin/fish root; usermod -s /bin/fish admin", BOTH),
    Fault("S18c", "passwords locked", "passwd -l root; passwd -l admin", NEITHER),
    Fault("S18d", "nologin as shell", "usermod -s /usr/sbin/nologin root; usermod -s /usr/sbin/nologin admin", BOTH),
    Fault("S18e", "passwords expired", "chage -d 0 root; chage -d 0 admin", BOTH),
    Fault("S40", "userdel of the admin", "userdel --force --remove admin", BOTH),
    Fault("S40b", "the admin's line gone from /etc/passwd", "sed -i /^admin:/d /etc/passwd", BOTH),
    Fault("S40c", "another uid for the admin", "sed -i 's/^admin:x:[0-9]*/admin:x:4242/' /etc/passwd", BOTH),
    Fault(
        "S40d",
        "another home for the accounts",
        "sed -i 's,:/home/admin:,:/srv/admin:,; s,:/root:,:/srv/root:,' /etc/passwd",
        BOTH,
    ),
    Fault("S40e", "/etc/passwd emptied", "truncate -s 0 /etc/passwd", BOTH),
    Fault("S40f", "/etc/passwd readable by nobody", "chmod 000 /etc/passwd", NEITHER),
    Fault("S40g", "/etc/shadow removed", "rm /etc/shadow", BOTH),
    Fault("S40h", "/etc/group emptied", "truncate -s 0 /etc/group", NEITHER),
    Fault("S40i", "root's uid is not 0", "sed -i 's/^root:x:0/root:x:4243/' /etc/passwd", BOTH),
    Fault(
        "S41", "nsswitch.conf: accounts from LDAP alone", "sed -i 's/^passwd:.*/passwd: ldap/' /etc/nsswitch.conf", BOTH
    ),
    Fault("S41b", "/etc/shells emptied", "truncate -s 0 /etc/shells", NEITHER),
    Fault("S41c", "the user sshd removed, restart", f"userdel sshd; {RESTART}", BOTH),
    # -- keys and homes
    Fault("S10", "homes writable by all", "chmod 777 /root /home/admin", BOTH),
    Fault("S10b", "authorized_keys owned by nobody, writable by all", f"chown nobody {KEYS}; chmod 666 {KEYS}", BOTH),
    Fault("S10c", "homes owned by nobody", "chown -R nobody /root /home/admin", BOTH),
    Fault("S10d", "/home writable by all", "chmod 777 /home", NEITHER),
    Fault("S10e", "/home readable by nobody", "chmod 000 /home", BOTH),
    Fault("S11", "authorized_keys removed", f"rm {KEYS}", BOTH),
    Fault("S11b", "authorized_keys emptied", f"truncate -s 0 {KEYS}", BOTH),
    Fault("S11c", "authorized_keys full of garbage", each_key_file("head -c 4096 /dev/urandom >$keys"), BOTH),
    Fault("S11d", "authorized_keys with Windows' line ends", f"sed -i 's/$/\\r/' {KEYS}", NEITHER),
    Fault("S11e", "authorized_keys replaced by a folder", each_key_file("rm $keys; mkdir $keys"), BOTH),
    Fault("S11m", "authorized_keys replaced by a pipe", each_key_file("rm $keys; mkfifo $keys"), BOTH),
    Fault("S11f", "authorized_keys a link into nowhere", each_key_file("ln -sf /srv/missing $keys"), BOTH),
    Fault("S11g", "authorized_keys: command=/bin/false", f"sed -i 's,^,command=\"/bin/false\" ,' {KEYS}", BOTH),
    Fault("S11h", "authorized_keys: from= another network", f"sed -i 's,^,from=\"203.0.113.0/24\" ,' {KEYS}", BOTH),
    Fault("S11i", "authorized_keys: expired", f"sed -i 's,^,expiry-time=\"20200101\" ,' {KEYS}", BOTH),
    Fault(
        "S11j",
        "the keys of somebody else",
        each_key_file("ssh-keygen -qt ed25519 -N '' -f /tmp/k <<<y; cp /tmp/k.pub $keys"),
        BOTH,
    ),
    Fault("S11k", "~/.ssh removed", "rm -r /root/.ssh /home/admin/.ssh", BOTH),
    Fault("S11l", "homes removed", "rm -r /root /home/admin", BOTH),
    Fault(
        "S26",
        "exit in ~/.bashrc",
        "for home in /root /home/admin; do echo exit >$home/.bashrc; done",
        BOTH,
    ),
    Fault("S26b", "exit in /etc/bash.bashrc", "sed -i '1i exit' /etc/bash.bashrc", BOTH),
    Fault("S26c", "/etc/ssh/sshrc hangs", "echo 'sleep 600' >/etc/ssh/sshrc", BOTH),
    Fault(
        "S26d",
        "a message of the day that takes ten minutes",
        "printf '#!/bin/sh\\nsleep 600\\n' >/etc/update-motd.d/00-slow; chmod +x /etc/update-motd.d/00-slow",
        BOTH,
    ),
    Fault(
        "S26e",
        "exec of another shell in ~/.bashrc hangs",
        "for home in /root /home/admin; do printf 'exec sleep 600\\n' >$home/.bashrc; done",
        BOTH,
    ),
    Fault("S31", "chmod 700 /", "chmod 700 /", BOTH),
    Fault("S31c", "chmod -R 777 /etc/ssh and restart", f"chmod -R 777 /etc/ssh; {RESTART}", BOTH),
    # -- PAM
    Fault("S20", "PAM: deny in sshd's stack", pam("account required pam_deny.so"), BOTH),
    Fault("S20b", "PAM: a syntax error in sshd's stack", "sed -i '1i this is no rule' /etc/pam.d/sshd", NEITHER),
    Fault(
        "S20c",
        "PAM: access.conf lets nobody in",
        pam("account required pam_access.so") + "; echo '-:ALL:ALL' >>/etc/security/access.conf",
        BOTH,
    ),
    Fault(
        "S20d",
        "limits: maxlogins 0",
        "printf '* hard maxlogins 0\\nroot hard maxlogins 0\\n' >>/etc/security/limits.conf",
        BOTH,
    ),
    Fault(
        "S20e", "limits: nproc 0", "printf '* hard nproc 0\\nroot hard nproc 0\\n' >>/etc/security/limits.conf", BOTH
    ),
    Fault("S20f", "PAM: sshd's stack removed", "rm /etc/pam.d/sshd", NEITHER),
    Fault("S20g", "PAM: common-account denies", "echo 'account required pam_deny.so' >/etc/pam.d/common-account", BOTH),
    Fault("S20m", "PAM: sshd's stack replaced by a pipe", "rm /etc/pam.d/sshd; mkfifo /etc/pam.d/sshd", BOTH),
    Fault("S20h", "PAM: pam_unix.so gone", "rm /lib/*/security/pam_unix.so", BOTH),
    Fault(
        "S20i",
        "PAM: common-session asks for a module that is not there",
        "sed -i '1i session required pam_missing.so' /etc/pam.d/common-session",
        BOTH,
    ),
    Fault(
        "S20j",
        "PAM: time.conf lets nobody in",
        pam("account required pam_time.so") + "; echo '*;*;*;!Al0000-2400' >>/etc/security/time.conf",
        BOTH,
    ),
    Fault(
        "S20k",
        "hosts.deny: sshd: ALL",
        "echo 'sshd: ALL' >>/etc/hosts.deny",
        BOTH,
        note="Debian's sshd is linked with libwrap",
    ),
    Fault(
        "S20l",
        "limits: memory of 1 MB",
        "printf '* hard as 1000\\nroot hard as 1000\\n' >>/etc/security/limits.conf",
        BOTH,
    ),
    # -- programs and folders
    Fault(
        "S17",
        "/run, /tmp and /var/log are full",
        """
        for at in /run /tmp /var/log; do
            mountpoint -q $at || mount -t tmpfs fault $at
            mount -o remount,size=24m $at
            head -c 200M /dev/zero >$at/full
        done
        """,
        NEITHER,
    ),
    Fault(
        "S19", "apt-get remove openssh-server", "DEBIAN_FRONTEND=noninteractive apt-get -y remove openssh-server", BOTH
    ),
    Fault(
        "S19b",
        "dpkg --purge openssh-server",
        "DEBIAN_FRONTEND=noninteractive dpkg --force-all --purge openssh-server",
        BOTH,
    ),
    Fault(
        "S19c",
        "apt-get purge of sudo, libpam-systemd, client and server",
        """
        export DEBIAN_FRONTEND=noninteractive SUDO_FORCE_REMOVE=yes
        apt-get -y purge sudo libpam-systemd openssh-server openssh-client
        """,
        BOTH,
    ),
    Fault("S23", "/run/sshd removed", "rm -rf /run/sshd", BOTH),
    Fault(
        "S23b",
        "/run/sshd of a wrong owner, restart",
        f"chown nobody /run/sshd; chmod 777 /run/sshd; {RESTART}",
        NEITHER,
    ),
    Fault("S23c", "/run/sshd replaced by a file", "rm -rf /run/sshd; touch /run/sshd", BOTH),
    Fault("S35", "sshd not executable, restart", f"chmod 000 /usr/sbin/sshd; {RESTART}", BOTH),
    Fault("S35b", "sshd removed, restart", f"rm /usr/sbin/sshd; {RESTART}", BOTH),
    Fault(
        "S35c",
        "sshd emptied, restart",
        f"rm /usr/sbin/sshd; install -m 755 /dev/null /usr/sbin/sshd; {RESTART}",
        BOTH,
    ),
    Fault("S35d", "sshd-session removed", "rm /usr/lib/openssh/sshd-session", ("13",), suites=("13",)),
    Fault("S35e", "libcrypto gone", f"rm -f /usr/lib/x86_64-linux-gnu/libcrypto.so.3; {RESTART}", BOTH),
    Fault("S35f", "libpam gone", f"rm -f /lib/*/libpam.so.0; {RESTART}", BOTH),
    Fault("S35g", "/bin/bash not executable", "chmod 000 /bin/bash", BOTH),
    Fault("S35h", "/bin/bash says nothing and ends", "cp /bin/false /tmp/false; mv /tmp/false /bin/bash", BOTH),
    Fault("S35i", "/bin/sh leads nowhere", "ln -sfn /bin/missing /bin/sh", NEITHER),
    Fault("S37", "/dev/null replaced by a file", "rm /dev/null; touch /dev/null; chmod 600 /dev/null", NEITHER),
    Fault(
        "S38",
        "kill -STOP of systemd-logind",
        "systemctl start systemd-logind; kill -STOP $(systemctl show -p MainPID --value systemd-logind)",
        BOTH,
    ),
    Fault("S38b", "kill -STOP of the message bus", "kill -STOP $(systemctl show -p MainPID --value dbus)", BOTH),
    Fault(
        "S38c",
        "kill -STOP of the journal",
        """
        kill -STOP $(systemctl show -p MainPID --value systemd-journald)
        for n in $(seq 400); do logger -t fault $n & done; sleep 2
        """,
        BOTH,
        late=20,
    ),
    Fault(
        "S39",
        "as many processes as the kernel allows",
        """
        setsid bash -c 'for n in $(seq 4000); do sleep 600 & done' </dev/null >/dev/null 2>&1 &
        sleep 10
        """,
        BOTH,
    ),
    # -- mounts
    Fault("S60", "a file system mounted over /etc/ssh, restart", f"mount -t tmpfs fault /etc/ssh; {RESTART}", BOTH),
    Fault(
        "S60b", "file systems mounted over the homes", "mount -t tmpfs fault /root; mount -t tmpfs fault /home", BOTH
    ),
    Fault("S60c", "/bin/false mounted over sshd, restart", f"mount --bind /bin/false /usr/sbin/sshd; {RESTART}", BOTH),
    Fault(
        "S60d",
        "read-only copies of wrong keys mounted over authorized_keys",
        each_key_file("mount --bind /etc/hostname $keys; mount -o remount,bind,ro $keys"),
        BOTH,
    ),
    Fault("S60e", "no program may be started from / (noexec)", "mount -o remount,bind,noexec / /", BOTH),
    Fault("S60f", "/run made read-only, restart", f"mount -o remount,ro /run; {RESTART}", NEITHER),
    Fault("S60g", "a file system mounted over /run/sshd", "mount -t tmpfs -o mode=777 fault /run/sshd", BOTH),
    Fault("S60h", "a file system mounted over /lib of the dynamic loader", "mount -t tmpfs fault /usr/lib64", BOTH),
    # -- what every program needs
    Fault("S61", "/lib64 removed, with it the dynamic loader", "rm /lib64", BOTH),
    Fault("S61b", "libc moved away", "mv /lib/x86_64-linux-gnu/libc.so.6 /srv/", BOTH),
    Fault("S61c", "/usr/bin and /usr/lib readable by root alone", "chmod 700 /usr/bin /usr/lib", BOTH),
    Fault("S61d", "everything in /etc readable by root alone", "chmod -R go= /etc", BOTH),
    Fault("S61e", "everything in /etc and the homes belongs to nobody", "chown -R nobody: /etc /root /home", BOTH),
    Fault(
        "S61f",
        "a library that does not load in every program",
        "cp /bin/true /srv/broken.so; echo /srv/broken.so >/etc/ld.so.preload",
        NEITHER,
    ),
    Fault("S61g", "/bin removed, a link to /usr/bin", "rm /bin", BOTH),
    # -- the limits of a session
    Fault(
        "S62",
        "limits: no open files",
        "printf '* hard nofile 1\\nroot hard nofile 1\\n' >>/etc/security/limits.conf",
        BOTH,
    ),
    Fault("S62b", "limits: no time", "printf '* hard cpu 0\\nroot hard cpu 0\\n' >>/etc/security/limits.conf", NEITHER),
    Fault(
        "S63",
        "the message bus and logind stopped and masked",
        "systemctl mask --now dbus.socket dbus systemd-logind",
        NEITHER,
    ),
    Fault("S65", "pkill -9 of everything with ssh in its name", "pkill -9 -f '[s]sh'", NEITHER),
    Fault(
        "S66",
        "authorized_keys emptied every two seconds",
        f"run_on bash -c 'while :; do truncate -s 0 {KEYS}; sleep 2; done'; sleep 3",
        BOTH,
    ),
    Fault(
        "S67",
        "/etc/nologin, again every second",
        "run_on bash -c 'while :; do touch /etc/nologin; sleep 1; done'; sleep 2",
        BOTH,
    ),
    Fault(
        "S68",
        "PAM: deny in sshd's stack, again every second",
        'run_on bash -c \'deny="account required pam_deny.so"; while :; do grep -q "^$deny" /etc/pam.d/sshd ||'
        ' sed -i "1i $deny" /etc/pam.d/sshd; sleep 1; done\'; sleep 2',
        BOTH,
    ),
    Fault(
        "S69",
        "another shell for the accounts, again every second",
        "run_on bash -c 'while :; do usermod -s /bin/fish root; usermod -s /bin/fish admin; sleep 1; done'; sleep 2",
        BOTH,
    ),
    Fault(
        "S72",
        "an access control list takes the shell away from the admin",
        """
        admin=$(id -u admin) python3 -c '
import os, struct
none = 0xFFFFFFFF
entries = ((1, 7, none), (2, 0, int(os.environ["admin"])), (4, 5, none), (16, 5, none), (32, 5, none))
packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
os.setxattr("/bin/bash", "system.posix_acl_access", packed)'
        """,
        BOTH,
    ),
    Fault("S76", "the service that lets users log in stopped", "systemctl stop systemd-user-sessions", BOTH),
    Fault(
        "S77",
        "a shutdown in four minutes, ahead of which nobody is let in",
        "systemctl start systemd-logind; shutdown -h +4; sleep 2",
        BOTH,
    ),
    Fault("S78", "a file system mounted over /dev", "mount -t tmpfs fault /dev", BOTH),
    Fault("S79", "/proc unmounted", "umount --lazy /proc", NEITHER),
    # -- the guard itself: what it guards against, once it has been dealt with
    Fault("S90", "the guard stopped, then ssh", f"systemctl stop {GUARD}; systemctl stop ssh", BOTH),
    Fault(
        "S90b",
        "the guard and ssh disabled, then a reboot",
        f"systemctl disable {GUARD}; systemctl disable ssh",
        BOTH,
        reboot=True,
    ),
    Fault("S90c", "the guard masked and stopped, then ssh", f"systemctl mask --now {GUARD}; systemctl stop ssh", BOTH),
    Fault("S91", "kill -9 of the guard, ssh stopped", f"systemctl kill -s KILL {GUARD}; systemctl stop ssh", BOTH),
    Fault(
        "S91b",
        "kill -9 of the guard until systemd gives up, ssh stopped",
        f"for _ in $(seq 15); do systemctl kill -s KILL {GUARD}; sleep 0.4; done; systemctl stop ssh",
        BOTH,
    ),
    Fault("S92", "kill -STOP of the guard, ssh stopped", f"systemctl kill -s STOP {GUARD}; systemctl stop ssh", BOTH),
    Fault(
        "S92b",
        "kill -STOP of the guard, a drop in the kernel",
        f"systemctl kill -s STOP {GUARD}; both -I INPUT -j DROP",
        BOTH,
    ),
    Fault(
        "S93",
        "all rules removed, then policies of DROP",
        "nft flush ruleset; both -P INPUT DROP; both -P OUTPUT DROP",
        BOTH,
    ),
    Fault(
        "S94",
        "the guard's configuration removed, ssh disabled, then a reboot",
        f"rm -rf /etc/{GUARD}* /etc/*/{GUARD}*; systemctl disable ssh",
        BOTH,
        reboot=True,
    ),
    Fault(
        "S94b",
        "what the guard has learnt removed, a syntax error, restart",
        f"rm -rf /var/lib/{GUARD}* /run/{GUARD}*; sshd_says 'Nonsense yes'; {RESTART}",
        BOTH,
    ),
    Fault(
        "S94c",
        "the guard's program removed, ssh disabled, then a reboot",
        f"rm -rf /usr/local/lib/{GUARD} /usr/local/bin/{GUARD}; systemctl disable ssh",
        BOTH,
        reboot=True,
    ),
    Fault("S95", "python3 removed, ssh stopped", "rm /usr/bin/python3*; systemctl stop ssh", BOTH),
    Fault(
        "S95b",
        "python3 removed, ssh disabled, then a reboot",
        "rm /usr/bin/python3*; systemctl disable ssh",
        BOTH,
        reboot=True,
    ),
    Fault(
        "S96",
        "a broken sshd_config that the guard's restart may learn from",
        f"sshd_says 'Nonsense yes'; systemctl restart {GUARD}; sleep 2; {RESTART}",
        BOTH,
    ),
    Fault(
        "S97",
        "many at once: ufw, kernel, route, sshd, keys, account",
        f"""
        rm {KEYS}; touch /etc/nologin; sshd_says 'AllowUsers nobody' 'Port 2222'; {RESTART}
        ufw insert 1 deny 22; both -I INPUT -j DROP; ip route del default; ip -6 route del default
        """,
        BOTH,
    ),
)
