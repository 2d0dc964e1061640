"""Make broken copies of a dump set, one for each way it can be broken, and say what a restore must answer.

Usage: break_dumps.py SET DIRECTORY HOST; prints a JSON list of {case, path, expected}.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

MANIFEST = "manifest.json"
SCHEMA, DATA = "kinds.schema.sql.zst", "kinds.data-01.sql.zst"
VIEWS = "kinds.views.sql.zst"
ANOTHER_DUMP = "Copy it again, or take a new dump: ansible-playbook phoenix.webstack.back_up_database"
TAKEN_BACK = " Everything loaded was taken back: `kinds` on {host} is as it was before."


def edit(path: Path, change: t.Callable[[dict[str, t.Any]], object]) -> dict:
    """Change the manifest of a set in place."""
    manifest = json.loads((path / MANIFEST).read_text())
    change(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))
    return manifest


def replace(path: Path, file: str, data: bytes) -> None:
    """Change a file and make the manifest agree with it."""
    (path / file).write_bytes(data)

    def change(manifest: dict[str, t.Any]) -> None:
        entry = next(entry for entry in manifest["databases"]["kinds"]["files"] if entry["file"] == file)
        entry.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())

    edit(path, change)


def rewrite(path: Path, file: str, change: t.Callable[[bytes], bytes]) -> None:
    """Change the text of a file and make the manifest agree with it."""
    text = subprocess.run(["zstd", "-dc", path / file], check=True, capture_output=True).stdout
    changed = change(text)
    assert changed != text
    replace(path, file, subprocess.run(["zstd", "-c"], input=changed, check=True, capture_output=True).stdout)


def truncated(path: Path) -> str:
    data = (path / DATA).read_bytes()
    (path / DATA).write_bytes(data[:-100])
    return f"{path / DATA} has {len(data) - 100} bytes instead of {len(data)}: it is cut off or was changed."


def flipped(path: Path) -> str:
    """One bit in the middle of each file: every one is named."""
    expected = ""
    for entry in json.loads((path / MANIFEST).read_text())["databases"]["kinds"]["files"]:
        file = path / entry["file"]
        data = bytearray(file.read_bytes())
        good = hashlib.sha256(data).hexdigest()
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        bad = hashlib.sha256(data).hexdigest()
        expected += f"\n- {file} has the SHA-256 {bad} instead of {good}: its content is damaged. {ANOTHER_DUMP}"
    return expected


def missing(path: Path) -> str:
    (path / DATA).unlink()
    return f"{path / DATA} is missing."


def no_manifest(path: Path) -> str:
    (path / MANIFEST).unlink()
    return f"{path} has no manifest.json: it is no dump set, or only a part of one."


def other_schema(path: Path) -> str:
    edit(path, lambda m: m.update(schema="phoenix.webstack.dump/9"))
    return (
        f"{path / MANIFEST} has the schema `phoenix.webstack.dump/9`; this version of the collection reads "
        "`phoenix.webstack.dump/3`. Dump anew, or use the version of the collection that wrote it."
    )


def newer_server(path: Path) -> str:
    manifest = edit(path, lambda m: m.update(version="99.1.2"))
    name = {"mariadb": "MariaDB", "mysql": "MySQL"}[manifest["engine"]]
    return f"The dump is of {name} 99.1.2, newer than this server ("


def foreign_definer(path: Path) -> str:
    edit(path, lambda m: m["databases"]["kinds"].update(definers=["gone@10.0.0.1", "root@localhost"]))
    return (
        "Views, triggers, routines or events of the dump belong to accounts that this server does not have: "
        "gone@10.0.0.1. Create them first (mysql_users of the role `mysql`)."
    )


def too_large(path: Path) -> str:
    edit(path, lambda m: m["databases"]["kinds"].update(bytes=10**15))
    return "this restore wants 1091.4 TiB there."


def use_statement(path: Path) -> str:
    rewrite(
        path,
        SCHEMA,
        lambda text: text.replace(b"\nDROP TABLE IF EXISTS `child`;", b"\nUSE mysql;\nDROP TABLE IF EXISTS `child`;"),
    )
    return f"{path / SCHEMA} holds a statement that reaches beyond database `kinds`: USE mysql;"


def no_compression(path: Path) -> str:
    replace(path, DATA, b"This is no compressed file, whatever its name says.")
    return f"{path / DATA} cannot be decompressed: "


def several(path: Path) -> str:
    first, second = missing(path), foreign_definer(path)
    return f"\n- {first} {ANOTHER_DUMP}\n- {second}"


def bad_statement(path: Path) -> str:
    rewrite(
        path,
        SCHEMA,
        lambda text: text.replace(
            b"\nDROP TABLE IF EXISTS `places`;", b"\nNO SUCH STATEMENT;\nDROP TABLE IF EXISTS `places`;"
        ),
    )
    return "You have an error in your SQL syntax"


def lost_rows(path: Path) -> str:
    def change(manifest: t.Any) -> None:
        manifest["databases"]["kinds"]["tables"]["child"]["rows"] = 3
        manifest["databases"]["kinds"]["tables"]["texts"]["checksum"] = "0" * 16

    edit(path, change)
    return (
        "The data loaded for `kinds` is not what the dump's manifest says: table `child` has 2 rows instead of 3; "
        "table `texts` has the right number of rows (6) but other content." + TAKEN_BACK
    )


def bad_view(path: Path) -> str:
    """Found when all the tables have taken their place already, and have to go back."""
    rewrite(path, VIEWS, lambda text: text.replace(b"from `b_view`", b"from `no_view`"))
    return "Loading database `kinds` failed: ERROR 1146 (42S02) at line"


def lost_trigger(path: Path) -> str:
    edit(path, lambda m: m["databases"]["kinds"]["objects"]["triggers"].update(other="0" * 32))
    return "What was made in `kinds` is not what the dump's manifest says: trigger `other` is missing." + TAKEN_BACK


CASES = [
    truncated,
    flipped,
    missing,
    no_manifest,
    other_schema,
    newer_server,
    foreign_definer,
    too_large,
    use_statement,
    no_compression,
    several,
    bad_statement,
    lost_rows,
    bad_view,
    lost_trigger,
]


def main() -> None:
    source, directory, host = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    shutil.rmtree(directory, ignore_errors=True)
    cases = []
    for case in CASES:
        path = directory / case.__name__
        shutil.copytree(source, path)
        expected = case(path).replace("{host}", host)
        cases.append({"case": case.__name__, "path": str(path), "expected": expected})
    partial = directory / f"{source.name}.partial"
    shutil.copytree(source, partial)
    cases.append(
        {
            "case": "partial",
            "path": str(partial),
            "expected": f"Restoring {partial} on {host} is refused, nothing was changed: {partial} is the remains "
            "of a dump that never finished; choose a whole one.",
        }
    )
    cases.append(
        {
            "case": "absent",
            "path": str(directory / "absent"),
            "expected": f"There is no dump set at {directory}/absent. Look what there is with: ls -l {directory}",
        }
    )
    print(json.dumps(cases))


if __name__ == "__main__":
    main()
