"""The user's known_hosts file after a rebuild."""

from __future__ import annotations

import pathlib
import subprocess

from ansible_collections.phoenix.webstack.plugins.action.rebuild_remember import remember

OLD = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFtdRZrhb1lLG3E0HMYTEtV4C3k1I9WLtYG5j8lZ0M2x"
NEW = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFtdRZrhb1lLG3E0HMYTEtV4C3k1I9WLtYG5j8lZ0M2y"


def test_the_new_key_takes_the_place_of_all_old_ones(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"web-01 {OLD}\nweb-01 ecdsa-sha2-nistp256 AAAA\nweb-02 {OLD}", encoding="utf-8")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert remember(host="web-01", keys=[f"web-01 {NEW}"], known_hosts=file)
    found = subprocess.run(
        ["ssh-keygen", "-F", "web-01", "-f", file], capture_output=True, text=True, check=True
    ).stdout
    assert NEW in found
    assert OLD not in found
    assert "ecdsa" not in found
    assert subprocess.run(["ssh-keygen", "-F", "web-02", "-f", file], capture_output=True, check=False).returncode == 0
    assert not remember(host="web-01", keys=[f"web-01 {NEW}"], known_hosts=file)


def test_a_file_that_is_not_there_is_made(tmp_path: pathlib.Path) -> None:
    file = tmp_path / ".ssh" / "known_hosts"
    assert remember(host="web-01", keys=[f"web-01 {NEW}"], known_hosts=file)
    assert file.read_text(encoding="utf-8") == f"web-01 {NEW}\n"
