"""A balancer without a service, and what the role did to one that was there before."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from testinfra.host import Host


def info(host: Host) -> dict[str, t.Any]:
    found: dict[str, t.Any] = host.ansible("phoenix.webstack.haproxy_backend_info", check=False, become=True)
    return found


def test_it_runs_and_has_read_its_files(host: Host) -> None:
    found = info(host)
    assert found["installed"]
    assert found["running"]
    assert found["loads_directory"]
    assert not found["stale"]
    assert found["backends"] == []


def test_it_starts_at_boot(host: Host) -> None:
    assert host.service("haproxy").is_enabled


def test_the_admin_socket_is_for_root_and_haproxy_only(host: Host) -> None:
    socket = host.file("/run/haproxy/admin.sock")
    assert (socket.user, socket.group, socket.mode) == ("root", "haproxy", 0o660)


def test_the_statistics_are_for_this_host_only(host: Host) -> None:
    assert host.socket("tcp://127.0.0.1:8404").is_listening
    assert not host.socket("tcp://0.0.0.0:8404").is_listening
    assert "haproxy_process_start_time_seconds" in host.check_output("curl -s http://127.0.0.1:8404/metrics")


def test_haproxy_finds_nothing_to_complain_about(host: Host) -> None:
    with host.sudo():
        found = host.run("haproxy -c -f /etc/haproxy/haproxy.cfg -f /etc/haproxy/conf.d")
    assert found.rc == 0
    assert "WARNING" not in found.stderr
