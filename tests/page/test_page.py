"""The page of drift as an admin sees it, on a desk and on a phone, by day and by night, in a real browser."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift import page
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.history import History
from ansible_collections.phoenix.webstack.plugins.plugin_utils._drift.report import Host, Run, assemble
from selenium import webdriver
from selenium.webdriver.common.by import By

PICTURES = Path(__file__).parents[2] / ".cache" / "page"
SIZES = {"desk": (1280, 900), "phone": (360, 740)}
CONTRAST = 4.5  # WCAG 2.1, 1.4.3, level AA
# The colours that a text has, and what lies behind it.
COLOURS = """
const seen = [];
for (const each of document.querySelectorAll('h1 span, h2, p, b, li, .tag, .mark, summary, pre span, td, th')) {
  if (!each.innerText.trim()) continue;
  let behind = each;
  while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
  seen.push([each.innerText.slice(0, 40), getComputedStyle(each).color, getComputedStyle(behind).backgroundColor]);
}
return seen;
"""


def finding(key: str, kind: str, **values: t.Any) -> dict[str, t.Any]:
    shape = {"id": key, "role": "nginx", "class": kind, "what": key, "diff": "", "path": "", "held": False}
    return shape | values


def look(*findings: dict[str, t.Any], **values: t.Any) -> dict[str, t.Any]:
    return {"findings": list(findings), "looked_at": 212, "applied": True, "hold": None, "data": {}, **values}


def run(number: int, *hosts: Host) -> Run:
    when = f"2026-01-02T03:0{number}:05+00:00"
    return Run(mode="correct", started_at=when, finished_at=when, hosts={host.name: host for host in hosts})


@pytest.fixture(scope="module")
def report() -> dict[str, t.Any]:
    """Return a report in which everything occurs that the page has a place for."""
    diff = "--- before\n+++ after\n@@ -1,2 +1,2 @@\n-worker_processes 1;\n+worker_processes auto; # " + "x" * 200
    changed = {"changed_at": "2026-01-02T02:00:00+00:00", "changed_by": "ana: /usr/bin/vim /etc/nginx/nginx.conf"}
    hold = {"reason": "debugging", "by": "ana", "until": "2026-01-02T06:00:00+00:00"}
    history = History()
    assemble(run(1, Host("web-01", looks=[look(finding("file:/over", "drift"))])), history=history)
    hosts = (
        Host(
            "web-01",
            looks=[
                look(
                    finding("file:/etc/nginx/nginx.conf", "drift", diff=diff, **changed),
                    finding("package:app", "pending"),
                    finding("answer:/readyz", "probe", what="http://192.0.2.11/readyz answers with status 503"),
                    finding("rule:allow", "extra", what="The rule `allow " + "9" * 150 + "` is not ours"),
                    finding("file:/script", "extra", what="<script>document.title = 'taken'</script>"),
                )
            ],
        ),
        Host("web-02", looks=[look(finding("file:/held", "drift", held=True), hold=hold)]),
        Host("web-03", looks=[look()]),
        Host("lb-01", unreachable="Connection timed out"),
    )
    return assemble(run(2, *hosts), history=history)


@pytest.fixture(scope="module")
def address(report: dict[str, t.Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "latest.html"
    file.write_text(page.render(report), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def browser() -> t.Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        "--headless=new",
        "--no-sandbox",  # the tests may run as root
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--hide-scrollbars",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest, browser: webdriver.Chrome) -> str:
    width, height = SIZES[request.param]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": request.param == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return str(request.param)


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest, browser: webdriver.Chrome) -> str:
    feature = {"name": "prefers-color-scheme", "value": request.param}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    return str(request.param)


def luminance(colour: str) -> float:
    """Return the relative luminance of ``rgb(…)`` as WCAG 2.1 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_it_fits_and_can_be_read(browser: webdriver.Chrome, address: str, size: str, scheme: str) -> None:
    browser.get(address)
    PICTURES.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(PICTURES / f"{size}-{scheme}.png"))
    width = SIZES[size][0]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    texts = browser.execute_script(COLOURS)
    assert len(texts) > 40
    assert [text for text, ink, paper in texts if contrast(ink, paper) < CONTRAST] == []


def test_it_tells_everything(browser: webdriver.Chrome, address: str, report: dict[str, t.Any]) -> None:
    browser.get(address)
    shown = browser.find_element(By.TAG_NAME, "body").text
    assert report["hosts"]
    for host in report["hosts"]:
        assert host["name"] in shown
        for each in host["findings"]:
            assert each["what"] in shown
    for words in ("Over since the last run", "Earlier runs", "ana: /usr/bin/vim", "debugging", "Connection timed out"):
        assert words in shown


def test_a_diff_opens_at_a_click(browser: webdriver.Chrome, address: str) -> None:
    browser.get(address)
    details = browser.find_element(By.CSS_SELECTOR, ".finding details")
    line = details.find_element(By.CSS_SELECTOR, ".removed")
    assert not line.is_displayed()
    details.find_element(By.TAG_NAME, "summary").click()
    assert line.is_displayed()


def test_it_needs_nothing_else_and_runs_nothing(browser: webdriver.Chrome, address: str) -> None:
    browser.get_log("performance")
    browser.get(address)
    asked = re.findall(r'"method":"Network.requestWillBeSent".*?"url":"([^"]+)"', str(browser.get_log("performance")))
    assert set(asked) == {address}
    assert browser.title == "Drift: failed"
    assert browser.get_log("browser") == []
