#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_dump_info
short_description: List the dump sets on a host, newest first
version_added: "0.1.0"
description:
  - Reads the manifests of the dump sets that M(phoenix.webstack.mysql_dump) wrote into a directory.
  - Says of each set whether it is valid, which means that its manifest reads and that every file is there with its
    size. With O(verify=true) the files are read from end to end and held against their checksums.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.reads_only
options:
  directory:
    description: Directory of the dump sets on the managed host.
    type: path
    default: /var/backups/webstack/mysql
  path:
    description: One dump set to look at, instead of all of a directory.
    type: path
  verify:
    description:
      - Read every file and compare its checksum. This takes as long as reading them.
      - What is in encrypted files is not read; M(phoenix.webstack.mysql_restore) does that, in check mode too.
    type: bool
    default: false
seealso:
  - module: phoenix.webstack.mysql_dump
"""

EXAMPLES = r"""
- name: Find the newest valid dump
  phoenix.webstack.mysql_dump_info:
  become: true
  register: dumps

- name: Show it
  ansible.builtin.debug:
    msg: "{{ (dumps.sets | selectattr('valid') | first).path }}"
"""

RETURN = r"""
sets:
  description: The dump sets, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Name of the set.
      type: str
    path:
      description: Its directory.
      type: str
    valid:
      description: Whether nothing is wrong with it.
      type: bool
    problems:
      description: What is wrong with it, one sentence each.
      type: list
      elements: str
    unchecked:
      description: With O(verify=true), what could not be looked at, one sentence each.
      type: list
      elements: str
    manifest:
      description: The content of its manifest; none where it cannot be read.
      type: dict
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import manifest as manifests
from ansible_collections.phoenix.webstack.plugins.module_utils._mysql import verify

ENCRYPTED = "It is encrypted: its files were compared with their checksums, and what is in them was not read."

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "directory": {"type": "path", "default": "/var/backups/webstack/mysql"},
    "path": {"type": "path"},
    "verify": {"type": "bool", "default": False},
}


def work(*, module: AnsibleModule) -> dict[str, t.Any]:
    """Read the sets; returns the module's result."""
    if module.params["path"]:
        found = [manifests.describe_set(path=Path(module.params["path"]))]
    else:
        found = manifests.list_sets(directory=Path(module.params["directory"]))
    for entry in found if module.params["verify"] else ():
        if entry["valid"]:
            entry["problems"], entry["unchecked"] = _verify(entry)
            entry["valid"] = not entry["problems"]
    return {"changed": False, "sets": found}


def _verify(entry: dict[str, t.Any]) -> tuple[list[str], list[str]]:
    """Read a set from end to end; what is wrong with it, and what could not be looked at."""
    directory, manifest = Path(entry["path"]), entry["manifest"]
    if not manifest.get("encryption") and manifest["method"] != manifests.PHYSICAL:
        return verify.verify_files(directory=directory, databases=manifest["databases"], workers=2), []
    problems = [
        problem
        for each in manifests.entries_of(manifest)
        for problem in verify.verify_copy(path=directory / each["file"], entry=each)
    ]
    return problems, [ENCRYPTED] if manifest.get("encryption") else []


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**work(module=module))
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)


if __name__ == "__main__":
    main()
