"""Run the project's checks and count what they found.

    tools/run_tests.py [--jobs N] [--scenario NAME]… [lint] [unit] [page] [sanity] [e2e] [molecule]

Everything runs when no part is named. The jobs share a queue, so that each of the
machine's cores has something to do: what answers first comes first, then the longest.
Each job writes a log to .cache/log; the end of a failed one's is shown at once, and what
tells of its failure again after the table. The last line counts results: a lint check
and a molecule scenario are one each, the tests of the other parts are read from their
JUnit files.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
LOGS = CACHE / "log"
RESULTS = CACHE / "junit"
SANITY_RESULTS = CACHE / "sanity/ansible_collections/phoenix/webstack/tests/output/junit"
DURATIONS = CACHE / "durations.json"
VENV = ROOT / ".venv" / "bin"
PARTS = ("lint", "unit", "page", "sanity", "e2e", "molecule")
TAIL = 60  # lines of a failed job's log that are shown when it ends
TELLING = re.compile(r"\b(fatal|failed|error)\b|^E {3}|^ended after ", re.IGNORECASE)
COUNTED = re.compile(r"\bok=\d+ +changed=\d+")  # Ansible's recap: it says `failed=0` of every host


@dataclass(frozen=True)
class Job:
    """One command and where its results are."""

    part: str
    name: str
    argv: tuple[str, ...]
    timeout: int = 600
    junit: str = ""  # pattern below RESULTS or SANITY_RESULTS; empty: the exit code is the result
    junit_folder: Path = RESULTS
    clean_up: tuple[str, ...] = ()  # what a job that was ended could not do itself

    @property
    def title(self) -> str:
        """Name the job to a reader."""
        return self.part if self.name == self.part else f"{self.part} {self.name}"

    @property
    def log(self) -> Path:
        """The file with everything the job printed."""
        return LOGS / f"{self.part}-{self.name}.log"


@dataclass
class Outcome:
    """What came of one job."""

    job: Job
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0


# -- what there is to run --------------------------------------------------------------


def lint_jobs() -> list[Job]:
    """Return the checks that read files only."""
    scripts = [str(path.relative_to(ROOT)) for path in shell_scripts()]
    commands: dict[str, tuple[str, ...]] = {
        "ruff": ("ruff", "check", "."),
        "ruff-format": ("ruff", "format", "--check", "."),
        "yamllint": ("yamllint", "--strict", "."),
        "shellcheck": ("shellcheck", *scripts),
        "mypy": ("mypy", "."),
        "changelog": ("antsibull-changelog", "lint"),
        "docs": ("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "."),
        "build": ("ansible-galaxy", "collection", "build", "--force", "--output-path", str(CACHE / "build")),
        "ansible-lint": ("ansible-lint",),
    }
    return [Job("lint", name, argv) for name, argv in commands.items()]


def shell_scripts() -> list[Path]:
    """Return the tracked files that a shell runs."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    paths = [ROOT / line for line in listed.splitlines() if not line.endswith(".j2")]
    return [path for path in paths if path.is_file() and is_shell_script(path)]


def is_shell_script(path: Path) -> bool:
    """Tell a shell script by its name or its first line."""
    with path.open("rb") as file:
        first = file.readline()
    return path.suffix == ".sh" or re.match(rb"#!.*\b(ba)?sh\b|# shellcheck shell=", first) is not None


def pytest_job(part: str, *, timeout: int) -> Job:
    """Return the job that runs tests/<part>."""
    results = RESULTS / f"{part}.xml"
    argv = (str(VENV / "python"), "-m", "pytest", f"tests/{part}", f"--junit-xml={results}")
    return Job(part, part, argv, timeout=timeout, junit=results.name)


def sanity_job() -> Job:
    """Return the job that runs ansible-test."""
    return Job("sanity", "sanity", ("tools/sanity.sh",), timeout=1200, junit="*.xml", junit_folder=SANITY_RESULTS)


def molecule_jobs(wanted: Sequence[str]) -> list[Job]:
    """Return the scenarios, slowest of the last run first: a long one at the end would run alone."""
    found = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    if unknown := set(wanted) - set(found):
        sys.exit(f"no such scenario: {', '.join(sorted(unknown))}; there are: {', '.join(found)}")
    names = list(wanted) or found
    durations = read_durations()
    names.sort(key=lambda name: durations.get(f"molecule {name}", float("inf")), reverse=True)
    return [
        Job(
            "molecule",
            name,
            ("molecule", "test", "--scenario-name", name, "--no-command-borders"),
            timeout=1500,
            clean_up=("molecule", "destroy", "--scenario-name", name),
        )
        for name in names
    ]


def collect_jobs(parts: Sequence[str], scenarios: Sequence[str]) -> list[Job]:
    """Return the jobs of the named parts in the order to start them."""
    jobs: dict[str, list[Job]] = {
        "lint": lint_jobs() if "lint" in parts else [],
        "unit": [pytest_job("unit", timeout=600)],
        "page": [pytest_job("page", timeout=300)],
        "sanity": [sanity_job()],
        "e2e": [pytest_job("e2e", timeout=2400)],
        "molecule": molecule_jobs(scenarios) if "molecule" in parts else [],
    }
    return [job for part in PARTS if part in parts for job in jobs[part]]


# -- running ---------------------------------------------------------------------------


class Runner:
    """Runs jobs beside each other and tells how it goes."""

    def __init__(self) -> None:
        """Prepare the environment that the Makefile gives too."""
        self.environment = {
            **os.environ,
            "PATH": f"{VENV}:{os.environ['PATH']}",
            "ANSIBLE_HOME": str(ROOT / ".ansible"),
            "MOLECULE_GLOB": "molecule/*/molecule.yml",
            "PY_COLORS": "0",
            "ANSIBLE_FORCE_COLOR": "0",
            "NO_COLOR": "1",
        }
        self.running: set[subprocess.Popen[bytes]] = set()
        self.printing = threading.Lock()
        self.stopping = False

    def run_all(self, jobs: Sequence[Job], workers: int) -> list[Outcome]:
        """Run every job and return the outcomes in the order of the jobs."""
        outcomes: dict[Job, Outcome] = {}
        pool = ThreadPoolExecutor(max_workers=workers)
        try:
            for future in as_completed([pool.submit(self.run, job) for job in jobs]):
                outcome = future.result()
                outcomes[outcome.job] = outcome
                self.report(outcome, done=len(outcomes), total=len(jobs))
        except KeyboardInterrupt:
            # Nothing goes on behind the user's back, containers neither.
            print("\nstopping …", flush=True)
            self.stopping = True
            for process in tuple(self.running):
                end_group(process)
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return [outcomes[job] for job in jobs]

    def run(self, job: Job) -> Outcome:
        """Run one job to its end or its timeout."""
        forget_results(job)
        started = time.monotonic()
        code = self.execute(job.argv, job.log, job.timeout)
        if job.clean_up and (code is None or self.stopping):
            self.execute(job.clean_up, job.log, 300)
        outcome = count(job, code)
        outcome.seconds = time.monotonic() - started
        return outcome

    def execute(self, argv: Sequence[str], log: Path, timeout: int) -> int | None:
        """Run a command with its output in a log; return its exit code, None for a timeout."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                argv,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.running.add(process)
            try:
                return process.wait(timeout)
            except subprocess.TimeoutExpired:
                end_group(process)
                output.write(f"\nended after {timeout} s without a result\n".encode())
                return None
            finally:
                self.running.discard(process)

    def report(self, outcome: Outcome, *, done: int, total: int) -> None:
        """Print one line of progress, and what a failed job last said."""
        verdict = "FAILED" if outcome.failed else "ok"
        with self.printing:
            print(f"[{done:2}/{total}] {verdict:6} {outcome.job.title}  {outcome.seconds:.0f} s", flush=True)
            if outcome.failed:
                lines = outcome.job.log.read_text(errors="replace").splitlines()
                print(*(f"    {line}" for line in lines[-TAIL:]), sep="\n")
                print(f"    (all of it: {outcome.job.log.relative_to(ROOT)})", flush=True)


def telling_lines(log: str, most: int = 8) -> list[str]:
    """Return the last lines of a log that speak of a failure, each below the Ansible task it is of."""
    told: list[str] = []
    task = ""
    for line in log.splitlines():
        if line.startswith("TASK ["):
            task = line
        elif TELLING.search(line) and not COUNTED.search(line):
            told += [task, line] if task else [line]
            task = ""
    return [line[:400] for line in told[-most:]]


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children, politely first."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def forget_results(job: Job) -> None:
    """Remove what an earlier run left, lest it be taken for this one's."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    job.log.write_bytes(b"")
    for path in result_files(job):
        path.unlink()
    if job.part == "molecule":
        # A killed run leaves the state "created", and the next would test nothing.
        for folder in (ROOT / ".ansible" / "tmp").glob(f"molecule.*.{job.name}"):
            shutil.rmtree(folder, ignore_errors=True)


# -- counting --------------------------------------------------------------------------


def result_files(job: Job) -> list[Path]:
    """Return the JUnit files of a job that exist."""
    return sorted(job.junit_folder.glob(job.junit)) if job.junit else []


def count(job: Job, code: int | None) -> Outcome:
    """Count a finished job's results; a failure that its files do not show still is one."""
    outcome = Outcome(job)
    if not job.junit:
        outcome.passed, outcome.failed = (1, 0) if code == 0 else (0, 1)
        return outcome
    for path in result_files(job):
        count_file(path, outcome)
    if outcome.failed == 0 and (code != 0 or outcome.passed == 0):
        outcome.failed = 1
    return outcome


def count_file(path: Path, outcome: Outcome) -> None:
    """Add the test cases of one JUnit file."""
    for case in ElementTree.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed += 1
        elif case.find("skipped") is not None:
            outcome.skipped += 1
        else:
            outcome.passed += 1


def read_durations() -> dict[str, float]:
    """Return how long each job last took."""
    if not DURATIONS.exists():
        return {}
    durations: dict[str, float] = json.loads(DURATIONS.read_text())
    return durations


def summarise(outcomes: Sequence[Outcome], seconds: float) -> int:
    """Print the table and the closing line; return the exit code."""
    width = max(len(outcome.job.title) for outcome in outcomes)
    print(f"\n{'':{width}}  passed  failed  skipped  seconds")
    for item in outcomes:
        print(f"{item.job.title:{width}}  {item.passed:6}  {item.failed:6}  {item.skipped:7}  {item.seconds:7.0f}")
    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    print(f"{'together':{width}}  {passed:6}  {failed:6}  {skipped:7}  {seconds:7.0f}\n")
    # Once more, as of a long run often only the end is kept.
    for item in outcomes:
        if item.failed:
            print(f"{item.job.title}:", *telling_lines(item.job.log.read_text(errors="replace")), "", sep="\n    ")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed else 0


def main() -> int:
    """Run the parts the command line names."""
    parser = argparse.ArgumentParser(description="Run the project's checks and count what they found.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="how many run beside each other (default: %(default)s)")
    parser.add_argument("--scenario", action="append", default=[], help="only this molecule scenario (repeatable)")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")

    for folder in (LOGS, RESULTS):
        folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    outcomes = Runner().run_all(collect_jobs(options.parts or PARTS, options.scenario), options.jobs)
    seconds = {outcome.job.title: round(outcome.seconds, 1) for outcome in outcomes}
    DURATIONS.write_text(json.dumps({**read_durations(), **seconds}, indent=1))
    return summarise(outcomes, time.monotonic() - started)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
