"""What people and programs do to hosts, what has to be said of it, and whether a correction mends it.

Rows of one round are done together, and found together, so that they must not touch the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass

NGINX = "/etc/nginx/nginx.conf"
HAPROXY = "/etc/haproxy/haproxy.cfg"
ADMIN = "/run/haproxy/admin.sock"


@dataclass(frozen=True)
class Row:
    """One deed.

    :arg found: The class by the id of each finding that it has to lead to, on that host; an id may end with ``*``.
    :arg mended: Whether `correct` puts it right.
    :arg undo: What takes it back where a correction does not.
    """

    name: str
    host: str
    deed: str
    found: dict[str, str]
    mended: bool = False
    undo: str = "true"


def file(path: str, kind: str = "drift") -> dict[str, str]:
    return {f"file:{path}": kind}


def sed(path: str, expression: str) -> str:
    return f"cp -a {path} /root/kept && sed -i '{expression}' {path}"


KEPT = "cp -a /root/kept {} && rm /root/kept"


def haproxy(command: str) -> str:
    return (
        "python3 -c 'import socket,sys; s=socket.socket(socket.AF_UNIX); "
        f's.connect("{ADMIN}"); s.sendall(sys.argv[1].encode()+b"\\n"); print(s.recv(9999))\' "{command}"'
    )


ROUNDS: list[list[Row]] = [
    [
        Row("content of a file", "web-01", f"echo '# by hand' >> {NGINX}", file(NGINX), mended=True),
        Row("mode of a file", "web-02", f"chmod 0666 {NGINX}", file(NGINX), mended=True),
        Row("rule allowed by hand", "web-01", "ufw allow 9999/tcp", {"ufw:allow 9999/tcp": "extra"}, mended=True),
        Row("SSH denied by hand", "web-02", "ufw insert 1 deny 22", {"ufw:deny 22": "extra"}, mended=True),
        Row(
            "service stopped at the balancer",
            "lb-01",
            "systemctl stop haproxy",
            {"unit:haproxy.service": "drift", "answer:http://*": "probe"},
            mended=True,
        ),
        Row(
            "vhost",
            "web-01",
            "echo 'server { listen 8081; }' > /etc/nginx/conf.d/other.conf",
            file("/etc/nginx/conf.d/other.conf", "extra"),
            undo="rm /etc/nginx/conf.d/other.conf",
        ),
        Row(
            "file of a package",
            "web-02",
            sed("/etc/nginx/mime.types", "1i# by hand"),
            file("/etc/nginx/mime.types"),
            undo=KEPT.format("/etc/nginx/mime.types"),
        ),
        Row("package held", "web-01", "apt-mark hold nginx", {"package:nginx": "drift"}, undo="apt-mark unhold nginx"),
        Row(
            "database account",
            "web-01",
            'mariadb -e "CREATE USER other@localhost"',
            {"account:other@localhost": "extra"},
            undo='mariadb -e "DROP USER other@localhost"',
        ),
        Row(
            "privilege taken",
            "web-02",
            'mariadb -e "REVOKE DELETE ON sakila.* FROM app@localhost"',
            {"account:app@localhost": "drift"},
            undo='mariadb -e "GRANT DELETE ON sakila.* TO app@localhost"',
        ),
        Row(
            "rule behind ufw's back",
            "web-01",
            "iptables -I INPUT 1 -s 203.0.113.0/24 -j DROP",
            {"kernel:iptables-nft filter: -A INPUT -s 203.0.113.0/24 -j DROP": "extra"},
            undo="iptables -D INPUT -s 203.0.113.0/24 -j DROP",
        ),
        Row(
            "table of nftables",
            "web-02",
            "nft add table inet other && nft 'add chain inet other in { type filter hook input priority 5; }'"
            " && nft add rule inet other in tcp dport 81 drop",
            {"kernel:nft inet other: *": "extra"},
            undo="nft delete table inet other",
        ),
        Row(
            "setting of sshd",
            "web-01",
            sed("/etc/ssh/sshd_config", "1iMaxAuthTries 2"),
            {"sshd:maxauthtries": "drift", **file("/etc/ssh/sshd_config")},
            undo=KEPT.format("/etc/ssh/sshd_config"),
        ),
        Row(
            "program of the guard",
            "web-02",
            "echo '# by hand' >> /usr/local/bin/ssh-lifeline",
            file("/usr/local/bin/ssh-lifeline"),
            mended=True,
        ),
    ],
    [
        Row("owner of a file", "web-01", f"chown www-data {NGINX}", file(NGINX), mended=True),
        Row(
            "service stopped",
            "web-02",
            "systemctl stop nginx",
            {"unit:nginx.service": "drift", "answer:http://*": "probe"},
            mended=True,
        ),
        Row(
            "rule replaced",
            "web-01",
            "ufw deny 80/tcp",
            {"ufw:allow 80/tcp": "drift", "ufw:deny 80/tcp": "extra", "answer:http://*": "probe"},
            mended=True,
        ),
        Row("policy", "web-02", "ufw default allow incoming", {"ufw:settings": "drift"}, mended=True),
        Row("configuration of the balancer", "lb-01", f"echo '# by hand' >> {HAPROXY}", file(HAPROXY), mended=True),
        Row(
            "address of a server at runtime",
            "lb-01",
            haproxy("set server web/web-01 addr 192.0.2.9 port 80"),
            {"balancer:web/web-01": "drift"},
            mended=True,
        ),
        Row(
            "service published by hand",
            "lb-01",
            "printf 'backend other\\n    server x 192.0.2.9:80\\n' > /etc/haproxy/conf.d/other.cfg",
            file("/etc/haproxy/conf.d/other.cfg", "extra"),
            undo="rm /etc/haproxy/conf.d/other.cfg && systemctl reload haproxy",
        ),
        Row(
            "vhost where none is read",
            "web-01",
            "mkdir -p /etc/nginx/sites-enabled && echo > /etc/nginx/sites-enabled/other",
            file("/etc/nginx/sites-enabled/other", "extra"),
            undo="rm /etc/nginx/sites-enabled/other",
        ),
        Row(
            "code of the application",
            "web-01",
            "cp -a /srv/app/wsgi.py /root/wsgi.py; echo '# by hand' >> /srv/app/wsgi.py",
            file("/srv/app/wsgi.py"),
            undo="mv /root/wsgi.py /srv/app/wsgi.py",
        ),
        Row(
            "file beside the application",
            "web-02",
            "echo > /srv/app/other.py",
            file("/srv/app/other.py", "extra"),
            undo="rm /srv/app/other.py",
        ),
        Row(
            "drop-in of a unit",
            "web-01",
            "mkdir -p /etc/systemd/system/nginx.service.d && printf '[Service]\\nNice=5\\n'"
            " > /etc/systemd/system/nginx.service.d/other.conf && systemctl daemon-reload",
            file("/etc/systemd/system/nginx.service.d/other.conf", "extra"),
            undo="rm -r /etc/systemd/system/nginx.service.d && systemctl daemon-reload",
        ),
        Row(
            "data",
            "web-01",
            'mariadb -e "CREATE TABLE sakila.other (a INT PRIMARY KEY)"',
            {"data:sakila": "probe"},
            undo='mariadb -e "DROP TABLE sakila.other"',
        ),
        Row(
            "account with root's number",
            "web-02",
            "useradd --non-unique --uid 0 --shell /bin/bash other",
            {"login:other": "extra"},
            undo="userdel --force other 2>/dev/null; ! id other 2>/dev/null",
        ),
        Row(
            "right to become root",
            "web-01",
            "echo 'www-data ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/other",
            file("/etc/sudoers.d/other", "extra"),
            undo="rm /etc/sudoers.d/other",
        ),
        Row(
            "translation of addresses",
            "web-02",
            "iptables -t nat -A PREROUTING -p tcp --dport 8082 -j REDIRECT --to-ports 80",
            {"kernel:iptables-nft nat: *": "extra"},
            undo="iptables -t nat -D PREROUTING -p tcp --dport 8082 -j REDIRECT --to-ports 80",
        ),
    ],
    [
        Row("file removed", "web-01", f"rm {NGINX}", file(NGINX), mended=True),
        Row(
            "service not started at boot",
            "web-02",
            "systemctl disable nginx",
            {"unit:nginx.service": "drift"},
            mended=True,
        ),
        Row("firewall switched off", "web-01", "ufw disable", {"ufw": "drift"}, mended=True),
        Row("logging", "web-02", "ufw logging high", {"ufw:settings": "drift"}, mended=True),
        Row("rules flushed", "lb-01", "iptables -F ufw-user-input", {"ufw:kernel:*": "drift"}, mended=True),
        Row(
            "file of a service",
            "lb-01",
            "echo '# by hand' >> /etc/haproxy/conf.d/web.cfg",
            {"balancer:web": "drift"},
            mended=True,
        ),
        Row(
            "command line",
            "lb-01",
            "echo '# by hand' >> /etc/default/haproxy",
            file("/etc/default/haproxy"),
            mended=True,
        ),
        Row(
            "settings of the database",
            "web-01",
            "cp -a /etc/mysql/mariadb.conf.d/90-webstack.cnf /root/cnf;"
            " echo '# by hand' >> /etc/mysql/mariadb.conf.d/90-webstack.cnf",
            file("/etc/mysql/mariadb.conf.d/90-webstack.cnf"),
            undo="mv /root/cnf /etc/mysql/mariadb.conf.d/90-webstack.cnf",
        ),
        Row(
            "more settings of the database",
            "web-01",
            "echo '[mysqld]' > /etc/mysql/mariadb.conf.d/99-other.cnf",
            file("/etc/mysql/mariadb.conf.d/99-other.cnf", "extra"),
            undo="rm /etc/mysql/mariadb.conf.d/99-other.cnf",
        ),
        Row(
            "database",
            "web-01",
            'mariadb -e "CREATE DATABASE other"',
            {"database:other": "extra"},
            undo='mariadb -e "DROP DATABASE other"',
        ),
        Row(
            "secrets of the application",
            "web-02",
            "cp -a /etc/default/app /root/app; echo 'OTHER=canary-of-the-host' >> /etc/default/app",
            file("/etc/default/app"),
            undo="mv /root/app /etc/default/app",
        ),
        Row(
            "shell of a system account",
            "web-01",
            "usermod --shell /bin/sh app",
            {"user:app": "drift", "login:app": "extra"},
            undo="usermod --shell /usr/sbin/nologin app",
        ),
        Row(
            "package removed",
            "web-02",
            "dpkg --remove --force-depends zstd",
            {"package:zstd": "drift"},
            undo="apt-get install -qq -y zstd",
        ),
        Row(
            "rules of ufw's files",
            "web-02",
            sed("/etc/ufw/after.rules", "1i# by hand"),
            file("/etc/ufw/after.rules"),
            undo=KEPT.format("/etc/ufw/after.rules"),
        ),
        Row(
            "drop-in of sshd",
            "web-01",
            "echo 'X11Forwarding no' > /etc/ssh/sshd_config.d/99-other.conf",
            {**file("/etc/ssh/sshd_config.d/99-other.conf", "extra"), "sshd:x11forwarding": "drift"},
            undo="rm /etc/ssh/sshd_config.d/99-other.conf",
        ),
    ],
    [
        Row(
            "database server stopped",
            "web-02",
            "systemctl stop mariadb",
            {"unit:mariadb.service": "drift", "database": "drift", "answer:http://*": "probe"},
            undo="systemctl start mariadb",
        ),
        Row(
            "server drained at runtime",
            "lb-01",
            haproxy("set server web/web-02 state drain"),
            {"balancer:web/web-02:admin": "drift"},
            undo=haproxy("set server web/web-02 state ready"),
        ),
        Row(
            "server added at runtime",
            "lb-01",
            haproxy("add server web/other 192.0.2.9:80"),
            {"balancer:web/other": "extra"},
            mended=True,
        ),
        Row("service masked", "web-01", "systemctl mask --now nginx", {"unit:nginx.service": "drift"}, mended=True),
        Row(
            "rule denied for a network",
            "web-01",
            "ufw insert 1 deny from 198.51.100.0/24",
            {"ufw:deny from 198.51.100.0/24": "extra"},
            mended=True,
        ),
        Row(
            "guard in ufw's files",
            "lb-01",
            "sed -i '/webstack-ssh-guard/d' /etc/ufw/before.rules",
            {"ufw:guard": "drift", **file("/etc/ufw/before.rules")},
            mended=True,
        ),
        Row(
            "rule limited",
            "lb-01",
            "ufw limit 80/tcp",
            {"ufw:limit 80/tcp": "extra", "ufw:allow 80/tcp": "drift"},
            mended=True,
        ),
        Row(
            "link instead of a file",
            "web-01",
            f"mv {NGINX} /root/nginx.conf && ln -s /root/nginx.conf {NGINX}",
            file(NGINX),
            mended=True,
        ),
    ],
]
