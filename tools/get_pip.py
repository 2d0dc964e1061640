"""Stand in for the get-pip script that ansible-test would download: Python brings a pip along."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: imported, ensurepip switches pip's configuration off.
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
pinned = [argument for argument in sys.argv[1:] if "==" in argument]
subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *pinned], check=True)
