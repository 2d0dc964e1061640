"""Let the tests import `ansible_collections.phoenix.webstack` as Ansible itself does."""

from __future__ import annotations

import sys
from pathlib import Path

# tools/fill_collections.py links the checkout in there.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / ".ansible" / "collections"))
