# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that the kernel runs on packets ahead of every filter: XDP, and those of the traffic control (TCX).

The probe's packets come in behind the former. But the kernel can be asked to run such a program on a packet, and to say
what would become of it; and a link to a device, which belongs to a process as long as that lives, can be cut.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import typing as t

# linux/bpf.h
SYSCALL = {"x86_64": 321, "aarch64": 280, "ppc64le": 361, "s390x": 351, "riscv64": 280}
PROG_TEST_RUN, PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD = 10, 11, 13, 15
LINK_GET_FD_BY_ID, LINK_GET_NEXT_ID, LINK_DETACH = 30, 31, 34
PROG_DETACH, PROG_QUERY = 9, 16
LINK_TYPE_XDP = 6
TCX_INGRESS, TCX_EGRESS = 46, 47
# What becomes of a packet: XDP_ABORTED, XDP_DROP; TC_ACT_SHOT, TC_ACT_STOLEN, TC_ACT_QUEUED, TC_ACT_TRAP.
XDP_VANISHES, TCX_VANISHES = (0, 1), (2, 4, 5, 8)
QUERY = struct.Struct("=IIIIQI4xQQQQ")
MOST_PROGRAMS = 64
TEST_RUN = struct.Struct("=IIIIQQIIIIQQIII4x")
LINK_INFO = struct.Struct("=III4xI")  # bpf_link_info: type, id, program, and of XDP the device
LARGEST_FRAME = 2048


def _bpf(command: int, attributes: t.Any) -> int:
    number = SYSCALL.get(platform.machine())
    if number is None:
        raise OSError("no system call bpf is known here")
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(number, command, attributes, ctypes.sizeof(attributes)))
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return result


def _buffer(data: bytes) -> t.Any:
    return ctypes.create_string_buffer(data, max(len(data), 128))


class Programs:
    """The programs that were ever loaded: no event tells of a new one, but their numbers only grow."""

    def __init__(self) -> None:
        self._newest = 0
        self._just_now = False

    def grew(self) -> bool:
        """Tell whether there is a new one since the last time, or the one before: it is loaded first, then attached."""
        before, earlier = self._newest, self._just_now
        with contextlib.suppress(OSError):  # ENOENT: that was the last
            while True:
                asked = _buffer(struct.pack("=III", self._newest, 0, 0))
                _bpf(PROG_GET_NEXT_ID, asked)
                self._newest = struct.unpack_from("=II", asked.raw)[1]
        self._just_now = self._newest > before
        return self._just_now or earlier


def verdict(program: int, frame: bytes) -> int:
    """Return what an XDP program, named by its id, makes of an Ethernet frame.

    :raises OSError: when the kernel does not tell.
    """
    descriptor = _bpf(PROG_GET_FD_BY_ID, _buffer(struct.pack("=III", program, 0, 0)))
    try:
        given = ctypes.create_string_buffer(frame, len(frame))
        room = ctypes.create_string_buffer(LARGEST_FRAME)
        places = (ctypes.addressof(given), ctypes.addressof(room))
        asked = _buffer(TEST_RUN.pack(descriptor, 0, len(frame), LARGEST_FRAME, *places, 1, 0, 0, 0, 0, 0, 0, 0, 0))
        _bpf(PROG_TEST_RUN, asked)
        return int(TEST_RUN.unpack_from(asked.raw)[1])
    finally:
        os.close(descriptor)


def drops(program: int, frames: t.Iterable[bytes], *, vanishes: t.Collection[int] = XDP_VANISHES) -> bool:
    """Tell whether a program lets any of these frames vanish; what cannot be told counts as no.

    :arg vanishes: The verdicts that say so.
    """
    for frame in frames:
        with contextlib.suppress(OSError):
            if verdict(program, frame) in vanishes:
                return True
    return False


def cut_links(device: int, programs: t.Collection[int]) -> int:
    """Cut every link of some XDP programs to a device, named by its index; return how many there were.

    Devices of other network namespaces have the same indices, so that the programs count, too.
    """
    cut, link = 0, 0
    with contextlib.suppress(OSError):  # ENOENT: that was the last
        while True:
            asked = _buffer(struct.pack("=III", link, 0, 0))
            _bpf(LINK_GET_NEXT_ID, asked)
            link = struct.unpack_from("=II", asked.raw)[1]
            with contextlib.suppress(OSError):  # it is gone already
                cut += _cut_if_xdp(link, device, programs)
    return cut


def _cut_if_xdp(link: int, device: int, programs: t.Collection[int]) -> int:
    descriptor = _bpf(LINK_GET_FD_BY_ID, _buffer(struct.pack("=III", link, 0, 0)))
    try:
        room = ctypes.create_string_buffer(256)
        asked = struct.pack("=IIQ", descriptor, len(room), ctypes.addressof(room))
        _bpf(OBJ_GET_INFO_BY_FD, _buffer(asked))
        kind, _number, program, index = LINK_INFO.unpack_from(room.raw)
        if (kind, index) != (LINK_TYPE_XDP, device) or program not in programs:
            return 0
        _bpf(LINK_DETACH, _buffer(struct.pack("=I", descriptor)))
        return 1
    finally:
        os.close(descriptor)


def take_off_tcx(device: int, frames: t.Iterable[bytes], *, way: int) -> int:
    """Take those programs of the traffic control off a device that let any of these frames vanish; return how many.

    :arg device: Its index.
    :arg way: ``TCX_INGRESS`` or ``TCX_EGRESS``.
    """
    taken = 0
    frames = list(frames)
    for program, link in _tcx_programs(device, way):
        if drops(program, frames, vanishes=TCX_VANISHES):
            with contextlib.suppress(OSError):  # it is gone already
                _take_off(device, program, link, way)
                taken += 1
    return taken


def _tcx_programs(device: int, way: int) -> list[tuple[int, int]]:
    """Return the ids of programs and of their links, 0 for none; nothing where the kernel (before 6.6) has no such."""
    programs, links = ((ctypes.c_uint32 * MOST_PROGRAMS)() for _number in range(2))
    places = (ctypes.addressof(programs), ctypes.addressof(links))
    asked = _buffer(QUERY.pack(device, way, 0, 0, places[0], MOST_PROGRAMS, 0, places[1], 0, 0))
    try:
        _bpf(PROG_QUERY, asked)
    except OSError:
        return []
    count = QUERY.unpack_from(asked.raw)[5]
    return list(zip(programs[:count], links[:count]))


def _take_off(device: int, program: int, link: int, way: int) -> None:
    get, number = (LINK_GET_FD_BY_ID, link) if link else (PROG_GET_FD_BY_ID, program)
    descriptor = _bpf(get, _buffer(struct.pack("=III", number, 0, 0)))
    try:
        if link:
            _bpf(LINK_DETACH, _buffer(struct.pack("=I", descriptor)))
        else:
            _bpf(PROG_DETACH, _buffer(struct.pack("=IIII", device, descriptor, way, 0)))
    finally:
        os.close(descriptor)
