# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several modules promise in the same words."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes of modules that change nothing on a host."""

    READS_ONLY = r"""
options: {}
attributes:
  check_mode:
    description: Reads only, so that it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so that there is no difference to show.
    support: none
  idempotent:
    description: Reads only.
    support: full
"""

    ON_CONTROLLER = r"""
options: {}
attributes:
  check_mode:
    description: Does the same in check mode; no host is changed.
    support: full
  diff_mode:
    description: Changes nothing on a host, so that there is no difference to show.
    support: none
  idempotent:
    description: No host is changed.
    support: full
"""
