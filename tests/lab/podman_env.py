"""What podman needs on machines that are containers themselves, written nowhere but in the cache.

podman reads one private file named by CONTAINERS_CONF; nothing below /etc or the
home folder is touched, and a CONTAINERS_CONF that the user has set is left alone.
On an ordinary machine there is nothing to say and no file.
"""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

CAP_SYS_RESOURCE = 24


def environment(cache: Path) -> dict[str, str]:
    """Return the environment that podman runs in."""
    settings = quirks()
    if "CONTAINERS_CONF" in os.environ or not settings:
        return dict(os.environ)
    path = cache / "containers.conf"
    text = render(settings)
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {**os.environ, "CONTAINERS_CONF": str(path)}


def quirks() -> dict[str, dict[str, str]]:
    """Return the settings this machine needs, as TOML values by section and key."""
    containers: dict[str, str] = {}
    engine: dict[str, str] = {}
    network: dict[str, str] = {}

    if os.geteuid() == 0 and not has_capability(CAP_SYS_RESOURCE):
        # podman would raise its limits to 1048576, which only that capability may.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        containers["default_ulimits"] = f'["nofile={files}:{files}", "nproc=8192:8192"]'
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists() and shutil.which("runc"):
        # crun refuses hierarchies of version 1 and 2 side by side.
        engine["runtime"] = '"runc"'
    if not Path("/run/systemd/system").exists():
        engine["cgroup_manager"] = '"cgroupfs"'
        engine["events_logger"] = '"file"'
    if list(Path("/etc/cni/net.d").glob("*.conflist")) and Path("/usr/lib/podman/netavark").exists():
        # Debian's podman ships a CNI network and may take that for a wish; CNI has no names.
        network["network_backend"] = '"netavark"'

    sections = {"containers": containers, "engine": engine, "network": network}
    return {name: values for name, values in sections.items() if values}


def has_capability(number: int) -> bool:
    """Tell whether this process holds a capability."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def render(settings: dict[str, dict[str, str]]) -> str:
    """Write the settings as TOML."""
    lines: list[str] = []
    for section, values in settings.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    return "\n".join(lines)
