"""Wait until a restore is in the middle of loading a database, and kill it without a word.

Usage: kill_while_loading.py STATE_DIRECTORY DATABASE; prints what was there at that moment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def tables(database: str) -> int:
    query = f"SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{database}__incoming'"
    done = subprocess.run(["mysql", "-N", "-e", query], check=True, capture_output=True, text=True)
    return int(done.stdout)


def main() -> None:
    directory, database = Path(sys.argv[1]), sys.argv[2]
    state = directory / f"{database}.json"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if state.exists() and json.loads(state.read_text())["state"] == "loading" and tables(database) > 2:
            process = int((directory / ".lock").read_text())
            os.kill(process, signal.SIGKILL)
            print(f"killed {process} with {tables(database)} tables loaded")
            return
        time.sleep(0.02)
    sys.exit("the restore was never seen loading")


if __name__ == "__main__":
    main()
