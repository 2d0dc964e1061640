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
  - One call for the whole list, where M(ansible.builtin.template) takes two for each file, and M(ansible.builtin.copy)
    two for each of a folder. Templates are rendered by P(ansible.builtin.template#lookup).
  - Of whole folders (O(trees)) only the files that differ are sent, in one archive.
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
    default: []
    suboptions:
      path:
        description: Where the file is. Its folder must exist.
        type: path
        required: true
      content:
        description: All of its text. Give it or O(files[].secret_content).
        type: str
      sha256:
        description: The checksum of its content. For the files of O(trees); the action plugin sets it.
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
  trees:
    description:
      - Folders of the controller whose files are wanted on the host, with those of the folders in them.
      - Files that are on the host alone stay.
    type: list
    elements: dict
    default: []
    suboptions:
      src:
        description: The folder on the controller. Links are followed, and files of Ansible Vault are decrypted.
        type: path
        required: true
      dest:
        description: The folder on the host. Its parent must exist.
        type: path
        required: true
      owner:
        description: The user that everything in it belongs to.
        type: str
        default: root
      group:
        description: The group that everything in it belongs to.
        type: str
        default: root
      mode:
        description: Permissions of the files, as octal digits.
        type: str
        default: "0644"
      directory_mode:
        description: Permissions of the folders.
        type: str
        default: "0755"
  folders:
    description: Folders. For those of O(trees); the action plugin sets it.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the folder is.
        type: path
        required: true
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
  archive:
    description: What the host lacks of O(trees). The action plugin sets it.
    type: path
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

- name: Bring the application
  phoenix.webstack.files:
    trees:
      - src: "{{ playbook_dir }}/shop"
        dest: /srv/shop
        group: shop
        mode: "0640"
        directory_mode: "0750"
"""

RETURN = r"""
written:
  description: The files and folders that differed, in content or in who may do what with them.
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
import os
import shlex
import tarfile
import tempfile
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._command import CommandRunner, ModuleCommandRunner
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._files import (
    FOLDER,
    Face,
    digest_of,
    look,
    replace_file,
    wanted,
)

OWNERSHIP: dict[str, t.Any] = {
    "path": {"type": "path", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
}
# The action plugin replaces the trees by their folders and files, of which it tells the hash first, and sends the
# content of those that the host asks for.
ARGUMENTS: dict[str, t.Any] = {
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            **OWNERSHIP,
            "content": {"type": "str"},
            "secret_content": {"type": "str", "no_log": True},
            "sha256": {"type": "str"},
            "validate": {"type": "str"},
        },
        "mutually_exclusive": [("content", "secret_content", "sha256")],
        "required_one_of": [("content", "secret_content", "sha256")],
    },
    "trees": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0644"},
            "directory_mode": {"type": "str", "default": "0755"},
        },
    },
    "folders": {"type": "list", "elements": "dict", "default": [], "options": OWNERSHIP},
    "archive": {"type": "path"},
}


@dataclasses.dataclass(frozen=True)
class Item:
    """A file or a folder as it is and as it has to be; its new content, where that is known here."""

    path: Path
    before: Face
    after: Face
    content: bytes | None = None
    secret: bool = False
    validate: str | None = None

    @property
    def differs(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after

    @property
    def lacks_content(self) -> bool:
        """Whether the host has another content, and the new one is not here."""
        differs = self.before.digest != self.after.digest or self.before.link
        return self.content is None and bool(differs) and self.after.digest != FOLDER

    def diff(self) -> dict[str, str]:
        """Show the difference."""
        old = "" if self.before.digest in ("", FOLDER) else self.path.read_bytes().decode("utf-8", "replace")
        new = None if self.content is None else self.content.decode("utf-8", "replace")
        return {
            "before_header": str(self.path),
            "after_header": str(self.path),
            "before": self._describe(self.before, old),
            "after": self._describe(self.after, new),
        }

    def _describe(self, face: Face, text: str | None) -> str:
        if not face.digest:
            return ""
        link = f"# a link to {face.link}\n" if face.link else ""
        head = f"{link}# mode {face.mode:04o}, owner {face.uid}, group {face.gid}\n"
        if self.secret:
            return f"{head}(secret)\n"
        return head + (f"# SHA-256 {face.digest}\n" if self.content is None else text or "")


def file_item(entry: t.Mapping[str, t.Any], *, archive: t.Mapping[str, bytes], check_mode: bool) -> Item:
    """Compare a file."""
    text = entry["content"] if entry["secret_content"] is None else entry["secret_content"]
    content = archive.get(entry["path"]) if text is None else text.encode("utf-8", "surrogateescape")
    digest = entry["sha256"] or digest_of(content or b"")
    return Item(
        path=Path(entry["path"]),
        before=look(Path(entry["path"])),
        after=wanted(entry, digest=digest, check_mode=check_mode),
        content=content,
        secret=entry["secret_content"] is not None,
        validate=entry["validate"],
    )


def folder_item(entry: t.Mapping[str, t.Any], *, check_mode: bool) -> Item:
    """Compare a folder."""
    path = Path(entry["path"])
    return Item(path=path, before=look(path, folder=True), after=wanted(entry, digest=FOLDER, check_mode=check_mode))


def read_archive(path: str | None) -> dict[str, bytes]:
    """Give the content of the files that were sent, by their path on the host."""
    if path is None:
        return {}
    with tarfile.open(path) as archive:
        members = ((member, archive.extractfile(member)) for member in archive)
        return {f"/{member.name}": file.read() for member, file in members if file is not None}


def put(item: Item) -> None:
    """Make a file or a folder as it has to be."""
    if item.after.digest == FOLDER:
        item.path.mkdir(mode=0o700, exist_ok=True)
    elif item.before.digest != item.after.digest or item.before.link:
        after = item.after
        replace_file(item.path, item.content or b"", mode=after.mode, owner=(after.uid, after.gid))
        return
    os.chown(item.path, item.after.uid, item.after.gid)
    item.path.chmod(item.after.mode)


def validate(*, runner: CommandRunner, command: str, path: Path, content: bytes) -> None:
    """Ask a command about a file's new content.

    :raises WebstackError: with the command's own words, the path of the copy put back to the real one.
    """
    with tempfile.NamedTemporaryFile(prefix="webstack-") as copy:
        copy.write(content)
        copy.flush()
        done = runner.run([word.replace("%s", copy.name) for word in shlex.split(command)], check=False)
    if done.rc != 0:
        words = (done.stderr or done.stdout).replace(copy.name, str(path)).strip()
        raise WebstackError(f"{path} is refused: {words}", path=str(path), stderr=words, stdout=done.stdout)


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Compare, validate, write, and return the module's result."""
    archive = read_archive(module.params["archive"])
    items = [folder_item(entry, check_mode=module.check_mode) for entry in module.params["folders"]]
    items += [file_item(entry, archive=archive, check_mode=module.check_mode) for entry in module.params["files"]]
    missing = [str(item.path) for item in items if item.lacks_content]
    if missing and not module.check_mode:
        return {"changed": False, "missing": missing}
    differing = [item for item in items if item.differs]
    runner = ModuleCommandRunner(module=module)
    for item in differing:
        if item.validate and item.before.digest != item.after.digest:
            validate(runner=runner, command=item.validate, path=item.path, content=item.content or b"")
    diff = [item.diff() for item in differing]
    if not module.check_mode:
        for item in differing:
            put(item)
    return {"changed": bool(differing), "written": [str(item.path) for item in differing], "diff": diff}


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
