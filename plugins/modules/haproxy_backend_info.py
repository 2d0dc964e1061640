#!/usr/bin/python

# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what a balancer's files and its running HAProxy say about every server."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_backend_info
short_description: Tell what HAProxy's files and the running HAProxy say about every server
version_added: "0.1.0"
author:
  - The phoenix.webstack maintainers (@phoenix-webstack)
description:
  - Returns every backend with its servers, their addresses in the files and in the running HAProxy, and their health.
  - Works as well on a host where HAProxy is not running or not installed.
extends_documentation_fragment: phoenix.webstack.attributes.reads_only
options:
  name:
    description:
      - Return this backend only. By default all.
    type: str
  config_file:
    description:
      - HAProxy's main configuration file.
    type: path
    default: /etc/haproxy/haproxy.cfg
  config_directory:
    description:
      - The directory HAProxy reads beside it.
    type: path
    default: /etc/haproxy/conf.d
  socket:
    description:
      - HAProxy's admin socket.
    type: path
    default: /run/haproxy/admin.sock
seealso:
  - module: phoenix.webstack.haproxy_backend
"""

EXAMPLES = r"""
- name: See the balancer's servers
  phoenix.webstack.haproxy_backend_info:
    name: web
  register: balancer

- name: Publish the same service on another balancer
  phoenix.webstack.haproxy_backend:
    name: "{{ service.name }}"
    bind: "{{ service.bind }}"
    servers: "{{ service.servers }}"
    balance: "{{ service.balance }}"
    check_path: "{{ service.check_path }}"
    check_host: "{{ service.check_host }}"
    check_interval: "{{ service.check_interval }}"
    check_fall: "{{ service.check_fall }}"
    check_rise: "{{ service.check_rise }}"
    slowstart: "{{ service.slowstart }}"
    server_options: "{{ service.server_options }}"
    frontend_options: "{{ service.frontend_options }}"
    backend_options: "{{ service.backend_options }}"
  vars:
    service: "{{ balancer.backends[0].service }}"
  delegate_to: lb-02

- name: Refuse to go on without a second healthy server
  ansible.builtin.assert:
    that: balancer.backends | map(attribute='servers') | flatten | selectattr('serving') | length > 1
"""

RETURN = r"""
installed:
  description: Whether there is a C(haproxy) command.
  returned: always
  type: bool
running:
  description: Whether HAProxy answers on its admin socket.
  returned: always
  type: bool
pid:
  description: The process id of the worker, V(null) when HAProxy is not running.
  returned: always
  type: int
master_pid:
  description: The process id of the master, which outlives a reload, V(null) when HAProxy is not running.
  returned: always
  type: int
loads_directory:
  description: Whether the running HAProxy was started with O(config_directory) among its files.
  returned: always
  type: bool
stale:
  description: Whether O(config_file) was written after the running HAProxy last read it.
  returned: always
  type: bool
backends:
  description: Every backend with servers in the files or in the running HAProxy.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The backend's name.
      type: str
    file:
      description: The file that describes it, V(null) if none does.
      type: str
    drift:
      description:
        - A sentence for everything in which file and running HAProxy differ, for every server taken out by hand, and
          for a file of this collection that was edited by hand.
      type: list
      elements: str
    service:
      description:
        - The parameters of M(phoenix.webstack.haproxy_backend) that give this very file, V(null) for a backend that is
          not this collection's, or not any more.
      type: dict
    servers:
      description: Its servers.
      type: list
      elements: dict
      contains:
        name:
          description: The server's name.
          type: str
        address:
          description: Where requests go now, or would go by the file when HAProxy is not running.
          type: str
        port:
          description: The port that belongs to it.
          type: int
        weight:
          description: Its share of the requests.
          type: int
        file_address:
          description: Address and port in the file, V(null) if it is not in there.
          type: str
        runtime_address:
          description: Address and port in the running HAProxy, V(null) if it is not in there.
          type: str
        status:
          description:
            - What HAProxy calls it, such as C(UP), C(DOWN), C(DRAIN) or C(MAINT); V(null) when it is not running.
          type: str
        healthy:
          description: Whether the health checks find it well, drained or not.
          type: bool
        serving:
          description: Whether it gets new requests.
          type: bool
        admin:
          description: What was asked for by hand, C(ready), C(drain) or C(maint); V(null) when HAProxy is not running.
          type: str
        last_check:
          description: The outcome of the last health check, such as C(L7OK 200); V(null) when HAProxy is not running.
          type: str
        sessions:
          description: Requests in flight there.
          type: int
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.phoenix.webstack.plugins.module_utils._errors import WebstackError
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy import observe
from ansible_collections.phoenix.webstack.plugins.module_utils._haproxy.client import AdminSocket


def argument_spec() -> dict[str, dict[str, t.Any]]:
    """Describe the module's parameters."""
    return {
        "name": {"type": "str"},
        "config_file": {"type": "path", "default": "/etc/haproxy/haproxy.cfg"},
        "config_directory": {"type": "path", "default": "/etc/haproxy/conf.d"},
        "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        observed = observe.observe(
            runtime=AdminSocket(path=params["socket"]),
            config_file=params["config_file"],
            config_directory=params["config_directory"],
        )
    except WebstackError as error:
        module.fail_json(msg=error.message, **error.data)
    observed["backends"] = [each for each in observed["backends"] if params["name"] in (None, each["name"])]
    module.exit_json(changed=False, installed=module.get_bin_path("haproxy") is not None, **observed)


if __name__ == "__main__":
    main()
