from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import describe


@pytest.fixture
def shop(manifest: t.Any) -> t.Any:
    return manifest["databases"]["shop"]


def found(expected: t.Any, change: t.Any, **options: t.Any) -> t.Any:
    actual = copy.deepcopy(expected)
    change(actual)
    return describe.differences(expected=expected, actual=actual, **{"same_series": True, **options})


def test_equal_is_equal(shop: t.Any) -> None:
    assert found(shop, lambda _: None) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d["tables"].pop("orders"), "table `orders` is missing"),
        (lambda d: d["tables"].update(new=d["tables"]["items"]), "table `new` is not expected"),
        (lambda d: d["tables"]["orders"].update(rows=1), "table `orders` has 1 rows instead of 2"),
        (
            lambda d: d["tables"]["orders"].update(checksum="b" * 32),
            "table `orders` has the right number of rows (2) but other content",
        ),
        (
            lambda d: d["tables"]["orders"].update(structure="x"),
            "table `orders` has the right content but other columns, indexes or foreign keys",
        ),
        (lambda d: d["objects"]["routines"].pop("function f"), "routine `function f` is missing"),
        (lambda d: d["objects"]["routines"].update({"function f": "x"}), "routine `function f` has another definition"),
        (lambda d: d["objects"]["triggers"].update(t="x"), "trigger `t` is not expected"),
        (lambda d: d["objects"]["views"].update(v="x"), "view `v` has another definition"),
    ],
)
def test_each_difference_is_one_sentence(shop: t.Any, change: t.Any, sentence: t.Any) -> None:
    assert found(shop, change) == [sentence]


def test_other_series_print_views_and_columns_otherwise(shop: t.Any) -> None:
    def reprint(d: t.Any) -> None:
        d["objects"]["views"]["v"] = "x"
        d["tables"]["orders"]["structure"] = "x"

    assert found(shop, reprint, same_series=False) == []


def test_a_restore_is_not_judged_by_how_views_print(shop: t.Any) -> None:
    assert found(shop, lambda d: d["objects"]["views"].update(v="x"), compare_views=False) == []
    assert found(shop, lambda d: d["objects"]["views"].clear(), compare_views=False) == ["view `v` is missing"]


def test_rows_and_tables_are_counted(manifest: t.Any) -> None:
    assert describe.count_rows(databases=manifest["databases"]) == 2
    assert describe.count_tables(databases=manifest["databases"]) == 2
