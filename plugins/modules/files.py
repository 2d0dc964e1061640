#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the files of a service, all of them in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Hold the files of a service, all of them in one call
version_added: "0.2.0"
description:
  - Compares content, owner, group and mode of a list of files with what is on the host, and writes those that differ,
    each in one step, so that a reader finds the old or the new content whatever dies meanwhile.
  - One call for the whole list, where M(ansible.builtin.template) takes two for each file. Templates are rendered by
    P(ansible.builtin.template#lookup).
  - Every file is validated before the first one is written.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
attributes:
  check_mode:
    description: Predicts what would be written, and validates it.
    support: full
  diff_mode:
    description: Shows the files that differ, but for what O(files[].secret_content) says.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
options:
  files:
    description: The files, in the order in which they are written.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the file is. Its folder must exist.
        type: path
        required: true
      content:
        description: All of its text. Give it or O(files[].secret_content).
        type: str
      secret_content:
        description: All of its text, where that is in no log and in no diff.
        type: str
      owner:
        description: The user it belongs to.
        type: str
        default: root
      group:
        description: The group it belongs to.
        type: str
        default: root
      mode:
        description: Its permissions, as octal digits.
        type: str
        default: "0644"
      validate:
        description:
          - A command that accepts or refuses the new file, with V(%s) for the path of a copy of it.
          - It is asked only where the content differs, and runs without a shell.
        type: str
seealso:
  - module: ansible.builtin.template
  - plugin: ansible.builtin.template
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Write the unit and its settings
  phoenix.webstack.files:
    files:
      - path: /etc/systemd/system/shop.service
        content: "{{ lookup('ansible.builtin.template', 'service.j2') }}"
      - path: /etc/default/shop
        secret_content: "{{ lookup('ansible.builtin.template', 'environment.j2') }}"
        group: shop
        mode: "0640"
      - path: /etc/nginx/nginx.conf
        content: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
        validate: /usr/sbin/nginx -t -q -c %s
"""

RETURN = r"""
written:
  description: The files that differed, in content or in who may do what with them.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/shop.service]
path:
  description: The file that was refused.
  returned: when it was refused
  type: str
stderr:
  description: What the command of O(files[].validate) said.
  returned: when it refused a file
  type: str
"""

import dataclasses
import grp
import os
import pwd
import shlex
import tempfile
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner, ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError

UNKNOWN = -1  # a user who was only announced (check mode) has no number yet

ARGUMENTS: dict[str, t.Any] = {
    "files": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str"},
            "secret_content": {"type": "str", "no_log": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0644"},
            "validate": {"type": "str"},
        },
        "mutually_exclusive": [("content", "secret_content")],
        "required_one_of": [("content", "secret_content")],
    },
}


@dataclasses.dataclass(frozen=True)
class Face:
    """What can be told of a file: its content (None: no such file), mode, and the numbers of its owner and group."""

    content: bytes | None
    mode: int = 0
    uid: int = 0
    gid: int = 0

    def describe(self, *, secret: bool) -> str:
        """Give it as the text of a diff."""
        if self.content is None:
            return ""
        text = "(secret)\n" if secret else self.content.decode("utf-8", "replace")
        return f"# mode {self.mode:04o}, owner {self.uid}, group {self.gid}\n{text}"


def look(path: Path) -> Face:
    """Read a file as it is.

    :raises WebstackError: when something else has its name.
    """
    if path.is_file():
        found = path.stat()
        return Face(path.read_bytes(), found.st_mode & 0o7777, found.st_uid, found.st_gid)
    if path.exists() or path.is_symlink():
        raise WebstackError(f"{path} is no file. Nothing was changed. Move it away and run again.", path=str(path))
    return Face(None)


def wanted(entry: t.Mapping[str, t.Any], *, check_mode: bool) -> Face:
    """Give a file as it has to be.

    :raises WebstackError: when its owner, group or mode means nothing on this host.
    """
    try:
        return Face(
            (entry["content"] or entry["secret_content"] or "").encode("utf-8", "surrogateescape"),
            int(entry["mode"], 8),
            _number(lambda: pwd.getpwnam(entry["owner"]).pw_uid, check_mode=check_mode),
            _number(lambda: grp.getgrnam(entry["group"]).gr_gid, check_mode=check_mode),
        )
    except (KeyError, ValueError) as error:
        raise WebstackError(
            f"{entry['path']} cannot belong to {entry['owner']}:{entry['group']} with mode {entry['mode']}: {error}. "
            "Nothing was changed.",
            path=entry["path"],
        ) from error


def _number(look_up: t.Callable[[], int], *, check_mode: bool) -> int:
    try:
        return look_up()
    except KeyError:
        if check_mode:
            return UNKNOWN
        raise


def write(path: Path, face: Face) -> None:
    """Put a file in place in one step, nobody's to read before it is whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(face.content or b"")
            os.fchown(file.fileno(), face.uid, face.gid)
            os.fchmod(file.fileno(), face.mode)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def validate(*, runner: CommandRunner, command: str, path: str, content: bytes) -> None:
    """Ask a command about a file's new content.

    :raises WebstackError: with the command's own words, the path of the copy put back to the real one.
    """
    with tempfile.NamedTemporaryFile(prefix="webstack-") as copy:
        copy.write(content)
        copy.flush()
        done = runner.run([word.replace("%s", copy.name) for word in shlex.split(command)], check=False)
    if done.rc != 0:
        words = (done.stderr or done.stdout).replace(copy.name, path).strip()
        raise WebstackError(f"{path} is refused: {words}", path=path, stderr=words, stdout=done.stdout)


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare, validate, write, and return the module's result."""
    runner = ModuleCommandRunner(module=module)
    pairs = [
        (entry, look(Path(entry["path"])), wanted(entry, check_mode=module.check_mode))
        for entry in module.params["files"]
    ]
    differing = [(entry, before, after) for entry, before, after in pairs if before != after]
    for entry, before, after in differing:
        if entry["validate"] and before.content != after.content:
            validate(runner=runner, command=entry["validate"], path=entry["path"], content=after.content or b"")
    if not module.check_mode:
        for entry, _before, after in differing:
            write(Path(entry["path"]), after)
    return {
        "changed": bool(differing),
        "written": [entry["path"] for entry, _before, _after in differing],
        "diff": [
            {
                "before_header": entry["path"],
                "after_header": entry["path"],
                "before": before.describe(secret=entry["secret_content"] is not None),
                "after": after.describe(secret=entry["secret_content"] is not None),
            }
            for entry, before, after in differing
        ],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = run(module)
    except (WebstackError, OSError) as error:
        data = error.data if isinstance(error, WebstackError) else {}
        module.fail_json(msg=str(error), **data)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
