#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_journal
short_description: Keep the journal of a drill and report it
version_added: "0.2.0"
description:
  - Notes on the controller what a drill does, and reports it as table, JSON, Markdown and metrics. The report and the
    metrics say from the beginning that the drill has not passed, and so they do where a run dies.
  - Its own files are no change of a managed host, so that it never reports one.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.on_controller
options:
  directory:
    description: Folder of the journal and the reports.
    type: path
    required: true
  metrics:
    description: A file for the textfile collector of node_exporter; empty for none.
    type: str
    default: ""
  keep:
    description: How many reports are kept.
    type: int
    default: 30
  state:
    description:
      - What happened. V(begun) opens a drill, V(phase) enters its next phase or adds to what is known, V(problem)
        notes why it fails, V(finished) closes and reports it.
    type: str
    choices: [begun, phase, problem, finished]
    default: phase
  host:
    description: The scratch host; with O(state=begun).
    type: str
  started_at:
    description: When the drill began (UTC, ISO 8601); with O(state=begun).
    type: str
  phase:
    description: The phase that begins.
    type: str
  facts:
    description: What the drill learnt.
    type: dict
    default: {}
  task:
    description: The task that failed; with O(state=problem).
    type: str
  reason:
    description: What it said; with O(state=problem).
    type: str
"""

EXAMPLES = r"""
- name: Enter the next phase
  phoenix.webstack.drill_journal:
    directory: .webstack/drill
    phase: restore
"""

RETURN = r"""
run:
  description: The journal's content.
  returned: always
  type: dict
passed:
  description: Whether the drill passed.
  returned: always
  type: bool
files:
  description: The report's files, by kind.
  returned: when O(state=finished)
  type: dict
"""
