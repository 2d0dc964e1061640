"""Whose doing a difference is: the record of the last apply decides."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.filter.drift_to_correct import drift_to_correct
from ansible_collections.phoenix.webstack.plugins.module_utils._drift import record
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.judge import findings_of, unique
from ansible_collections.phoenix.webstack.plugins.module_utils._drift.model import (
    DRIFT,
    EXTRA,
    PENDING,
    PROBE,
    Difference,
    Item,
    compare_seen,
    unified,
)

OTHER = Difference("it differs")


def classes(item: Item, applied: record.Record, accepted: t.Sequence[str] = ()) -> list[str]:
    return [each["class"] for each in findings_of(item, role="nginx", record=applied, accepted=accepted)]


def applied(*items: Item) -> record.Record:
    return record.Record().with_items(items, keep_seen=False)


def test_a_host_that_differs_from_what_was_applied_has_drifted() -> None:
    item = Item("file:/a", wanted={"content": "one"}, differences=(OTHER,))
    assert classes(item, applied(item)) == [DRIFT]


def test_what_was_wanted_otherwise_at_the_last_apply_is_pending() -> None:
    before = Item("file:/a", wanted={"content": "one"})
    after = Item("file:/a", wanted={"content": "two"}, differences=(OTHER,))
    assert classes(after, applied(before)) == [PENDING]


def test_what_was_never_applied_is_pending() -> None:
    assert classes(Item("file:/a", wanted="x", differences=(OTHER,)), record.Record()) == [PENDING]


@pytest.mark.parametrize("nature", [EXTRA, PROBE])
def test_extras_and_probes_stay_what_they_are(nature: str) -> None:
    item = Item("file:/a", wanted="x", differences=(Difference("it is there", nature),))
    assert classes(item, record.Record()) == [nature]
    assert classes(item, applied(item)) == [nature]


def test_what_was_accepted_is_not_told() -> None:
    item = Item("accounts", differences=(Difference("x", EXTRA, key="account:ana@%"), Difference("y", EXTRA, key="b")))
    assert len(classes(item, record.Record(), ["account:*"])) == 1


def test_a_thing_is_told_once() -> None:
    assert unique([{"id": "a", "role": "x"}, {"id": "a", "role": "y"}]) == [{"id": "a", "role": "x"}]


def test_what_has_come_changed_and_gone_since_the_last_apply() -> None:
    found = compare_seen(before={"/a": "1", "/b": "1"}, now={"/b": "2", "/c": "1"}, title="File", key="file")
    assert [(each.key, each.nature) for each in found] == [
        ("file:/a", DRIFT),
        ("file:/b", DRIFT),
        ("file:/c", EXTRA),
    ]
    assert [each.path for each in found] == ["/a", "/b", "/c"]


def test_a_correction_does_not_make_everything_else_right() -> None:
    before = applied(Item("sshd", seen={"port": "22"}), Item("file:/a", wanted="one"))
    after = before.with_items([Item("sshd", seen={"port": "2222"}), Item("file:/a", wanted="two")], keep_seen=True)
    assert after.seen == {"sshd": {"port": "22"}}
    assert after.wanted != before.wanted


def test_an_apply_of_one_role_keeps_what_is_noted_of_the_others() -> None:
    after = applied(Item("file:/a", wanted="one")).with_items([Item("file:/b", wanted="one")], keep_seen=False)
    assert set(after.wanted) == {"file:/a", "file:/b"}


def test_the_record_comes_back_as_it_was_and_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    kept = applied(Item("file:/a", wanted={"secret_content": "canary"}, seen={"x": "y"}))
    record.store(kept, tmp_path / "state" / "applied.json")
    assert record.load(tmp_path / "state" / "applied.json") == kept
    assert (tmp_path / "state" / "applied.json").stat().st_mode & 0o777 == 0o600
    assert "canary" not in (tmp_path / "state" / "applied.json").read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "applied.json").write_text(text)
    assert not record.load(tmp_path / "applied.json").exists


def test_a_long_diff_is_cut_and_says_so() -> None:
    text = "".join(f"{number}\n" for number in range(500))
    lines = unified(before="", after=text, name="/a").splitlines()
    assert len(lines) == 201
    assert lines[-1].startswith("… and")


def finding(**values: t.Any) -> dict[str, t.Any]:
    return {"id": "file:/a", "role": "nginx", "class": DRIFT, "held": False, **values}


RUN: dict[str, t.Any] = {"correct": ["ufw", "nginx", "haproxy_backend"], "flapping": {"web-01": ["file:/b"]}}


@pytest.mark.parametrize(
    ("findings", "roles"),
    [
        ([], []),
        ([finding()], ["nginx"]),
        ([finding(role="mysql")], []),
        ([finding(held=True)], []),
        ([finding(id="file:/b")], []),
        ([finding(**{"class": PROBE})], []),
        ([finding(**{"class": EXTRA})], []),
        ([finding(**{"class": EXTRA}, role="ufw", id="ufw:allow 81")], ["ufw"]),
        ([finding(**{"class": EXTRA}, role="ufw", id="kernel:x")], []),
        ([finding(), finding(**{"class": PENDING})], []),
        ([finding(), finding(role="ufw")], ["ufw", "nginx"]),
    ],
)
def test_only_what_has_drifted_and_may_be_corrected_is(findings: list[dict[str, t.Any]], roles: list[str]) -> None:
    assert drift_to_correct(findings, RUN, "web-01") == roles
