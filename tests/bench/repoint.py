"""What a repoint of a balancer costs its users: requests lost and requests slow, beside other ways to do it.

    python tests/bench/repoint.py [--suite 12] [--suite 13] [--scenario dead] [--seconds 15]

Clients of every kind (see tests/lab/traffic.py) ask the balancer all the time while a scenario runs: a swap of a
server, a swap that must not succeed, a run that is killed. Every answer that is not a 2xx, is cut off or does not come
is lost. Each scenario also says what has to be true at its end. `ways` compares with other ways in the same run, and
`death` lets a server die behind this collection's settings and behind Debian's at the same time; `settings` does so
behind each of these settings, added one after the other.

Numbers are of one run on one machine; only zero, and ratios within a run, say anything.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import typing as t
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "lab"), str(ROOT)]

import lab as labs  # noqa: E402  their folders have to be on the path first
from engine import CACHE, LabError  # noqa: E402

from tools import fill_collections  # noqa: E402

SITES = ROOT / "molecule" / "haproxy_backend" / "sites.conf"
ADMIN = ROOT / "molecule" / "haproxy_backend" / "admin.py"
COLLECTIONS = CACHE / "collections"
HOSTS = ("lb-01", "web-01", "web-02", "web-03")
IDS_LOG = "/var/log/nginx/ids.log"
NGINX_LOG = f"log_format ids '$request_method $http_x_request_id'; access_log {IDS_LOG} ids;\n"
MANY_PORTS = f"""
server {{
    {" ".join(f"listen {port};" for port in range(9001, 9021))}
    add_header X-Served-By $hostname:$server_port always;
    location / {{ return 200 "ok\\n"; }}
    location = /download {{ limit_rate 800k; alias /usr/bin/perl; }}
}}
"""
# nginx runs, but what stands behind it does not.
UNWELL = """
server { listen 9099; location / { return 503; } }
"""
# The clients of one scenario.
CLIENTS = {"keep-alive": 3, "fresh": 3, "idle": 2, "post": 2, "download": 2}
# Those who are there when a server dies.
MOURNERS = {"keep-alive": 4, "fresh": 4, "idle": 2, "post": 2, "download": 1, "arrivals": 100}
FEW_MOURNERS = {"keep-alive": 1, "fresh": 1, "idle": 1, "post": 1, "download": 0, "arrivals": 40}
DEATH_SECONDS = 12.0
# Who has waited so long for an answer has gone.
PATIENCE_SECONDS = 5.0
# Debian's own configuration, and what is added to it one after the other: lines of the defaults, lines of the
# backend, words of the servers. Each is served by a process of its own, on its own port, before the same servers.
STOCK_PORT = 81
SETTINGS_PORT = 8201
HTTP_CHECK = "option httpchk\nhttp-check send meth GET uri /healthz ver HTTP/1.1 hdr Host localhost"
QUICK = "inter 1s fastinter 250ms downinter 250ms fall 2 rise 2"
SETTINGS = (
    ("Debian's configuration", "", "", ""),
    ("option redispatch 1, retries 3", "option redispatch 1\nretries 3", "", ""),
    ("HTTP check each second, connect 1s", "timeout connect 1s\ntimeout check 1s", HTTP_CHECK, QUICK),
    ("observe layer4, on-error mark-down", "", "", "observe layer4 on-error mark-down"),
    (
        "retry-on …, timeout server 3s",
        "retry-on conn-failure empty-response response-timeout\ntimeout server 3s",
        "http-request disable-l7-retry unless METH_GET or METH_OPTIONS",
        "",
    ),
)
SERVICE = """
frontend web
    bind *:{port}
    default_backend web
backend web
    balance roundrobin
    {backend}
    server web-01 {web_01}:80 check {words}
    server web-02 {web_02}:80 check {words}
"""
# 49 services beside the one that moves.
OTHERS = """
import sys
for number in range(49):
    lines = "".join(f"    server s{each:02} {sys.argv[1]}:{9000 + each} check inter 5s\\n" for each in range(1, 21))
    name = f"other-{number:02}"
    text = f"frontend {name}\\n    bind 127.0.0.1:{9000 + number}\\n    default_backend {name}\\n"
    text += f"backend {name}\\n{lines}"
    open(f"/etc/haproxy/conf.d/{name}.cfg", "w").write(text)
"""
COMMUNITY = """\
- hosts: lb-01
  become: true
  gather_facts: false
  module_defaults:
    community.general.haproxy:
      socket: /run/haproxy/admin.sock
      backend: web
      host: web-01
      fail_on_not_found: true
      wait: true
      wait_interval: 1
      wait_retries: 10
  tasks:
    - community.general.haproxy: {{state: drain, drain: true}}
    - ansible.builtin.shell: {edit}
    - ansible.builtin.systemd_service: {{name: haproxy, state: reloaded}}
    - community.general.haproxy: {{state: enabled}}
"""
# A server that is well for two seconds, and then is no more.
BRIEF = """
import http.server, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("X-Served-By", "brief"); self.send_header("Content-Length", "2")
        self.end_headers(); self.wfile.write(b"ok")
    do_POST = do_GET
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("", 84), Handler)
threading.Timer(2.0, lambda: __import__("os")._exit(0)).start()
server.serve_forever()
"""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the clients of one stretch of traffic have seen.

    :arg seconds: How long the runs of the playbook took, one by one.
    """

    name: str
    requests: int
    failed: int
    slow: int
    latency_ms: dict[str, float]
    servers: dict[str, int]
    examples: list[dict[str, t.Any]]
    seconds: tuple[float, ...] = ()

    def __str__(self) -> str:
        """One line of the table."""
        latency = " ".join(f"{name} {self.latency_ms.get(name, 0):7.1f}" for name in ("p50", "p99", "max"))
        runs = f"  runs {min(self.seconds):.1f}-{max(self.seconds):.1f} s" if self.seconds else ""
        return f"{self.name:<34} failed {self.failed:5} of {self.requests:6}  slow {self.slow:4}  ms {latency}{runs}"


class Bench:
    """A balancer before three web servers, and users who ask it."""

    def __init__(self, *, suite: str, seconds: float, pause: float) -> None:
        """Name the hosts; nothing is started yet."""
        self.suite = suite
        self.seconds = seconds
        self.pause = pause
        self.lab = labs.Lab(f"repoint-{suite}", CACHE / "labs" / f"repoint-{suite}")
        self.inventory = self.lab.folder / "inventory"
        self.runs: list[float] = []
        self.address: dict[str, str] = {}
        self.here: dict[str, tuple[str, int]] = {}

    # -- the lab ----------------------------------------------------------------------------

    def prepare(self, *, anew: bool = True) -> None:
        """Start the hosts, and publish web-01 and web-02.

        :arg anew: Where false, take the hosts of an earlier bench as they are, if they are there.
        """
        if not anew and self.lab.hosts():
            self.address = {name: self.lab.addresses(name)[0] for name in HOSTS}
            self.playbook("provision_balancer", servers=self.home())
            return
        labs.up(self.lab, [labs.Host(name, f"lab/debian:{self.suite}") for name in HOSTS])
        labs.write_inventory(self.lab, self.inventory)
        self.address = {name: self.lab.addresses(name)[0] for name in HOSTS}
        for name in HOSTS[1:]:
            self.install(name, "nginx-light")
            self.copy(SITES, name, "/etc/nginx/sites-enabled/default")
            self.on(name, "tee", "/etc/nginx/conf.d/bench.conf", stdin=(NGINX_LOG + MANY_PORTS + UNWELL).encode())
            self.on(name, "systemctl", "restart", "nginx")
        self.install("lb-01", "haproxy")
        self.on("lb-01", "cp", "/etc/haproxy/haproxy.cfg", "/root/stock.cfg")
        self.copy(ADMIN, "lb-01", "/root/admin.py")
        self.playbook("provision_balancer", servers=self.home())
        fetch_community_general()

    def home(self) -> dict[str, tuple[str, int]]:
        """Where the servers are between two scenarios."""
        return {"web-01": (self.address["web-01"], 80), "web-02": (self.address["web-02"], 80)}

    def install(self, host: str, package: str) -> None:
        """Install a package."""
        script = f"DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends {package} >/dev/null"
        self.on(host, "sh", "-c", f"{script} || (apt-get update -qq && {script})")

    def on(self, host: str, *argv: str, stdin: bytes | None = None) -> str:
        """Run a command as root by the test's own hand."""
        return self.lab.podman.run("exec", "-i", self.lab.container(host), *argv, stdin=stdin)

    def shell(self, host: str, script: str) -> str:
        """Run a script there."""
        return self.on(host, "sh", "-c", script)

    def copy(self, source: Path, host: str, destination: str) -> None:
        """Put a file there."""
        self.on(host, "tee", destination, stdin=source.read_bytes())

    # -- the balancer -----------------------------------------------------------------------

    def start(
        self, name: str, *arguments: str, servers: dict[str, tuple[str, int]] | None = None
    ) -> subprocess.Popen[str]:
        """Start a playbook in a process group of its own."""
        listed = [
            {"name": each, "address": address, "port": port} for each, (address, port) in (servers or self.here).items()
        ]
        variables = {
            "haproxy_backend_servers": listed,
            "haproxy_backend_gate_path": "/readyz",
            "haproxy_backend_gate_retries": 1,
            "haproxy_backend_gate_delay": 0.2,
            "haproxy_backend_gate_timeout": 1,
            "haproxy_backend_wait_timeout": 5,
        }
        command = ["ansible-playbook", "-i", str(self.inventory), name if "/" in name else f"phoenix.webstack.{name}"]
        return subprocess.Popen(
            [*command, "-e", json.dumps(variables), *arguments],
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": _collections()},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def playbook(
        self, name: str, *arguments: str, servers: dict[str, tuple[str, int]] | None = None, fails: bool = False
    ) -> str:
        """Run a playbook to its end, which has to be the expected one."""
        started = time.monotonic()
        process = self.start(name, *arguments, servers=servers)
        output = process.communicate()[0]
        if (process.returncode != 0) != fails:
            raise LabError(f"{name} ended with {process.returncode}:\n{output[-3000:]}")
        if not fails:
            self.here = servers or self.here
            self.runs.append(time.monotonic() - started)
        return output

    def run_to_end(self, process: subprocess.Popen[str]) -> tuple[str, int]:
        """Wait for a playbook, and give what it said and how it ended."""
        started = time.monotonic()
        output = process.communicate()[0]
        self.runs.append(time.monotonic() - started)
        return output, process.returncode

    def repoint(self, *arguments: str, fails: bool = False, **moves: tuple[str, int]) -> str:
        """Move servers, by their names with an underscore."""
        servers = {**self.here, **{name.replace("_", "-"): place for name, place in moves.items()}}
        return self.playbook("repoint_balancer", *arguments, servers=servers, fails=fails)

    def go_home(self) -> None:
        """Bring everything back to where a scenario begins."""
        self.here = self.home()
        self.playbook("repoint_balancer", servers=self.home())
        self.runs.pop()

    def wait_for_stage(self, stage: str) -> None:
        """Wait until a run has got so far."""
        test = f"until grep -q {stage} /etc/haproxy/conf.d/.web.pending 2>/dev/null; do sleep 0.01; done"
        self.shell("lb-01", f"timeout 20 sh -c '{test}'")

    def require_settled(self) -> None:
        """Require that file and running HAProxy are one, and what they are to be."""
        script = "grep -h '^    server ' /etc/haproxy/conf.d/web.cfg; ls -A /etc/haproxy/conf.d"
        lines = self.shell("lb-01", script).split("\n")
        wanted = [f"    server {name} {address}:{port}" for name, (address, port) in sorted(self.here.items())]
        if lines[: len(wanted)] != wanted or any(line.startswith(".") for line in lines):
            raise LabError(f"the file is not as it should be: {lines}, wanted {wanted}")
        states = self.on("lb-01", "python3", "/root/admin.py", "show servers state web").splitlines()[2:]
        rows = [line.split() for line in states if line.strip()]
        running = {row[3]: (row[4], int(row[18]), row[6]) for row in rows}
        if running != {name: (address, port, "0") for name, (address, port) in self.here.items()}:
            raise LabError(f"the running HAProxy is not as it should be: {running}, wanted {self.here}")

    def serve(self, port: int, *, defaults: str = "", backend: str = "", words: str = "") -> None:
        """Run a HAProxy with Debian's configuration, and what is added to it, on another port."""
        service = SERVICE.format(
            port=port,
            backend=backend,
            words=words,
            web_01=self.address["web-01"],
            web_02=self.address["web-02"],
        )
        file, pid = f"/root/port-{port}.cfg", f"/run/port-{port}.pid"
        self.shell("lb-01", f"sed 's,/run/haproxy/admin.sock,/run/haproxy/{port}.sock,' /root/stock.cfg > {file}")
        self.on("lb-01", "tee", "-a", file, stdin=f"{defaults}\n{service}".encode())
        self.shell("lb-01", f"kill $(cat {pid}) 2>/dev/null; haproxy -D -p {pid} -f {file} 2>/dev/null")
        self.shell("lb-01", f"ufw allow {port}/tcp >/dev/null; curl -sSf http://127.0.0.1:{port}/ >/dev/null")

    def forget_ids(self) -> None:
        """Begin the count of POSTs anew."""
        for host in HOSTS[1:]:
            self.on(host, "truncate", "-s", "0", IDS_LOG)

    def repeated_posts(self) -> int:
        """Count the POSTs that more than one server, or one server twice, has carried out."""
        lines = [line for host in HOSTS[1:] for line in self.on(host, "cat", IDS_LOG).splitlines()]
        return sum(
            number > 1 for number in collections.Counter(each for each in lines if each.startswith("POST")).values()
        )

    # -- the users --------------------------------------------------------------------------

    @contextmanager
    def users(
        self, name: str, outcomes: list[Outcome], *, port: int = 80, clients: t.Mapping[str, int] | None = None
    ) -> Iterator[None]:
        """Let users ask for as long as the block runs, and for the agreed time at least."""
        self.runs = []
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            result, stop = Path(folder, "result.json"), Path(folder, "stop")
            command = [
                sys.executable,
                str(ROOT / "tests" / "lab" / "traffic.py"),
                f"--url=http://{self.address['lb-01']}:{port}/",
            ]
            command += [f"--{kind}={number}" for kind, number in (clients or CLIENTS).items()]
            command += [
                f"--pause={self.pause}",
                f"--timeout={PATIENCE_SECONDS}",
                f"--until-file={stop}",
                f"--json={result}",
            ]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            try:
                time.sleep(1.0)
                yield
                time.sleep(max(1.0, self.seconds - (time.monotonic() - started)))
            finally:
                stop.touch()
                process.wait()
            found = json.loads(result.read_text(encoding="utf-8"))
        fields = {field.name for field in dataclasses.fields(Outcome)} - {"name", "seconds"}
        outcomes.append(
            Outcome(name=f"{self.suite}: {name}", seconds=tuple(self.runs), **{key: found[key] for key in fields})
        )
        print(outcomes[-1], flush=True)
        for example in outcomes[-1].examples[:5]:
            print(f"    {example}", flush=True)


# -- the scenarios of a repoint -------------------------------------------------------------


def swap(bench: Bench) -> None:
    """A planned swap, there and back."""
    bench.repoint(web_01=(bench.address["web-03"], 80))
    bench.repoint(web_01=(bench.address["web-01"], 80))


def dead(bench: Bench) -> None:
    """The new server does not listen."""
    output = bench.repoint(web_01=(bench.address["web-03"], 82), fails=True)
    _require("Connection refused" in output, output)


def firewalled(bench: Bench) -> None:
    """The new server's firewall drops everything."""
    rule = f"blackhole {bench.address['lb-01']}/32"
    bench.on("web-03", "ip", "route", "add", *rule.split())
    try:
        output = bench.repoint(web_01=(bench.address["web-03"], 80), fails=True)
    finally:
        bench.on("web-03", "ip", "route", "del", *rule.split())
    _require("no answer within 1 s" in output, output)


def unwell(bench: Bench) -> None:
    """The new server answers 503: first to the gate, then to the health checks only."""
    output = bench.repoint(web_01=(bench.address["web-03"], 8081), fails=True)
    _require("HTTP 503" in output, output)
    output = bench.repoint(web_01=(bench.address["web-03"], 8083), fails=True)
    _require("L7STS 503" in output, output)


def brief(bench: Bench) -> None:
    """The new server is well when it is asked, and dead two seconds later."""
    process = bench.start(
        "repoint_balancer",
        *("-e", '{"haproxy_backend_gate_retries": 200, "haproxy_backend_gate_delay": 0.05}'),
        servers={**bench.here, "web-01": (bench.address["web-03"], 84)},
    )
    time.sleep(3.0)
    bench.on("web-03", "systemd-run", "--quiet", "/usr/bin/python3", "-c", BRIEF)
    output = process.communicate()[0]
    # By HAProxy's checks, or by the last look right before the swap.
    seen = "although it was UP a moment ago" in output or "Connection refused" in output
    _require(process.returncode != 0 and seen, output)


def old_dead(bench: Bench) -> None:
    """The old server has died before."""
    bench.on("web-01", "systemctl", "stop", "nginx")
    time.sleep(3.0)
    bench.repoint(web_01=(bench.address["web-03"], 80))
    bench.on("web-01", "systemctl", "start", "nginx")


def bad_configuration(bench: Bench) -> None:
    """HAProxy does not accept the new configuration."""
    output = bench.repoint("-e", '{"haproxy_backend_options": ["servet me well"]}', fails=True)
    _require("unknown keyword 'servet'" in output, output)


def option(bench: Bench) -> None:
    """An option changes together with a server, which takes a reload."""
    bench.repoint("-e", "haproxy_backend_balance=leastconn", web_01=(bench.address["web-03"], 80))


def reloaded(bench: Bench) -> None:
    """Somebody else reloads HAProxy before the new server is in service, and when the old one leaves."""
    for stage, place in (("prepared", bench.address["web-03"]), ("committing", bench.address["web-01"])):
        process = bench.start("repoint_balancer", servers={**bench.here, "web-01": (place, 80)})
        bench.wait_for_stage(stage)
        bench.on("lb-01", "systemctl", "reload", "haproxy")
        output = process.communicate()[0]
        _require(process.returncode == 0, output)
        bench.here = {**bench.here, "web-01": (place, 80)}
        bench.require_settled()


def killed(bench: Bench) -> None:
    """The run is killed at several moments, and started again."""
    for stage in ("prepared", "committing"):
        servers = {**bench.here, "web-01": (bench.address["web-03"], 80)}
        process = bench.start("repoint_balancer", servers=servers)
        bench.wait_for_stage(stage)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        time.sleep(2.0)
        bench.repoint(web_01=(bench.address["web-03"], 80))
        bench.require_settled()
        bench.go_home()


def twenty(bench: Bench) -> None:
    """Twenty swaps in a row."""
    for number in range(20):
        bench.repoint(web_01=(bench.address["web-03" if number % 2 == 0 else "web-01"], 80))


def many(bench: Bench) -> None:
    """50 backends of 20 servers; ten servers of one of them move at once, and back."""
    bench.on("lb-01", "python3", "-c", OTHERS, bench.address["web-02"])
    bench.shell("lb-01", "systemctl reload haproxy")
    home, there = (
        {f"web-{each:02}": (bench.address[host if each <= 10 else "web-02"], 9000 + each) for each in range(1, 21)}
        for host in ("web-01", "web-03")
    )
    for servers in (home, there, home):
        bench.playbook("repoint_balancer", servers=servers)
        bench.require_settled()
    bench.shell("lb-01", "rm /etc/haproxy/conf.d/other-*.cfg; systemctl reload haproxy")


def two(bench: Bench) -> None:
    """Two runs at once want the server in two places; one waits for the other, and the last one has its way."""
    places = [(bench.address["web-03"], 80), (bench.address["web-03"], 8080)]
    runs = [bench.start("repoint_balancer", servers={**bench.here, "web-01": place}) for place in places]
    outputs = [process.communicate()[0] for process in runs]
    for process, output in zip(runs, outputs, strict=True):
        _require(process.returncode == 0, output)
    _require(any("waits for another run" in output for output in outputs), "\n".join(outputs))
    first = next(number for number, output in enumerate(outputs) if "waits for another run" not in output)
    bench.here = {**bench.here, "web-01": places[1 - first]}


SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "swap": swap,
    "dead": dead,
    "firewalled": firewalled,
    "unwell": unwell,
    "brief": brief,
    "old-dead": old_dead,
    "bad-configuration": bad_configuration,
    "option": option,
    "reloaded": reloaded,
    "killed": killed,
    "two": two,
    "twenty": twenty,
    "many": many,
}


# -- the same by other ways -----------------------------------------------------------------


def by_restart(bench: Bench, place: tuple[str, int]) -> None:
    """Edit the file and restart."""
    bench.shell("lb-01", f"{_edit(place)} && systemctl restart haproxy")


def by_reload(bench: Bench, place: tuple[str, int]) -> None:
    """Edit the file and reload."""
    bench.shell("lb-01", f"{_edit(place)} && systemctl reload haproxy")


def by_community_general(bench: Bench, place: tuple[str, int]) -> None:
    """Drain with community.general.haproxy, edit the file, reload, and enable with community.general.haproxy."""
    with tempfile.TemporaryDirectory() as folder:
        play = Path(folder, "play.yml")
        play.write_text(COMMUNITY.format(edit=json.dumps(_edit(place))), encoding="utf-8")
        output, code = bench.run_to_end(bench.start(str(play)))
    # Where the new server is dead it waits for it in vain, and says so when it is too late.
    _require(code == 0 or "haproxy" in output, output)


def by_this_collection(bench: Bench, place: tuple[str, int]) -> None:
    """Repoint with this collection, which refuses where the new server is dead."""
    bench.run_to_end(bench.start("repoint_balancer", servers={**bench.here, "web-01": place}))


WAYS: dict[str, Callable[[Bench, tuple[str, int]], None]] = {
    "restart": by_restart,
    "reload": by_reload,
    "community.general": by_community_general,
    "this collection": by_this_collection,
}


def compare_ways(bench: Bench, outcomes: list[Outcome]) -> list[Outcome]:
    """Swap a server there and back in each way, and point each way at one that is dead, and at one that is unwell."""
    others: list[Outcome] = []
    for name, way in WAYS.items():
        into = outcomes if way is by_this_collection else others
        for case, port in (("swap", 80), ("dead", 82), ("unwell", 9099)):
            with bench.users(f"{name}, {case}", into):
                way(bench, (bench.address["web-03"], port))
                time.sleep(3.0)
                way(bench, (bench.address["web-01"], 80))
            bench.go_home()
    return others


def _edit(place: tuple[str, int]) -> str:
    return f"sed -i 's/\\(server web-01 \\)[^ ]*/\\1{place[0]}:{place[1]}/' /etc/haproxy/conf.d/web.cfg"


# -- a server that dies under its users -----------------------------------------------------


def die_killed(bench: Bench) -> Callable[[], None]:
    """All its processes at once."""
    bench.on("web-01", "systemctl", "kill", "-s", "KILL", "nginx")
    return lambda: _quietly(bench.on("web-01", "systemctl", "restart", "nginx"))


def die_dropped(bench: Bench) -> Callable[[], None]:
    """It still runs, but no packet comes back."""
    rule = ("blackhole", f"{bench.address['lb-01']}/32")
    bench.on("web-01", "ip", "route", "add", *rule)
    return lambda: _quietly(bench.on("web-01", "ip", "route", "del", *rule))


def die_hung(bench: Bench) -> Callable[[], None]:
    """It takes connections and never answers."""
    bench.on("web-01", "systemctl", "kill", "-s", "STOP", "nginx")
    return lambda: _quietly(bench.on("web-01", "systemctl", "kill", "-s", "CONT", "nginx"))


DEATHS: dict[str, Callable[[Bench], Callable[[], None]]] = {
    "killed": die_killed,
    "dropped": die_dropped,
    "hung": die_hung,
}


def compare_deaths(bench: Bench) -> list[str]:
    """Let a server die behind this collection's settings and behind Debian's, at the same time.

    :returns: One line for each death: the lost requests of both, and the POSTs that were carried out twice.
    """
    bench.serve(STOCK_PORT)
    time.sleep(3.0)
    lines = []
    for name, die in DEATHS.items():
        bench.forget_ids()
        ours: list[Outcome] = []
        stock: list[Outcome] = []
        with (
            bench.users(f"{name}, Debian's", stock, port=STOCK_PORT, clients=MOURNERS),
            bench.users(f"{name}, ours", ours, clients=MOURNERS),
        ):
            time.sleep(2.0)
            revive = die(bench)
            time.sleep(DEATH_SECONDS)
            revive()
            time.sleep(3.0)
        lost, lost_by_stock = ours[0].failed, stock[0].failed
        lines.append(
            f"{bench.suite}: {name}: {lost} lost, Debian's configuration lost {lost_by_stock}"
            f" ({100 * lost / max(1, lost_by_stock):.1f} %); POSTs carried out twice: {bench.repeated_posts()}"
        )
        print(lines[-1], flush=True)
    return lines


def compare_settings(bench: Bench) -> list[str]:
    """Add the settings that hide a dying server to Debian's one after the other, and let a server die behind them all.

    :returns: One line for each death and setting.
    """
    defaults = backend = words = ""
    for port, (_name, *more) in enumerate(SETTINGS, SETTINGS_PORT):
        defaults, backend, words = (f"{old}\n{new}" for old, new in zip((defaults, backend, words), more, strict=True))
        bench.serve(port, defaults=defaults, backend=backend, words=words.replace("\n", " "))
    time.sleep(3.0)
    lines = []
    for name, die in DEATHS.items():
        found: list[list[Outcome]] = [[] for _setting in SETTINGS]
        with ExitStack() as users:
            for port, outcomes in enumerate(found, SETTINGS_PORT):
                label = f"{name}, {SETTINGS[port - SETTINGS_PORT][0]}"
                users.enter_context(bench.users(label, outcomes, port=port, clients=FEW_MOURNERS))
            time.sleep(2.0)
            revive = die(bench)
            time.sleep(DEATH_SECONDS)
            revive()
            time.sleep(3.0)
        lines += [str(outcomes[0]) for outcomes in found]
    return lines


def _quietly(_output: str) -> None:
    """Forget what a command has printed."""


def _require(condition: bool, output: str) -> None:
    if not condition:
        raise LabError(f"this is not what was to happen:\n{output[-3000:]}")


def fetch_community_general() -> None:
    """Bring the collection that is compared with, from the wheel that the checks take theirs from."""
    if (COLLECTIONS / "ansible_collections" / "community" / "general").is_dir():
        return
    COLLECTIONS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = fill_collections.download_wheel(Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            wanted = [name for name in archive.namelist() if name.startswith("ansible_collections/community/general/")]
            archive.extractall(COLLECTIONS, wanted)


def _collections() -> str:
    return f"{ROOT / '.ansible' / 'collections'}:{COLLECTIONS}"


def main() -> int:
    """Run the scenarios and print what they cost."""
    parser = argparse.ArgumentParser(
        description=textwrap.dedent(__doc__ or ""), formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--suite", action="append", choices=("12", "13"), help="default: both")
    parser.add_argument(
        "--scenario", action="append", choices=[*SCENARIOS, "ways", "death", "settings"], help="default: all"
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="least length of each stretch of traffic")
    parser.add_argument("--pause", type=float, default=0.005, help="seconds between two requests of one client")
    parser.add_argument("--keep", action="store_true", help="leave the lab up, and use one that is")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    others: list[Outcome] = []
    deaths: list[str] = []
    for suite in arguments.suite or ("12", "13"):
        bench = Bench(suite=suite, seconds=arguments.seconds, pause=arguments.pause)
        try:
            print(f"repoint: Debian {suite}: provisioning", flush=True)
            bench.prepare(anew=not arguments.keep)
            for name in arguments.scenario or [*SCENARIOS, "ways", "death", "settings"]:
                if name == "ways":
                    others += compare_ways(bench, outcomes)
                elif name == "death":
                    deaths += compare_deaths(bench)
                elif name == "settings":
                    deaths += compare_settings(bench)
                else:
                    run(bench, name, outcomes)
        except LabError as error:
            print(f"repoint: {suite}: {error}", file=sys.stderr)
            return 1
        finally:
            if not arguments.keep:
                labs.down(bench.lab)
    print("\n".join(["", *map(str, outcomes), *map(str, others), *deaths]))
    failed, requests = sum(each.failed for each in outcomes), sum(each.requests for each in outcomes)
    print(f"repoint: {failed} failed of {requests}")
    return 1 if failed else 0


def run(bench: Bench, name: str, outcomes: list[Outcome]) -> None:
    """Run one scenario under traffic, and look at what it has left."""
    with bench.users(name, outcomes):
        SCENARIOS[name](bench)
        bench.require_settled()
    bench.go_home()


if __name__ == "__main__":
    raise SystemExit(main())
