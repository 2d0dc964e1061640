"""One run at a time, and none for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.lease import SECONDS, LeaseHeldError, Leases
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.store import Store


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(directory=str(tmp_path), name="web")


def leases(store: Store, owner: str, time: Time) -> Leases:
    return Leases(store=store, owner=owner, holder=f"{owner}@desk", now=time)


def test_the_second_one_is_told_who_was_first(store: Store, time: Time) -> None:
    leases(store, "anna", time).take()
    time.now += 30
    with pytest.raises(LeaseHeldError) as caught:
        leases(store, "bert", time).take()
    assert caught.value.message == (
        "Another run is changing this balancer: anna@desk. Nothing was changed."
        " Next: wait until it has ended, and run the playbook again. If it has died, its lease ends in 150 s;"
        f" to end it now, on the balancer: rm {store.lease_path}"
    )
    assert caught.value.data == {"lease": {"owner": "anna", "holder": "anna@desk", "seconds": 150.0}}


def test_the_same_one_renews_it(store: Store, time: Time) -> None:
    anna = leases(store, "anna", time)
    assert not anna.take()
    time.now += SECONDS - 1
    assert anna.take()
    time.now += SECONDS - 1
    with pytest.raises(LeaseHeldError):
        leases(store, "bert", time).take()


def test_it_ends_by_itself_or_with_its_owner(store: Store, time: Time) -> None:
    leases(store, "anna", time).take()
    leases(store, "bert", time).take(dead="anna")
    time.now += SECONDS + 1
    leases(store, "carl", time).take()


def test_it_is_given_back_by_its_owner_only(store: Store, time: Time) -> None:
    anna, bert = leases(store, "anna", time), leases(store, "bert", time)
    anna.take()
    bert.give_back()
    with pytest.raises(LeaseHeldError):
        bert.take()
    anna.give_back()
    bert.take()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": "anna"}'])
def test_half_a_lease_is_nobodys(store: Store, time: Time, text: str) -> None:
    store.write_lease(text)
    leases(store, "bert", time).take()


def test_a_clock_that_was_set_back_keeps_nobody_out(store: Store, time: Time) -> None:
    leases(store, "anna", time).take()
    time.now -= 3600
    leases(store, "bert", time).take()
