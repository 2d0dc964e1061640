# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deciding whether the server at an address is the one the admin means."""

from __future__ import annotations

import base64
import binascii
import hashlib
import typing as t

from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

# A host key certificate proves itself to ssh by the CA's line; the scan only sees plain keys.
CERTIFICATE_ALGORITHMS = ",".join(
    f"{name}-cert-v01@openssh.com" for name in ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
)


class HostKey(t.NamedTuple):
    """A public host key: its algorithm (``ssh-ed25519``) and its blob (base64)."""

    algorithm: str
    blob: str

    @property
    def fingerprint(self) -> str:
        """The form that ``ssh-keygen -l`` and cloud consoles show: ``SHA256:…``."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")

    def line(self, *, name: str) -> str:
        """The key as a line of a known_hosts file."""
        return f"{name} {self.algorithm} {self.blob}"


class Trust(t.NamedTuple):
    """Why a host is believed, and what ssh needs to hold it to that.

    ``kind`` is one of ``key``, ``fingerprint``, ``authority``, ``known`` and ``first-use``;
    ``known_hosts`` are whole lines; ``options`` are further options for ssh.
    """

    kind: str
    fingerprint: str
    known_hosts: list[str]
    options: list[str]


def parse_keys(text: str) -> list[HostKey]:
    """Read public keys, one a line, as ``ssh-keyscan``, known_hosts or a .pub file write them.

    :raises WebstackError: A line holds no public key.
    """
    keys = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        start = next((index for index, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-", "sk-"))), None)
        if start is None or start + 1 >= len(words):
            raise WebstackError(f"This is no SSH public key: {line!r}. Give it as `ssh-ed25519 AAAA…`.")
        try:
            base64.b64decode(words[start + 1], validate=True)
        except (binascii.Error, ValueError) as error:
            raise WebstackError(f"The key in {line!r} is damaged ({error}). Copy it again, whole.") from error
        keys.append(HostKey(algorithm=words[start], blob=words[start + 1]))
    return keys


def decide(
    *,
    name: str,
    address: str,
    scanned: t.Sequence[HostKey],
    expected: t.Sequence[HostKey] = (),
    fingerprints: t.Sequence[str] = (),
    authorities: t.Sequence[HostKey] = (),
    known: t.Sequence[HostKey] = (),
    trust_on_first_use: bool = False,
) -> Trust:
    """Choose the strongest proof of identity at hand, or refuse.

    :arg name: The inventory name under which ssh looks the key up (``HostKeyAlias``).
    :arg scanned: What the address presents now; unproven by itself.
    :arg expected: Keys that the admin gave; likewise ``fingerprints``.
    :arg authorities: Keys of the SSH CA that signs host keys.
    :arg known: Keys that an earlier run had proven for this very name and address.
    :raises WebstackError: None of them speaks for the address.
    """
    if not scanned:
        raise WebstackError(
            f"No SSH server answered at {address}. Is the replacement running, is the address right, and does its"
            f" firewall accept port 22 from here? Try: ssh-keyscan {address}"
        )
    preferred = sorted(scanned, key=lambda key: key.algorithm != "ssh-ed25519")
    for kind, match in (
        ("key", [key for key in preferred if key in expected]),
        ("fingerprint", [key for key in preferred if key.fingerprint in fingerprints]),
    ):
        given = expected if kind == "key" else fingerprints
        if match:
            return Trust(kind, match[0].fingerprint, [key.line(name=name) for key in match], [])
        if given:
            raise WebstackError(_wrong_key(address=address, scanned=preferred, given=kind))
    if authorities:
        lines = [f"@cert-authority {key.line(name=name)}" for key in authorities]
        options = ["-o", f"HostKeyAlgorithms={CERTIFICATE_ALGORITHMS}"]
        return Trust("authority", preferred[0].fingerprint, lines, options)
    match = [key for key in preferred if key in known]
    if match:
        return Trust("known", match[0].fingerprint, [key.line(name=name) for key in match], [])
    if trust_on_first_use:
        return Trust("first-use", preferred[0].fingerprint, [key.line(name=name) for key in preferred], [])
    raise WebstackError(_unknown_key(address=address, name=name, scanned=preferred))


def _listed(keys: t.Iterable[HostKey]) -> str:
    return "\n".join(f"  {key.fingerprint} ({key.algorithm})" for key in keys)


def _wrong_key(*, address: str, scanned: t.Sequence[HostKey], given: str) -> str:
    return (
        f"The server at {address} does not have the host {given} that was given. It presents\n{_listed(scanned)}\n"
        "Either the address is another machine's, or somebody is in between: on the new server's"
        " console, compare with: ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub\nNothing was sent to it."
    )


def _unknown_key(*, address: str, name: str, scanned: t.Sequence[HostKey]) -> str:
    return (
        f"The host key of {address} is not known, and the database would be sent there."
        f" It presents\n{_listed(scanned)}\nCompare with what the provider's console shows for the new {name} and run"
        f" again with -e rebuild_host_key_fingerprint={scanned[0].fingerprint}\n"
        "(or with rebuild_host_key or rebuild_host_authority; if you accept the risk, rebuild_trust_on_first_use=true)."
    )
