"""Nothing is sent to a server whose identity is not proven."""

from __future__ import annotations

import pytest
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._rebuild import trust

# Public keys made for this test; the fingerprint is the one `ssh-keygen -l` prints.
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFtdRZrhb1lLG3E0HMYTEtV4C3k1I9WLtYG5j8lZ0M2x"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFtdRZrhb1lLG3E0HMYTEtV4C3k1I9WLtYG5j8lZ0M2y"
(KEY,), (STRANGER,) = trust.parse_keys(ED25519), trust.parse_keys(OTHER)


def decide(**changes: object) -> trust.Trust:
    return trust.decide(**{"name": "web-01", "address": "192.0.2.21", "scanned": [KEY], **changes})  # type: ignore[arg-type]


def test_keys_are_read_from_a_scan_a_known_hosts_line_and_a_pub_file() -> None:
    text = f"# 192.0.2.21:22 SSH-2.0-OpenSSH_9.2\n192.0.2.21 {ED25519}\n{ED25519} root@web-01\n"
    assert trust.parse_keys(text) == [KEY, KEY]


@pytest.mark.parametrize("text", ["nonsense", "ssh-ed25519", "ssh-ed25519 not*base64"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(WebstackError, match=r"no SSH public key|damaged"):
        trust.parse_keys(text)


def test_the_strongest_proof_counts() -> None:
    assert decide(expected=[KEY], trust_on_first_use=True).kind == "key"
    assert decide(fingerprints=[KEY.fingerprint], trust_on_first_use=True).kind == "fingerprint"
    assert decide(known=[KEY], trust_on_first_use=True).kind == "known"
    assert decide(trust_on_first_use=True).kind == "first-use"


def test_a_known_hosts_line_carries_the_inventory_name() -> None:
    assert decide(expected=[KEY]).known_hosts == [f"web-01 {ED25519}"]


def test_an_authority_is_left_to_ssh_and_nothing_else_is_believed() -> None:
    proven = decide(authorities=[STRANGER])
    assert proven.known_hosts == [f"@cert-authority web-01 {OTHER}"]
    assert proven.options[0] == "-o"
    assert proven.options[1].startswith("HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com")


@pytest.mark.parametrize("given", [{"expected": [STRANGER]}, {"fingerprints": [STRANGER.fingerprint]}])
def test_a_wrong_proof_is_no_reason_to_try_a_weaker_one(given: dict[str, object]) -> None:
    with pytest.raises(WebstackError, match="does not have the host"):
        decide(**given, known=[KEY], trust_on_first_use=True)


def test_an_unknown_key_is_refused_with_the_command_that_accepts_it() -> None:
    with pytest.raises(WebstackError) as refused:
        decide()
    assert f"-e rebuild_host_key_fingerprint={KEY.fingerprint}" in refused.value.message


def test_silence_is_told_as_such() -> None:
    with pytest.raises(WebstackError, match=r"No SSH server answered at 192\.0\.2\.21"):
        decide(scanned=[])
