"""The lab's images: made from Debian packages, kept for a week, rebuilt when their recipe changes.

localhost/lab/base:12     a minimal Debian with systemd and sshd
localhost/lab/debian:12   the server a test starts with (and :13)
localhost/lab/mysql:13    the same with Oracle's MySQL at hand
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine import CACHE, LabError, Podman

RECIPES = Path(__file__).parent / "images"
KEY_LABEL = "lab.key"
MAX_AGE = datetime.timedelta(days=7)  # package lists grow stale: the mirror drops old versions

CODENAMES = {"12": "bookworm", "13": "trixie"}
INCLUDE = (
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "iputils-ping",
    "libpam-systemd",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)


@dataclass(frozen=True)
class Image:
    """One image, its recipe and what it is built on (None: on packages)."""

    name: str
    suite: str
    recipe: str | None = None
    parent: Image | None = None

    @property
    def tag(self) -> str:
        """The full name; without `localhost/` podman would ask a registry."""
        return f"localhost/{self.name}"

    @property
    def key(self) -> str:
        """A digest of everything the image is made from."""
        recipe = (RECIPES / self.recipe).read_text() if self.recipe else ""
        parts = (self.suite, " ".join(INCLUDE), recipe, self.parent.key if self.parent else "")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def known_images() -> dict[str, Image]:
    """Return the images a host can run, by short name."""
    images: dict[str, Image] = {}
    for suite in CODENAMES:
        base = Image(f"lab/base:{suite}", suite)
        debian = Image(f"lab/debian:{suite}", suite, "Containerfile.debian", base)
        images[debian.name] = debian
    mysql = Image("lab/mysql:13", "13", "Containerfile.mysql", images["lab/debian:13"])
    images[mysql.name] = mysql
    return images


def ensure(podman: Podman, names: set[str]) -> None:
    """Build the named images (`lab/debian:12`) where they are missing, changed or too old."""
    known = known_images()
    for name in sorted(names):
        if name not in known:
            raise LabError(f"no such image: {name}; there are {', '.join(known)}")
    with one_builder():
        for name in sorted(names):
            ensure_one(podman, known[name])


@contextmanager
def one_builder() -> Iterator[None]:
    """Let scenarios that start together wait for one build instead of building twice."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure_one(podman: Podman, image: Image) -> None:
    """Build one image after its parent; an old one still serves where no new one can be made."""
    age = age_of(podman, image)
    if age is not None and age < MAX_AGE:
        return
    try:
        started = time.monotonic()
        print(f"lab: building {image.name} …", file=sys.stderr, flush=True)
        if image.parent:
            ensure_one(podman, image.parent)
            build(podman, image, image.parent.tag)
        else:
            make_base(podman, image)
        print(f"lab: built {image.name} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    except LabError as error:
        if age is None:
            raise
        print(f"lab: keeping {image.name}, {age.days} days old, since a new build failed: {error}", file=sys.stderr)


def age_of(podman: Podman, image: Image) -> datetime.timedelta | None:
    """Return the age of an image made by the present recipe; None when there is none."""
    described = podman.inspect("image", image.tag)
    if described is None or (described.get("Labels") or {}).get(KEY_LABEL) != image.key:
        return None
    # Nanoseconds are more than fromisoformat reads.
    created = datetime.datetime.fromisoformat(described["Created"][:19] + "+00:00")
    return datetime.datetime.now(datetime.timezone.utc) - created


def build(podman: Podman, image: Image, parent: str) -> None:
    """Run an image's Containerfile."""
    recipe = RECIPES / str(image.recipe)
    arguments = {"FROM": parent, "INCLUDE": " ".join(INCLUDE)}
    # The host's network: a build needs a mirror, which the bridge may not reach.
    options = ["--network", "host", "--layers=false", "--label", f"{KEY_LABEL}={image.key}", "--tag", image.tag]
    for name, value in arguments.items():
        if f"ARG {name}" in recipe.read_text():
            options += ["--build-arg", f"{name}={value}"]
    podman.run("build", *options, "--file", str(recipe), str(RECIPES))
    # What this build replaced.
    podman.attempt("image", "prune", "--force", "--filter", f"label={KEY_LABEL}")


def make_base(podman: Podman, image: Image) -> None:
    """Bootstrap a minimal system from packages; without mmdebstrap, start from a registry's image."""
    codename = CODENAMES[image.suite]
    if not shutil.which("mmdebstrap"):
        podman.run("pull", "--quiet", f"debian:{codename}")
        podman.run("tag", f"debian:{codename}", image.tag)
        return
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        archive = Path(folder, "base.tar")
        bootstrap(codename, archive)
        change = f"LABEL {KEY_LABEL}={image.key}"
        podman.run("import", "--quiet", "--change", change, str(archive), image.tag)


def bootstrap(codename: str, archive: Path) -> None:
    """Have mmdebstrap write a root filesystem, from the mirror that this machine uses."""
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    options = ["--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(INCLUDE)}"]
    command = [*as_root, "mmdebstrap", *options, codename, str(archive), *own_mirror()]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise LabError(f"mmdebstrap {codename} failed:\n{result.stderr.strip()[-2000:]}")


def own_mirror() -> list[str]:
    """Return the mirror of Debian's main archive in apt's sources, or nothing: mmdebstrap knows one."""
    if mirror := os.environ.get("LAB_MIRROR"):
        return [mirror]
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    for line in listed.splitlines():
        mirror, release, component = line.split()
        if component == "main" and release in CODENAMES.values() and mirror.rstrip("/").endswith("/debian"):
            return [mirror]
    return []
