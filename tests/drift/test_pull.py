"""Each host for itself, by the units of the documentation: a host fetches the project from git and looks at itself."""

from __future__ import annotations

import json
import re

import pytest

from tests.drift.control import PROJECT, install, wait_for
from tests.drift.playbook import ROOT, Drift

HOST = "web-01"
HOME = "/var/lib/webstack-pull"
REPOSITORY = "/srv/stack.git"
UNITS = re.compile(r"```ini\n# /etc/systemd/system/(webstack-pull\.\w+)\n(.*?)```", re.DOTALL)
PLAYBOOK = "- ansible.builtin.import_playbook: phoenix.webstack.drift"
# Git refuses a repository of somebody else, and knows nobody to commit as.
COMMIT = f"""\
set -e
command -v git >/dev/null || {{ apt-get -qq update; apt-get -qq install --yes --no-install-recommends git >/dev/null; }}
cd {PROJECT}
echo '{PLAYBOOK}' >drift.yml
git init --quiet --initial-branch=main .
git add ansible.cfg inventory drift.yml
git -c user.name=ana -c user.email=ana@example.org commit --quiet --message=stack
git clone --quiet --bare . {REPOSITORY}
"""


def units() -> dict[str, str]:
    """Return the documentation's units, for this repository, with a timer that does not wait an hour."""
    found = dict(UNITS.findall((ROOT / "docs" / "drift.md").read_text(encoding="utf-8")))
    service = found["webstack-pull.service"].replace("/usr/bin/ansible-pull", f"{PROJECT}/bin/ansible-pull")
    service = service.replace("https://git.example/stack.git", REPOSITORY)
    timer = re.sub(r"OnCalendar=.*", "OnCalendar=*:*:0/10", found["webstack-pull.timer"])
    timer = re.sub(r"RandomizedDelaySec=.*", "RandomizedDelaySec=0\nAccuracySec=1s", timer)
    return {"webstack-pull.service": service, "webstack-pull.timer": timer}


def test_a_host_looks_at_itself(drift: Drift) -> None:
    def state() -> dict[str, str]:
        shown = drift.hand(HOST, "systemctl show webstack-pull.service --property=Result,ExecMainStatus")
        return dict(line.split("=", 1) for line in shown.splitlines())

    def report() -> dict[str, object]:
        shown = drift.hand(HOST, f"cat {HOME}/drift/latest.json 2>/dev/null || echo '{{}}'")
        found: dict[str, object] = json.loads(shown)
        return found

    install(drift, HOST, home=PROJECT)
    try:
        drift.hand(HOST, COMMIT)
        for name, text in units().items():
            drift.hand(HOST, f"cat >/etc/systemd/system/{name} <<'END'\n{text}END")
        drift.hand(HOST, "systemctl daemon-reload; systemctl start webstack-pull.timer")
        wait_for(lambda: report().get("exit_code") == 0, seconds=120)
        assert [host["name"] for host in report()["hosts"]] == [HOST]  # type: ignore[attr-defined]

        drift.hand(HOST, "apt-mark hold nginx")
        wait_for(lambda: report().get("exit_code") == 16 and state()["ExecMainStatus"] == "16", seconds=120)
        assert state()["Result"] == "success"
        assert 'phoenix_drift_items{host="web-01",class="drift"} 1' in drift.hand(HOST, f"cat {HOME}/drift.prom")
    except AssertionError as error:
        journal = drift.hand(HOST, "journalctl --no-pager --lines=60 --unit=webstack-pull.service")
        raise pytest.fail.Exception(f"{error}\n{journal}") from error
    finally:
        drift.hand(HOST, "apt-mark unhold nginx")
        drift.hand(HOST, "systemctl stop webstack-pull.timer webstack-pull.service 2>/dev/null; true")
        left = f"/etc/systemd/system/webstack-pull.* {PROJECT} {REPOSITORY} {HOME} /root/.ansible"
        drift.hand(HOST, f"rm -rf {left}; systemctl daemon-reload")
