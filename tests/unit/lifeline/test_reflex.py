"""SSH put first again as soon as the kernel tells of a rule ahead of it: what it tells, and what it is handed."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline import reflex
from ansible_collections.phoenix.webstack.plugins.module_utils._lifeline.sockets import HEADER, attributes, messages

MARK = b"ssh-lifeline "
INET = 1
INPUT = ("inet", "filter", "input")
OURS = {reflex.RULE_USERDATA: b"\0\x1bssh-lifeline a262e7ab\0"}


def rule(kind: int = reflex.NEW_RULE, **given: bytes) -> bytes:
    """A rule in `inet filter input`, as the kernel tells of it."""
    names = {"position": reflex.RULE_POSITION, "userdata": reflex.RULE_USERDATA}
    told = {reflex.RULE_TABLE: b"filter\0", reflex.RULE_CHAIN: b"input\0"}
    told.update({names[name]: data for name, data in given.items()})
    return reflex.as_message(kind, 0, reflex.as_attributes(told), family=INET)


def chain() -> bytes:
    told = {reflex.TABLE: b"filter\0", reflex.CHAIN_NAME: b"input\0"}
    return reflex.as_message(reflex.NEW_CHAIN, 0, reflex.as_attributes(told), family=INET)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (rule(), {INPUT}),
        (chain(), {INPUT}),
        (rule(position=struct.pack("!Q", 7)), set()),  # behind another
        (rule(userdata=OURS[reflex.RULE_USERDATA]), set()),
        (rule(kind=reflex.NEW_RULE + 2), set()),  # removed
        (rule(position=struct.pack("!Q", 7)) + rule(), {INPUT}),
        (b"", set()),
        (rule()[:10], set()),
    ],
)
def test_where_somebody_goes_ahead(data: bytes, found: set[reflex.Place]) -> None:
    assert reflex.overtaken(data, mark=MARK) == found


def test_a_new_chain_that_sees_packets() -> None:
    names = {reflex.TABLE: b"filter\0", reflex.CHAIN_NAME: b"input\0"}
    hooked = reflex.as_message(
        reflex.NEW_CHAIN, 0, reflex.as_attributes({**names, reflex.CHAIN_HOOK: b"1234"}), family=INET
    )
    assert reflex.new_hooks(chain() + rule()) == set()
    assert reflex.new_hooks(chain() + hooked) == {INPUT}


def test_a_batch_ends_with_the_rule_that_has_to_be_first() -> None:
    rules = [(INET, reflex.as_attributes({reflex.RULE_TABLE: name})) for name in (b"first", b"second")]
    found = list(messages(reflex.as_batch(rules)))
    assert [kind for kind, _message in found] == [
        reflex.BATCH_BEGIN,
        reflex.NEW_RULE,
        reflex.NEW_RULE,
        reflex.BATCH_END,
    ]
    assert [attributes(message[4:])[reflex.RULE_TABLE] for _kind, message in found[1:3]] == [b"second", b"first"]
    flags = {HEADER.unpack_from(reflex.as_batch(rules[:1]), 20)[2]}
    assert flags == {reflex.NLM_F_REQUEST | reflex.NLM_F_CREATE}


def test_expressions_are_marked_as_nested_once_more() -> None:
    packed = reflex.as_attributes({reflex.RULE_EXPRESSIONS: b"12345"})
    assert packed == struct.pack("=HH", 9, reflex.RULE_EXPRESSIONS | 0x8000) + b"12345\0\0\0"
    assert attributes(packed) == {reflex.RULE_EXPRESSIONS: b"12345"}
