# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as they are now, as they last were when a login worked, and the way back.

A file is kept with its kind, mode, owner and content. Of /etc/passwd and its kin only the lines of the guarded
accounts are kept: ``/etc/passwd#admin`` stands for one of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import hashlib
import json
import os
import shutil
import stat
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.runner import make_private, write_atomically

if t.TYPE_CHECKING:
    from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner

FILE, FOLDER, LINK, LINE, DEVICE = "file", "folder", "link", "line", "device"
LARGEST = 32 << 20  # bytes; no file that a login needs is larger
LINE_MARK = "#"
ACL = "system.posix_acl_access"
ASIDE_KEPT = 50


@dataclasses.dataclass(frozen=True)
class Entry:
    """One path as it was found.

    :arg content: SHA-256 of a file's or line's content, or a link's target; empty where only the rest matters.
    :arg stamp: What the kernel changes with the content, so that a file need not be read again.
    """

    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    content: str = ""
    acl: str = ""  # POSIX access control list, in hexadecimal digits
    stamp: str = dataclasses.field(default="", compare=False)


Entries = t.Dict[str, Entry]  # noqa: UP006 (evaluated on Python 3.8)


@dataclasses.dataclass(frozen=True)
class Tracked:
    """What is kept.

    :arg whole: Files whose content counts; a folder stands for everything below it.
    :arg outside: Files and folders of which kind, mode and owner count.
    :arg lines: Files kept by line, with the first fields of the lines that count.
    """

    whole: tuple[Path, ...] = ()
    outside: tuple[Path, ...] = ()
    lines: t.Mapping[Path, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def names(self) -> list[str]:
        """Return every path as text."""
        return [str(path) for path in (*self.whole, *self.outside, *self.lines)]

    def folders(self) -> dict[Path, set[str] | None]:
        """Return every folder that has to be watched to hear of changes, with the names that count; None for all."""
        found: dict[Path, set[str] | None] = {path: set() for path in self.outside if path.is_dir()}
        for path in (*self.whole, *self.outside, *self.lines):
            names = found.setdefault(path.parent, set()) if path.parent.is_dir() else None
            if names is not None:
                names.add(path.name)
        for path in self.whole:
            below = [path, *(folder for folder in path.rglob("*") if folder.is_dir())] if path.is_dir() else []
            found.update(dict.fromkeys(below))
        return found


def look(path: Path, *, content: bool, known: Entry | None = None) -> Entry | None:
    """Return what is at a path, None for nothing; ``known`` spares reading a file that has not changed."""
    try:
        found = path.lstat()
    except OSError:
        return None
    entry = Entry(FILE, mode=stat.S_IMODE(found.st_mode), uid=found.st_uid, gid=found.st_gid)
    if stat.S_ISLNK(found.st_mode):
        return dataclasses.replace(entry, kind=LINK, mode=0, content=str(path.readlink()))
    entry = dataclasses.replace(entry, acl=access_list(path))
    if stat.S_ISDIR(found.st_mode):
        return dataclasses.replace(entry, kind=FOLDER)
    if stat.S_ISSOCK(found.st_mode):  # nobody can read one: a login meets nothing there
        return None
    if not stat.S_ISREG(found.st_mode):
        return dataclasses.replace(entry, kind=DEVICE, content=str(found.st_rdev))
    if not content or found.st_size > LARGEST:
        return entry
    stamp = f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    if known is not None and known.stamp == stamp:
        return dataclasses.replace(entry, content=known.content, stamp=stamp)
    try:
        checksum = checksum_of(path)
    except OSError:
        return entry
    return dataclasses.replace(entry, content=checksum, stamp=stamp)


def access_list(path: Path) -> str:
    """Return the access control list of a path, which its mode does not tell of; an empty text for none."""
    try:
        return os.getxattr(path, ACL, follow_symlinks=False).hex()
    except OSError:
        return ""


def look_beyond(path: Path, *, content: bool, known: Entry | None = None) -> Entry | None:
    """Do what `look` does where somebody else than root owns the folder."""
    try:
        with anchored(path) as itself:
            return look(itself, content=content, known=known)
    except OSError:
        return None


def checksum_of(path: Path) -> str:
    """Return the SHA-256 of a file, without holding all of it."""
    sum_ = hashlib.sha256()
    with open_itself(path) as file:
        while data := file.read(1 << 16):
            sum_.update(data)
    return sum_.hexdigest()


def open_itself(path: Path) -> t.BinaryIO:
    """Open a file to read it, but not what a link leads to, and without waiting for the other end of a pipe."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def is_foreign(folder: Path) -> bool:
    """Tell whether somebody else than root may turn what is below a folder into a link to elsewhere, at any moment."""
    try:
        return any(each.lstat().st_uid != 0 for each in (*reversed(folder.parents), folder))
    except OSError:
        return True


@contextlib.contextmanager
def anchored(path: Path, *, make: bool = False) -> t.Iterator[Path]:
    """Yield a path to the same place that leads nowhere else, whatever anybody does meanwhile.

    Folders are opened one by one. A link is followed where root alone could have laid it.

    :arg make: Whether missing folders are made.
    :raises OSError: when somebody else's link is on the way.
    """
    if path == path.parent:
        yield path
        return
    folder = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in path.parts[1:-1]:
            inner = _open_folder(folder, name, make=make)
            os.close(folder)
            folder = inner
        yield Path(f"/proc/self/fd/{folder}") / path.name
    finally:
        os.close(folder)


def _open_folder(outer: int, name: str, *, make: bool) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    if os.fstat(outer).st_uid != 0:
        flags |= os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=outer)
    except FileNotFoundError:
        if not make:
            raise
        os.mkdir(name, mode=0o755, dir_fd=outer)
        return os.open(name, flags, dir_fd=outer)


def give(path: Path, wanted: Entry) -> None:
    """Set who may do what with just what is there: chown(2) and chmod(2) would follow a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, wanted.uid, wanted.gid)
        if wanted.acl:
            os.setxattr(descriptor, ACL, bytes.fromhex(wanted.acl))
        else:
            with contextlib.suppress(OSError):  # there is none
                os.removexattr(descriptor, ACL)
        os.fchmod(descriptor, wanted.mode)
    finally:
        os.close(descriptor)


class Store:
    """The last good state on disk: an index, and contents by their checksums.

    :arg strict: Whether what was not there before is a difference too.
    """

    def __init__(
        self, *, folder: Path = paths.STATE / "good", aside: Path = paths.STATE / "aside", strict: bool = True
    ) -> None:
        self._folder = folder
        self._aside = aside
        self._strict = strict
        self._loaded = self._index_stamp()
        self.good: Entries = self._load()
        self._foreign: dict[Path, bool] = {}
        # What was last seen, so that nothing is read twice.
        self._seen: Entries = dict(self.good)

    # -- looking

    def scan(self, tracked: Tracked) -> Entries:
        """Return what is there now."""
        found: Entries = {}
        self._foreign = {}
        for path in self._walk(tracked.whole):
            self._note(found, path, content=True)
        for path in tracked.outside:
            self._note(found, path, content=False)
        for path, names in tracked.lines.items():
            self._note(found, path, content=False)
            found.update(self._lines(path, names))
        self._seen = found
        return found

    def differences(self, now: Entries) -> list[str]:
        """Return the paths that are not as they last were when a login worked; nothing before there is such a state."""
        if not self.good:
            return []
        looked_at = {*self.good, *now} if self._strict else self.good
        return sorted(path for path in looked_at if self.good.get(path) != now.get(path))

    def contents(self, folder: str) -> dict[str, bytes]:
        """Return the last good contents of the files below a folder, by path, as far as they are not lost."""
        found = {path: self.content(path) for path in self.good if path.startswith(f"{folder}/")}
        return {path: content for path, content in found.items() if content is not None}

    def content(self, path: str) -> bytes | None:
        """Return the last good content of a file; None for what is no file, or has none, or lost it."""
        good = self.good.get(path)
        if not good or good.kind != FILE or not good.content:
            return None
        try:
            return self._blob(good.content).read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, now: Entries) -> None:
        """Take what is there now for good."""
        if now == self.good:
            return
        for path, entry in now.items():
            if entry.kind in (FILE, LINE) and entry.content and not self._blob(entry.content).exists():
                self._store(path, entry)
        self.good = dict(now)
        index = {path: dataclasses.asdict(entry) for path, entry in now.items()}
        write_atomically(self._folder / "index.json", json.dumps(index, indent=1, sort_keys=True).encode())
        self._loaded = self._index_stamp()
        needed = {entry.content for entry in now.values()}
        for blob in (self._folder / "blobs").iterdir():
            if blob.name not in needed:
                blob.unlink()

    def _walk(self, tops: t.Iterable[Path]) -> t.Iterator[Path]:
        for top in tops:
            yield top
            if top.is_dir() and not top.is_symlink():
                yield from sorted(top.rglob("*"))

    def _note(self, found: Entries, path: Path, *, content: bool) -> None:
        known = self._seen.get(str(path))
        if path.parent not in self._foreign:
            self._foreign[path.parent] = is_foreign(path.parent)
        if not self._foreign[path.parent]:
            seen = look(path, content=content, known=known)
        else:
            seen = look_beyond(path, content=content, known=known)
        if seen is not None:
            found[str(path)] = seen

    def _lines(self, path: Path, names: t.Collection[str]) -> Entries:
        found = {}
        for line in read_lines(path):
            name = line.split(b":")[0].decode("utf-8", "replace")
            if name in names:
                found[f"{path}{LINE_MARK}{name}"] = Entry(LINE, content=hashlib.sha256(line).hexdigest())
        return found

    # -- the store

    def refresh(self) -> bool:
        """Read the state anew where another process has kept one, and tell whether one has."""
        if self._index_stamp() == self._loaded:
            return False
        self._loaded = self._index_stamp()
        self.good = self._load()
        return True

    def _index_stamp(self) -> int:
        try:
            return (self._folder / "index.json").stat().st_mtime_ns
        except OSError:
            return 0

    def _load(self) -> Entries:
        try:
            index = json.loads((self._folder / "index.json").read_text(encoding="utf-8"))
            return {path: Entry(**entry) for path, entry in index.items()}
        except (OSError, ValueError, TypeError):
            return {}

    def _blob(self, checksum: str) -> Path:
        return self._folder / "blobs" / checksum

    def _store(self, path: str, entry: Entry) -> None:
        file, _mark, name = path.partition(LINE_MARK)
        if entry.kind == LINE:
            wanted = [line for line in read_lines(Path(file)) if line.split(b":")[0].decode("utf-8", "replace") == name]
            data = wanted[0] if wanted else b""
        else:
            with anchored(Path(path)) as itself, open_itself(itself) as opened:
                data = opened.read()
        if hashlib.sha256(data).hexdigest() == entry.content:  # else it is changing just now: the next time
            write_atomically(self._blob(entry.content), data)

    # -- the way back

    def restore(self, differing: t.Iterable[str], *, runner: CommandRunner) -> tuple[list[str], list[str]]:
        """Put paths back to what they last were, and what is there now aside.

        :returns: Which were, and which could not be, with the reason: one must not keep the others as they are.
        """
        place = self._aside / datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
        # Folders before what is in them, and what was not there before at last.
        ordered = sorted(differing, key=lambda path: (path not in self.good, path))
        problems = {path: self._put_back(path, place, runner) for path in ordered}
        self._forget_old()
        restored = [path for path, problem in problems.items() if not problem]
        return restored, [f"{path}: {problem}" for path, problem in problems.items() if problem]

    def _put_back(self, path: str, place: Path, runner: CommandRunner) -> str:
        """Put a path back, by force where it takes some, and return what is in the way."""
        try:
            try:
                self._restore_one(path, place)
            except OSError as error:
                for argv in makes_way(error, path.partition(LINE_MARK)[0]):
                    runner.run(argv, check=False)
                self._restore_one(path, place)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _restore_one(self, path: str, place: Path) -> None:
        wanted, target = self.good.get(path), Path(path)
        if wanted is not None and wanted.kind == LINE and LINE_MARK in path:
            self._restore_line(path, wanted, place)
            return
        if wanted is None and not os.path.lexists(target):
            return
        with anchored(target, make=True) as itself:
            now = look(itself, content=True)
            other = now is not None and (wanted is None or now.kind != wanted.kind)
            if now is not None and (other or wanted is None or now.content != wanted.content):
                put_aside(itself, place / path.lstrip("/"), move=other)
            if wanted is not None:
                self._recreate(itself, wanted)

    def _recreate(self, target: Path, wanted: Entry) -> None:
        if wanted.kind == LINK:
            target.unlink(missing_ok=True)
            target.symlink_to(wanted.content)
            return
        if wanted.kind == FOLDER:
            target.mkdir(exist_ok=True)
        elif wanted.kind == DEVICE and not target.exists():
            os.mknod(target, stat.S_IFCHR | wanted.mode, int(wanted.content))
        elif wanted.content and look(target, content=True) != wanted:
            data = self._blob(wanted.content).read_bytes()
            write_atomically(target, data, mode=wanted.mode, uid=wanted.uid, gid=wanted.gid)
        give(target, wanted)

    def _restore_line(self, path: str, entry: Entry, place: Path) -> None:
        file, _mark, name = path.partition(LINE_MARK)
        target, wanted = Path(file), self._blob(entry.content).read_bytes()
        lines = read_lines(target)
        kept = [line for line in lines if line.split(b":")[0].decode("utf-8", "replace") != name]
        index = next((number for number, line in enumerate(lines) if line.startswith(f"{name}:".encode())), len(kept))
        put_aside(target, place / file.lstrip("/"), move=False)
        mode = self.good.get(file, Entry(FILE, mode=0o644))
        text = b"\n".join([*kept[:index], wanted, *kept[index:]]) + b"\n"
        write_atomically(target, text, mode=mode.mode, uid=mode.uid, gid=mode.gid)

    def _forget_old(self) -> None:
        if self._aside.is_dir():
            for old in sorted(self._aside.iterdir())[:-ASIDE_KEPT]:
                shutil.rmtree(old, ignore_errors=True)


def makes_way(error: OSError, path: str) -> list[list[str]]:
    """Return the commands that may help where a file cannot be put back."""
    if error.errno == errno.EROFS:
        return [["mount", "-o", f"remount,{how}rw", mount_point(path)] for how in ("", "bind,")]
    if error.errno == errno.EBUSY:  # something is mounted on it
        return [["umount", "--lazy", path]]
    if error.errno == errno.ENOSPC:
        return [["rm", "-rf", "--one-file-system", str(paths.STATE / "aside")]]
    return [["chattr", "-i", "-a", path], ["chattr", "-i", "-a", str(Path(path).parent)]]


def mount_point(path: str) -> str:
    """Return the place of the file system that a path lies on."""
    found = Path(path)
    while not found.is_mount() and found != found.parent:
        found = found.parent
    return str(found)


def read_lines(path: Path) -> list[bytes]:
    """Return a file's lines, none where it cannot be read."""
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []


def put_aside(target: Path, kept: Path, *, move: bool) -> None:
    """Keep what is about to be replaced, in a folder that root alone may read."""
    if not os.path.lexists(target):
        return
    make_private(kept.parent)
    if move:
        shutil.move(str(target), str(kept))
    else:
        shutil.copy2(target, kept, follow_symlinks=False)
