# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells by itself: changes of the firewall, of the network, and of files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import time
import typing as t
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import paths

FIREWALL, NETWORK, NEIGHBOUR, FILES = "firewall", "network", "neighbour", "files"
DAEMON, ASKED, END, TICK = "daemon", "asked", "end", "tick"
EVERYTHING = (FIREWALL, NETWORK, NEIGHBOUR, FILES, DAEMON, ASKED)

# linux/netlink.h, linux/rtnetlink.h, linux/netfilter/nfnetlink.h: Python knows the family only.
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
RTNLGRP = {"link": 1, "tc": 4, "ipv4_ifaddr": 5, "ipv4_route": 7, "ipv4_rule": 8, "ipv6_ifaddr": 9}
RTNLGRP.update({"ipv6_route": 11, "ipv6_rule": 19})
RTNLGRP_NEIGH = 3
NFNLGRP_NFTABLES = 7
NFNL_SUBSYS_NFTABLES = 10
# Tables, chains and rules (linux/netfilter/nf_tables.h). Elements of sets come and go all the time.
NFT_STRUCTURE = frozenset(range(9))
NETLINK_HEADER = struct.Struct("=IHHII")

# linux/filter.h, linux/neighbour.h. Neighbours come and go all the time, and each would wake the guard: a program in
# the kernel lets through what is fixed, which nothing but a person or a program makes.
SO_ATTACH_FILTER = 26
BPF_LOAD_HALF, BPF_JUMP_IF_SET, BPF_RETURN = 0x28, 0x45, 0x06
NUD_PERMANENT = 0x80
STATE_AT = NETLINK_HEADER.size + 8  # ndm_state in ndmsg
INSTRUCTION = struct.Struct("=HBBI")
PROGRAM = struct.Struct("@HP")

# linux/inotify.h
IN_ATTRIB, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE = 0x4, 0x8, 0x100, 0x200
IN_MOVED, IN_DELETE_SELF, IN_MOVE_SELF, IN_ONLYDIR = 0xC0, 0x400, 0x800, 0x1000000
IN_IGNORED, IN_Q_OVERFLOW, IN_MASK_ADD = 0x8000, 0x4000, 0x20000000
IN_ITSELF = IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF
IN_CHANGES = IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED | IN_DELETE_SELF | IN_MOVE_SELF
IN_NONBLOCK = 0x800
INOTIFY_EVENT = struct.Struct("iIII")
LARGEST_READ = 1 << 16
# Everybody may ask for a look, so nobody may keep the guard busy by it: those who ask meanwhile wait.
ASKED_SECONDS = 2.0
# Several changes that belong together are looked at once.
SETTLE_SECONDS = 0.05


def bit(group: int) -> int:
    """Return the bit of a multicast group in the mask that bind(2) takes."""
    return 1 << (group - 1)


def changes_structure(data: bytes) -> bool:
    """Tell whether netlink messages of nftables are about tables, chains or rules."""
    offset = 0
    while offset + NETLINK_HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = NETLINK_HEADER.unpack_from(data, offset)
        if kind >> 8 == NFNL_SUBSYS_NFTABLES and kind & 0xFF in NFT_STRUCTURE:
            return True
        offset += max(NETLINK_HEADER.size, (length + 3) & ~3)
    return False


class Inotify:
    """Folders of which changes are told. Missing ones are taken up as soon as they appear."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self._libc.inotify_init1(IN_NONBLOCK | os.O_CLOEXEC)
        # The kernel has one watch for a folder, by whatever names it is known: /lib is a link to /usr/lib.
        self._watched: dict[int, set[Path]] = {}
        self._names: t.Mapping[Path, set[str] | None] = {}

    def follow(self, folders: t.Mapping[Path, set[str] | None]) -> None:
        """Watch just these folders, as many of them as there are, for changes of the names that count; None for all.

        Folders such as /tmp are watched for their own mode and owner alone: their files come and go.
        """
        if self.descriptor < 0:  # no instance to be had: the ticks have to do
            return
        self._names = folders
        for watch, known in list(self._watched.items()):
            known.intersection_update(folders)
            if not known:
                self._libc.inotify_rm_watch(self.descriptor, watch)
                del self._watched[watch]
        for folder in set(folders).difference(*self._watched.values()):
            mask = IN_ITSELF if folders[folder] == set() else IN_CHANGES
            flags = mask | IN_MASK_ADD | IN_ONLYDIR
            watch = self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), flags)
            if watch >= 0:
                self._watched.setdefault(watch, set()).add(folder)

    def changed(self) -> bool:
        """Tell whether anything that counts changed; what it was, a look at the files themselves tells."""
        try:
            data = os.read(self.descriptor, LARGEST_READ)
        except BlockingIOError:
            return False
        offset, counts = 0, False
        while offset < len(data):
            watch, mask, _cookie, length = INOTIFY_EVENT.unpack_from(data, offset)
            name = data[offset + INOTIFY_EVENT.size : offset + INOTIFY_EVENT.size + length].rstrip(b"\0")
            counts = counts or self._counts(watch, mask, os.fsdecode(name))
            if mask & IN_IGNORED:  # the folder is gone; it is taken up again when there is a new one
                self._watched.pop(watch, None)
            offset += INOTIFY_EVENT.size + length
        return counts

    def _counts(self, watch: int, mask: int, name: str) -> bool:
        if not name or mask & IN_Q_OVERFLOW:
            return True
        counting = [self._names.get(folder) for folder in self._watched.get(watch, ())]
        return not counting or any(names is None or name in names for names in counting)


class Watcher:
    """Waits for whatever may have closed SSH."""

    def __init__(self) -> None:
        self._firewall = _netlink(NETLINK_NETFILTER, bit(NFNLGRP_NFTABLES))
        self._network = _netlink(NETLINK_ROUTE, sum(bit(group) for group in RTNLGRP.values()))
        self._neighbours = _netlink(NETLINK_ROUTE, bit(RTNLGRP_NEIGH))
        hear_of_fixed_neighbours_only(self._neighbours)
        self.files = Inotify()
        self._asked = _control_socket()
        self._hears_at = 0.0
        self._mounts = Path("/proc/self/mountinfo").open("rb")  # noqa: SIM115 (as long as this lives)
        self._signals, waking = socket.socketpair()
        for each in (self._signals, waking):
            each.setblocking(False)
        self._waking = waking
        self._daemon: int | None = None
        self._followed: int | None = None

    def follow_process(self, pid: int | None) -> None:
        """Be told when this process ends."""
        if pid == self._followed:
            return
        self._followed = pid
        if self._daemon is not None:
            os.close(self._daemon)
            self._daemon = None
        if pid is not None:
            try:
                self._daemon = os.pidfd_open(pid)
            except OSError:  # it ended already; the next tick sees that nobody listens
                self._daemon = None

    def hear_of_the_end(self) -> None:
        """Be told when this process is asked to end, instead of just ending."""
        signal.set_wakeup_fd(self._waking.fileno())
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)

    def wait(self, seconds: float) -> set[str]:
        """Return what happened within that time: topics, of which the tick says that nothing else did."""
        topics = self._poll(seconds)
        if not topics:
            return {TICK}
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end:
            topics |= self._poll(max(0.0, end - time.monotonic()))
        return topics

    def _poll(self, seconds: float) -> set[str]:
        heard = {self._firewall: FIREWALL, self._network: NETWORK, self._neighbours: NEIGHBOUR}
        if time.monotonic() >= self._hears_at:
            heard[self._asked] = ASKED
        sources: dict[int, str] = {each.fileno(): topic for each, topic in heard.items()}
        if self.files.descriptor >= 0:
            sources[self.files.descriptor] = FILES
        if self._daemon is not None:
            sources[self._daemon] = DAEMON
        sources[self._signals.fileno()] = END
        # The kernel says as an exception of that file that something was mounted or unmounted.
        ready, _write, other = select.select(list(sources), [], [self._mounts], seconds)
        topics = {sources[descriptor] for descriptor in ready}
        if FIREWALL in topics and not any(changes_structure(data) for data in _drain(self._firewall)):
            topics.discard(FIREWALL)
        for each, topic in heard.items():
            if topic in topics - {FIREWALL}:
                _drain(each)
        if ASKED in topics:
            self._hears_at = time.monotonic() + ASKED_SECONDS
        if FILES in topics and not self.files.changed():
            topics.discard(FILES)
        if DAEMON in topics:
            self.follow_process(None)
        return topics | ({FILES} if other else set())


def _netlink(protocol: int, groups: int) -> socket.socket:
    """Return a socket that hears of changes; many at once overflow it, which is a change as well."""
    heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
    heard.bind((0, groups))
    return heard


def hear_of_fixed_neighbours_only(heard: socket.socket) -> None:
    """Have the kernel drop what a socket would hear of other neighbours."""
    instructions = [
        INSTRUCTION.pack(BPF_LOAD_HALF, 0, 0, STATE_AT),
        # The state is in the machine's byte order, a load in the network's.
        INSTRUCTION.pack(BPF_JUMP_IF_SET, 0, 1, socket.htons(NUD_PERMANENT)),
        INSTRUCTION.pack(BPF_RETURN, 0, 0, LARGEST_READ),
        INSTRUCTION.pack(BPF_RETURN, 0, 0, 0),
    ]
    code = ctypes.create_string_buffer(b"".join(instructions))
    heard.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, PROGRAM.pack(len(instructions), ctypes.addressof(code)))


def _control_socket() -> socket.socket:
    """Return the socket at which everybody may ask for a look at everything."""
    paths.RUNTIME.mkdir(mode=0o755, exist_ok=True)
    paths.CONTROL.unlink(missing_ok=True)
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    heard.bind(str(paths.CONTROL))
    paths.CONTROL.chmod(0o666)
    return heard


# What stands for messages that were lost.
OVERFLOW = NETLINK_HEADER.pack(NETLINK_HEADER.size, NFNL_SUBSYS_NFTABLES << 8, 0, 0, 0)


def _drain(heard: socket.socket) -> list[bytes]:
    """Return every message that waits."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(_receive(heard))
    return found


def _receive(heard: socket.socket) -> bytes:
    try:
        return heard.recv(LARGEST_READ)
    except BlockingIOError:
        raise
    except OSError:  # ENOBUFS
        return OVERFLOW
