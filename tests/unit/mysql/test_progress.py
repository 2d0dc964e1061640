from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.phoenix.webstack.plugins.module_utils._mysql.progress import Progress


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
