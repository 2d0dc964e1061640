#!/usr/bin/python
# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: http_check
short_description: Ask a web service and require good answers
version_added: "0.1.0"
description:
  - Sends a number of requests to each URL, each on a new connection, and fails unless every one is answered well.
  - Runs on the host from which the service must be reachable, for example the balancer.
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
extends_documentation_fragment: phoenix.webstack.attributes.reads_only
options:
  urls:
    description: What is asked.
    type: list
    elements: str
    required: true
  requests:
    description: How often each URL must answer well in a row.
    type: int
    default: 1
  wait:
    description: How many seconds to wait for the first good answer of each URL.
    type: int
    default: 0
  timeout:
    description: Seconds that one answer may take.
    type: int
    default: 5
  status:
    description: The HTTP status of a good answer.
    type: int
    default: 200
"""

EXAMPLES = r"""
- name: Require a hundred good answers of a hundred
  phoenix.webstack.http_check:
    urls: [http://192.0.2.10/]
    requests: 100
"""

RETURN = r"""
answers:
  description: Good answers of each URL.
  returned: always
  type: dict
seconds:
  description: How long it took.
  returned: always
  type: float
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._http import BadAnswerError, ask, ask_until


def main() -> None:
    """Ask every URL as often as is wanted, and stop at the first bad answer."""
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "required": True},
            "requests": {"type": "int", "default": 1},
            "wait": {"type": "int", "default": 0},
            "timeout": {"type": "int", "default": 5},
            "status": {"type": "int", "default": 200},
        },
        supports_check_mode=True,
    )
    wanted = {"status": module.params["status"], "timeout": module.params["timeout"]}
    answers = dict.fromkeys(module.params["urls"], 0)
    started = time.monotonic()
    url = ""
    try:
        for url in answers:
            ask_until(url, deadline=time.monotonic() + module.params["wait"], **wanted)
            answers[url] = 1
            while answers[url] < module.params["requests"]:
                ask(url, **wanted)
                answers[url] += 1
    except BadAnswerError as fault:
        module.fail_json(
            msg=f"{url} {fault} (after {answers[url]} good answers of {module.params['requests']}). "
            f"Look at it from this host: curl -v {url}",
            answers=answers,
            seconds=round(time.monotonic() - started, 3),
        )
    module.exit_json(changed=False, answers=answers, seconds=round(time.monotonic() - started, 3))


if __name__ == "__main__":
    main()
