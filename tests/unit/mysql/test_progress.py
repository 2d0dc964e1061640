from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.progress import Progress, describe


def test_others_read_how_far_it_is(tmp_path: Path) -> None:
    now = [100.0]
    progress = Progress(path=tmp_path / ".progress.json", clock=lambda: now[0])

    def read() -> dict[str, object]:
        return dict(json.loads((tmp_path / ".progress.json").read_text()))

    progress.begin("load shop", total=1000)
    assert read() == {"phase": "load shop", "done": 0, "total": 1000, "seconds": 0.0}
    progress.advance(10)
    assert read()["done"] == 0  # not at every step
    now[0] += 1.5
    progress.advance(20)
    assert read() == {"phase": "load shop", "done": 30, "total": 1000, "seconds": 1.5}
    progress.end()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("done", "total", "seconds", "said"),
    [
        (512 << 20, 1024 << 20, 14.6, "load shop: 512 of 1024 MiB (50 %), 35 MiB/s"),
        (0, 1024 << 20, 0.0, "load shop: 0 of 1024 MiB (0 %)"),
        (3 << 20, 2 << 20, 2.0, "load shop: 3 of 2 MiB (100 %), 2 MiB/s"),
        (0, 0, 3.2, "load shop, for 3 s"),
    ],
)
def test_people_read_it_too(done: int, total: int, seconds: float, said: str) -> None:
    assert describe({"phase": "load shop", "done": done, "total": total, "seconds": seconds}) == said
