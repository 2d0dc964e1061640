# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of folders on the controller, as they have to be on a host."""

from __future__ import annotations

import typing as t

from ansible_collections.phoenix.webstack.plugins.action.files import hash_of, walk


def tree_files(trees: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, str]]:
    """Turn the option ``trees`` of ``files`` into the option ``files`` of ``drift_info``, by digests.

    Byte code that Python leaves behind is no part of it.
    """
    found = []
    for tree in trees:
        _folders, files = walk(tree)
        ownership = {key: tree[key] for key in ("owner", "group", "mode") if key in tree}
        found += [
            {"path": path, "sha256": hash_of(source), **ownership}
            for path, source in files.items()
            if "__pycache__" not in source.parts
        ]
    return found


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filter's public name."""
        return {"tree_files": tree_files}
