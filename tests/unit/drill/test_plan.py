"""Requests that are refused, hosts that are in the way, and the choice of the dump."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.phoenix.webstack.plugins.action.drill_adopt import adoptable
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drill import plan


def asked(**other: Any) -> plan.Asked:
    given: dict[str, Any] = {
        "host": "spare",
        "source": "",
        "like": "web-01",
        "own_addresses": ["192.0.2.30"],
        "known_hosts": ["web-01", "web-02", "lb-01", "spare"],
        "web_hosts": ["web-01", "web-02"],
        "balancers": ["lb-01"],
        "addresses": {"web-01": ["192.0.2.11"], "web-02": ["192.0.2.12"], "lb-01": ["192.0.2.10"]},
        "databases": ["shop"],
    }
    return plan.Asked(**{**given, **other})


def dump(moment: str, *, valid: bool = True, databases: tuple[str, ...] = ("shop",)) -> dict[str, Any]:
    manifest = {
        "snapshot_at": moment,
        "method": "logical",
        "databases": {name: {"files": [{"file": f"{name}.data.sql.zst"}]} for name in databases},
    }
    problems = [] if valid else ["shop.data.sql.zst is missing."]
    return {"id": moment, "path": f"/b/{moment}", "manifest": manifest, "valid": valid, "problems": problems}


def test_a_good_request_has_no_problem() -> None:
    assert plan.problems_of_request(asked()) == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"host": ""}, "-e drill_host=spare"),
        ({"host": "spar"}, "Did you mean spare?"),
        ({"host": "web-02"}, "in the group `webservers`"),
        ({"host": "lb-01"}, "in the group `balancers`"),
        ({"own_addresses": ["192.0.2.12"]}, "has the address of web-02 (192.0.2.12)"),
        ({"source": "web-2"}, "Did you mean web-02?"),
        ({"web_hosts": [], "like": ""}, "no web server"),
        ({"databases": []}, "mysql_databases of web-01 is empty"),
    ],
)
def test_a_bad_request_is_refused(other: dict[str, Any], words: str) -> None:
    (problem,) = plan.problems_of_request(asked(**other))
    assert words in problem


def test_all_problems_are_listed_at_once() -> None:
    assert plan.listed(plan.problems_of_request(asked(host="", databases=[]))).startswith("2 things stand")


@pytest.mark.parametrize(
    ("looked", "words"),
    [
        ({"claimed": False, "leftovers": []}, None),
        ({"claimed": True, "leftovers": ["/var/lib/mysql"]}, None),
        ({"claimed": False, "leftovers": ["/var/lib/mysql"]}, "is not bare, and no drill has left that there"),
        ({"unreachable": True, "msg": "timed out"}, "cannot be reached by SSH: timed out."),
        ({"failed": True, "msg": "no python"}, "could not be looked at: no python."),
    ],
)
def test_a_scratch_host_is_bare_or_a_drills(looked: dict[str, Any], words: str | None) -> None:
    problems = plan.problems_of_scratch(asked(), looked)
    assert [words in each for each in problems if words] == ([True] if words else [])
    assert bool(problems) == bool(words)


def backend(**server: str | None) -> dict[str, Any]:
    return {
        "backends": [
            {"name": "web", "servers": [{"name": "s", "file_address": None, "runtime_address": None, **server}]}
        ]
    }


def test_a_host_that_a_balancer_sends_users_to_is_refused() -> None:
    for key in ("file_address", "runtime_address"):
        (problem,) = plan.problems_of_balancers(asked(), {"lb-01": backend(**{key: "192.0.2.30:80"})})
        assert "server s of backend web" in problem
    assert plan.problems_of_balancers(asked(), {"lb-01": backend(file_address="192.0.2.3:80")}) == []
    (problem,) = plan.problems_of_balancers(asked(), {"lb-01": {"unreachable": True, "msg": "refused"}})
    assert "cannot be ruled out" in problem


def test_the_newest_dump_of_all_is_taken() -> None:
    looked = {"web-01": {"sets": [dump("2026-01-01T00:00:00Z")]}, "web-02": {"sets": [dump("2026-01-02T00:00:00Z")]}}
    chosen = plan.last_dump(asked(), looked)
    assert (chosen.source, chosen.snapshot_at) == ("web-02", "2026-01-02T00:00:00Z")
    assert list(chosen.manifest["databases"]) == ["shop"]


def test_a_server_that_is_down_hides_no_other() -> None:
    looked: dict[str, Any] = {
        "web-01": {"unreachable": True, "msg": "x"},
        "web-02": {"sets": [dump("2026-01-02T00:00:00Z")]},
    }
    assert plan.last_dump(asked(), looked).source == "web-02"


def test_no_dump_is_told_with_the_next_command() -> None:
    with pytest.raises(
        WebstackError, match=r"There is no dump on web-01, web-02.*web-01 cannot be reached.*back_up_hosts=web-01"
    ):
        plan.last_dump(asked(), {"web-01": {"unreachable": True, "msg": "x"}, "web-02": {"sets": []}})


def test_the_last_dump_is_not_passed_over_for_an_older_one() -> None:
    sets = [dump("2026-01-02T00:00:00Z", valid=False), dump("2026-01-01T00:00:00Z")]
    with pytest.raises(WebstackError, match=r"is not whole: shop.data.sql.zst is missing"):
        plan.last_dump(asked(), {"web-01": {"sets": sets}})
    with pytest.raises(WebstackError, match="does not hold shop"):
        plan.last_dump(asked(), {"web-01": {"sets": [dump("2026-01-02T00:00:00Z", databases=("other",))]}})


def test_the_scratch_host_takes_over_what_it_has_not_itself() -> None:
    others = ["mysql_databases", "app_source", "webstack_address", "ansible_host", "mine"]
    known = ["mysql_databases", "app_source", "webstack_address"]
    assert adoptable(own=["app_source", "ansible_host"], others=others, known=known) == ["mysql_databases"]
