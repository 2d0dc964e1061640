from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests


def write_set(directory: t.Any, manifest: t.Any, *, name: t.Any = None) -> t.Any:
    path = directory / (name or manifest["id"])
    path.mkdir()
    (path / "manifest.json").write_text(json.dumps(manifest))
    for file in ("shop.schema.sql.zst", "shop.data-01.sql.zst"):
        (path / file).write_bytes(b"1234")
    return path


def test_a_right_manifest_reads(manifest: t.Any) -> None:
    assert manifests.parse_manifest(text=json.dumps(manifest), origin="m") == manifest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("schema"), "has the schema `None`"),
        (lambda m: m.pop("engine"), "the dump set has no valid `engine`"),
        (lambda m: m["databases"].update(shop=1), "database `shop` is not described"),
        (lambda m: m["databases"]["shop"].update(files={}), "database `shop` has no valid `files`"),
        (lambda m: m["databases"]["shop"]["files"].append("x"), "file 3 of database `shop` is not described"),
        (
            lambda m: m["databases"]["shop"]["files"][0].update(size=True),
            "file 1 of database `shop` has no valid `size`",
        ),
        (lambda m: m["databases"]["shop"]["files"][1].update(file="../evil"), "outside of the set"),
        (lambda m: m["databases"]["shop"]["files"][1].update(file=".."), "outside of the set"),
        (lambda m: m["databases"]["shop"]["files"][1].update(part="more"), "of the unknown part `more`"),
        (lambda m: m["databases"]["shop"]["tables"]["orders"].pop("rows"), "`shop`.`orders` has no valid rows"),
        (
            lambda m: m["databases"]["shop"]["tables"]["orders"].update(checksum="x"),
            "`shop`.`orders` has no valid rows",
        ),
    ],
)
def test_a_wrong_manifest_says_what_is_wrong(manifest: t.Any, change: t.Any, message: t.Any) -> None:
    change(manifest)
    with pytest.raises(WebstackError) as caught:
        manifests.parse_manifest(text=json.dumps(manifest), origin="m")
    assert message in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_what_is_no_manifest_is_refused(text: t.Any) -> None:
    with pytest.raises(WebstackError):
        manifests.parse_manifest(text=text, origin="m")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("shop", "shop.views.sql.zst"),
        ("a/b", "a%2Fb.views.sql.zst"),
        ("..", "%2E%2E.views.sql.zst"),
        ("it`s", "it%60s.views.sql.zst"),
        ("ü", "%C3%BC.views.sql.zst"),
    ],
)
def test_file_names_stay_in_the_set(name: t.Any, file: t.Any) -> None:
    assert manifests.part_file(name, "views") == file


def test_sets_are_listed_newest_first(tmp_path: t.Any, manifest: t.Any) -> None:
    write_set(tmp_path, manifest)
    write_set(tmp_path, {**manifest, "id": "older", "snapshot_at": "2026-01-01T00:00:00.000Z"})
    write_set(tmp_path, manifest, name="20300101T000000Z-x.partial")
    (tmp_path / ".lock").write_text("")
    sets = manifests.list_sets(directory=tmp_path)
    assert [entry["id"] for entry in sets] == [manifest["id"], "older"]
    assert all(entry["valid"] for entry in sets)


def test_damaged_sets_say_so(tmp_path: t.Any, manifest: t.Any) -> None:
    (write_set(tmp_path, manifest) / "shop.data-01.sql.zst").write_bytes(b"123")
    (write_set(tmp_path, {**manifest, "id": "b"}) / "manifest.json").unlink()
    problems = [entry["problems"][0] for entry in manifests.list_sets(directory=tmp_path)]
    assert any("has 3 bytes instead of 4" in problem for problem in problems)
    assert any("has no manifest.json" in problem for problem in problems)


def test_an_unfinished_set_is_not_valid(tmp_path: t.Any, manifest: t.Any) -> None:
    path = write_set(tmp_path, manifest, name="x.partial")
    assert manifests.describe_set(path=path)["problems"] == [f"{path} is the remains of a dump that never finished."]


def test_no_directory_means_no_sets(tmp_path: t.Any) -> None:
    assert manifests.list_sets(directory=tmp_path / "none") == []
