"""Fill .ansible/collections, so that every tool finds `phoenix.webstack.*` in a checkout.

The checkout itself is linked in; the collections it depends on (requirements.yml)
are unpacked from one pinned wheel (requirements/collections.txt), which needs pip
but no Galaxy. With --galaxy they come from Galaxy instead.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / ".ansible" / "collections" / "ansible_collections"
STAMP = TREE / ".stamp"
REQUIREMENTS = ROOT / "requirements.yml"
WHEEL_LOCK = ROOT / "requirements" / "collections.txt"


def main() -> None:
    """Link the checkout, then bring the dependencies unless they are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxy", action="store_true", help="ask Galaxy instead of unpacking the pinned wheel")
    arguments = parser.parse_args()

    link_checkout()
    wanted = fingerprint(galaxy=arguments.galaxy)
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    names = required_collections()
    print(f"collections: bringing {', '.join(names)}")
    if arguments.galaxy:
        install_from_galaxy()
    else:
        install_from_wheel(names)
    STAMP.write_text(wanted)


def link_checkout() -> None:
    """Let the checkout stand for the collection; a relative link survives a move."""
    link = TREE / "phoenix" / "webstack"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(Path(*[".."] * 4), target_is_directory=True)


def fingerprint(*, galaxy: bool) -> str:
    """Tell one state of the requirements from another."""
    inputs = REQUIREMENTS.read_bytes() + WHEEL_LOCK.read_bytes()
    return f"{'galaxy' if galaxy else 'wheel'} {hashlib.sha256(inputs).hexdigest()}\n"


def required_collections() -> list[str]:
    """Return the names in requirements.yml, such as `ansible.posix`."""
    return [entry["name"] for entry in yaml.safe_load(REQUIREMENTS.read_text())["collections"]]


def install_from_galaxy() -> None:
    """Have ansible-galaxy resolve requirements.yml."""
    ansible_galaxy = Path(sys.executable).with_name("ansible-galaxy")
    command = [str(ansible_galaxy), "collection", "install", "--force", "-p", str(TREE.parent), "-r", str(REQUIREMENTS)]
    subprocess.run(command, check=True)


def install_from_wheel(names: list[str]) -> None:
    """Unpack the named collections from the wheel, each replaced as a whole."""
    folders = [f"ansible_collections/{name.replace('.', '/')}/" for name in names]
    # Beside its destination: a rename then never leaves a half-filled collection.
    with tempfile.TemporaryDirectory(dir=TREE.parent) as scratch:
        wheel = download_wheel(Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            members = [member for member in archive.namelist() if member.startswith(tuple(folders))]
            archive.extractall(scratch, members)
        for folder in folders:
            source = Path(scratch, folder)
            if not source.is_dir():
                sys.exit(f"collections: {wheel.name} has no {folder}; see {WHEEL_LOCK.relative_to(ROOT)}")
            destination = TREE.parent / folder
            shutil.rmtree(destination, ignore_errors=True)
            destination.parent.mkdir(parents=True, exist_ok=True)
            source.rename(destination)


def download_wheel(folder: Path) -> Path:
    """Let pip fetch the wheel and check its hash."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-cache-dir", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command = [*pip, "download", *options, "--requirement", str(WHEEL_LOCK), "--dest", str(folder)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("ansible-*.whl")
    return wheel


if __name__ == "__main__":
    main()
