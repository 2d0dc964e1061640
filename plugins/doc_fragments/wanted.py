# Copyright: The phoenix.webstack maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role may want of a host."""

from __future__ import annotations


class ModuleDocFragment:
    """The option ``wanted`` of the modules about drift."""

    DOCUMENTATION = r"""
options:
  wanted:
    description: What is wanted of the host, by role. Roles publish it by their tasks file C(wanted.yml).
    type: list
    elements: dict
    required: true
    suboptions:
      role:
        description: The role that wants it, and whose run would mend it.
        type: str
        required: true
      packages:
        description: Packages that are to be installed, and not held back.
        type: list
        elements: str
      files:
        description: Files, as M(phoenix.webstack.files) takes them.
        type: list
        elements: dict
        suboptions:
          path:
            description: Where the file is.
            type: path
            required: true
          content:
            description: All of its text.
            type: str
          secret_content:
            description: All of its text, where that is shown nowhere.
            type: str
          sha256:
            description: The SHA-256 of its content, where that is not here.
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
            description: Not looked at; it is here so that a role has to name its files once.
            type: str
      folders:
        description: Folders of which a service reads every file, so that one that nobody knows is told.
        type: list
        elements: dict
        suboptions:
          path:
            description: The folder.
            type: path
            required: true
          pattern:
            description: The names of the files that the service reads.
            type: str
            default: "*"
      units:
        description: Units of systemd that are to run, now and after a boot.
        type: list
        elements: dict
        suboptions:
          name:
            description: The whole name of the unit.
            type: str
            required: true
      system_users:
        description: Accounts that services run as.
        type: list
        elements: dict
        suboptions:
          name:
            description: The name of the account.
            type: str
            required: true
          home:
            description: Its home.
            type: str
            required: true
          shell:
            description: Its shell.
            type: str
            required: true
      watched:
        description:
          - Files, folders or patterns that are to stay as they were at the last apply, apart from what else is wanted
            of them.
        type: list
        elements: path
      firewall:
        description: The options of M(phoenix.webstack.ufw) that say what the firewall has to be.
        type: dict
        suboptions:
          rules: &list_of_dicts
            description: See M(phoenix.webstack.ufw).
            type: list
            elements: dict
            default: []
          service_rules: *list_of_dicts
          purge: &true_by_default
            description: See M(phoenix.webstack.ufw).
            type: bool
            default: true
          default_incoming:
            description: See M(phoenix.webstack.ufw).
            type: str
            choices: [allow, deny, reject]
            default: deny
          default_outgoing:
            description: See M(phoenix.webstack.ufw).
            type: str
            choices: [allow, deny, reject]
            default: allow
          default_routed:
            description: See M(phoenix.webstack.ufw).
            type: str
            choices: [allow, deny, reject]
            default: deny
          logging:
            description: See M(phoenix.webstack.ufw).
            type: str
            choices: ["off", low, medium, high, full]
            default: low
          ipv6: *true_by_default
          ssh_ports:
            description: See M(phoenix.webstack.ufw).
            type: list
            elements: int
            default: []
          ssh_admin_cidrs:
            description: See M(phoenix.webstack.ufw).
            type: list
            elements: str
            default: []
      ssh_guard:
        description: The options of M(phoenix.webstack.ssh_lifeline).
        type: dict
        suboptions:
          accounts: &list_of_names
            description: See M(phoenix.webstack.ssh_lifeline).
            type: list
            elements: str
            default: []
          admin_cidrs: *list_of_names
          ports:
            description: See M(phoenix.webstack.ssh_lifeline).
            type: list
            elements: int
            default: [22]
          port_thief:
            description: See M(phoenix.webstack.ssh_lifeline).
            type: str
            choices: [stop, report]
            default: stop
          check_seconds:
            description: See M(phoenix.webstack.ssh_lifeline).
            type: int
            default: 300
          metrics:
            description: See M(phoenix.webstack.ssh_lifeline).
            type: str
            default: ""
      balancer:
        description: The options of M(phoenix.webstack.haproxy_backend) that say what is published.
        type: dict
        suboptions:
          name: &required_name
            description: See M(phoenix.webstack.haproxy_backend).
            type: str
            required: true
          bind:
            description: See M(phoenix.webstack.haproxy_backend).
            type: list
            elements: str
            default: ["*:80"]
          servers:
            description: See M(phoenix.webstack.haproxy_backend).
            type: list
            elements: dict
            required: true
            suboptions:
              name: *required_name
              address: *required_name
              port:
                description: See M(phoenix.webstack.haproxy_backend).
                type: int
                required: true
              weight:
                description: See M(phoenix.webstack.haproxy_backend).
                type: int
                default: 1
              state:
                description: See M(phoenix.webstack.haproxy_backend).
                type: str
                choices: [ready, drain]
          balance:
            description: See M(phoenix.webstack.haproxy_backend).
            type: str
            default: roundrobin
          check_path:
            description: See M(phoenix.webstack.haproxy_backend).
            type: str
            default: /healthz
          check_host:
            description: See M(phoenix.webstack.haproxy_backend).
            type: str
            default: localhost
          check_interval:
            description: See M(phoenix.webstack.haproxy_backend).
            type: float
            default: 1.0
          check_fall: &two
            description: See M(phoenix.webstack.haproxy_backend).
            type: int
            default: 2
          check_rise: *two
          slowstart:
            description: See M(phoenix.webstack.haproxy_backend).
            type: float
            default: 0.0
          server_options:
            description: See M(phoenix.webstack.haproxy_backend).
            type: str
            default: ""
          frontend_options: &no_lines
            description: See M(phoenix.webstack.haproxy_backend).
            type: list
            elements: str
            default: []
          backend_options: *no_lines
          config_file:
            description: See M(phoenix.webstack.haproxy_backend).
            type: path
            default: /etc/haproxy/haproxy.cfg
          config_directory:
            description: See M(phoenix.webstack.haproxy_backend).
            type: path
            default: /etc/haproxy/conf.d
          socket:
            description: See M(phoenix.webstack.haproxy_backend).
            type: path
            default: /run/haproxy/admin.sock
      database:
        description: The options of M(phoenix.webstack.mysql_accounts).
        type: dict
        suboptions:
          databases:
            description: See M(phoenix.webstack.mysql_accounts).
            type: list
            elements: dict
            default: []
            suboptions:
              name: &required_database
                description: See M(phoenix.webstack.mysql_accounts).
                type: str
                required: true
              encoding: &optional_database
                description: See M(phoenix.webstack.mysql_accounts).
                type: str
              collation: *optional_database
          users:
            description: See M(phoenix.webstack.mysql_accounts).
            type: list
            elements: dict
            default: []
            suboptions: &accounts
              name: *required_database
              host:
                description: See M(phoenix.webstack.mysql_accounts).
                type: str
                default: localhost
              socket:
                description: See M(phoenix.webstack.mysql_accounts).
                type: bool
              password:
                description: Not looked at, since a server does not tell it.
                type: str
              privileges:
                description: See M(phoenix.webstack.mysql_accounts).
                type: dict
              dumps:
                description: See M(phoenix.webstack.mysql_accounts).
                type: list
                elements: str
          login_unix_socket:
            description: See M(phoenix.webstack.mysql_accounts).
            type: path
      accounts:
        description: Accounts of the database that another role than that of the server wants.
        type: list
        elements: dict
        default: []
        suboptions: *accounts
      certificates:
        description: TLS certificates, and for how many days they have to be good.
        type: list
        elements: dict
        suboptions:
          path:
            description: The file of the certificate.
            type: path
            required: true
          days:
            description: How many days it has to be good for.
            type: int
            required: true
      backups:
        description: Dumps of the database. Where none was ever taken, none is missed.
        type: dict
        suboptions:
          directory:
            description: The folder of the dumps.
            type: path
            required: true
          hours:
            description: How old the newest one may be; V(0) for any age.
            type: int
            required: true
          service:
            description: The unit that takes them on schedule; empty where none does.
            type: str
            default: ""
      answers:
        description: URLs that have to answer.
        type: list
        elements: dict
        suboptions:
          url:
            description: The URL; a redirect counts as an answer and is not followed.
            type: str
            required: true
          status:
            description: The status wanted.
            type: int
            default: 200
          header:
            description: A header of the answer that tells which configuration is in force.
            type: str
          value:
            description: The value it has to have.
            type: str
          host:
            description: The host that a bad answer is told of, if not the one that asks.
            type: str
            default: ""
      ssh_ports:
        description: Ports at which an SSH server has to answer, as M(phoenix.webstack.ssh_banner_info) takes them.
        type: list
        elements: dict
        suboptions:
          name:
            description: The name of the host.
            type: str
            required: true
          address:
            description: Its address.
            type: str
            required: true
          port:
            description: The port.
            type: int
            default: 22
          admitted:
            description: Networks to which it is open; from elsewhere it is not tried.
            type: list
            elements: str
            default: []
"""
