#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild_journal
short_description: Keep the journal of a rebuild and report it
version_added: "0.1.0"
description:
  - Writes on the controller which phase of a rebuild is under way, so that a killed run goes on where it stopped,
    and makes the report of a finished one as table, JSON and Markdown.
  - Its own files are no change of a managed host, so that it never reports one.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.on_controller
options:
  path:
    description: The journal's file.
    type: path
    required: true
  state:
    description: What happened. V(begun) opens a run, V(phase) enters its next phase, V(finished) closes and reports it.
    type: str
    choices: [begun, phase, finished]
    default: phase
  host:
    description: The host that is rebuilt; with O(state=begun).
    type: str
  address:
    description: Its new address; with O(state=begun).
    type: str
  started_at:
    description: When the run began (UTC, ISO 8601); with O(state=begun).
    type: str
  phase:
    description: The phase that begins.
    type: str
  facts:
    description: What the run learnt, kept in the journal.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Enter the next phase
  phoenix.webstack.rebuild_journal:
    path: .webstack/rebuild/web-01/journal.json
    phase: restore
"""

RETURN = r"""
run:
  description: The journal's content.
  returned: always
  type: dict
report:
  description: The report.
  returned: when O(state=finished)
  type: dict
files:
  description: The report's files, by kind.
  returned: when O(state=finished)
  type: dict
"""
