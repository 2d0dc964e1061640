"""What a run of the harness tells: a line for each fault, a table, and a closing line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.faults.model import Result, percentile

TROUBLE = "error"
KINDS = {"U": "ufw", "N": "the kernel's filters", "R": "addresses, routes, links", "S": "sshd and logins"}  # by letter


def effect(result: Result) -> str:
    """Say what a fault does to a host that nothing guards."""
    if result.trouble:
        return TROUBLE
    return "locks out" if result.verdict.kind == "open" else "does not lock out"


def outcome(result: Result, *, guarded: bool) -> str:
    """Say in a word or two what became of a fault."""
    return effect(result) if not guarded else TROUBLE if result.trouble else result.verdict.kind


def surprises(result: Result) -> bool:
    """Tell whether a fault did something else to an unguarded host than its row says."""
    return bool(result.trouble) or (result.verdict.kind == "open") != (result.suite in result.fault.locks_out)


def progress(result: Result, *, guarded: bool, count: str) -> str:
    """Return the line that is printed when a fault is through."""
    seconds = f"{result.verdict.seconds:5.1f} s" if result.verdict.seconds else ""
    mark = "  (the catalogue says otherwise)" if not guarded and surprises(result) else ""
    name = f"{count} {result.fault.id:<5} Debian {result.suite}  {result.fault.title:<62.62}"
    return f"{name} {outcome(result, guarded=guarded)} {seconds}{mark}".rstrip()


def details(result: Result) -> list[str]:
    """Return what helps to see why SSH is still closed."""
    lines = [f"{view}: {reason}" for view, reason in sorted(result.last_failures.items())]
    if result.trouble:
        lines += result.trouble.splitlines()[-30:]
    if result.printed:
        lines += ["the injection printed:", *(f"  {line}" for line in result.printed.splitlines()[-10:])]
    if result.journal:
        lines += ["the guard said:", *(f"  {line}" for line in result.journal[-15:])]
    return lines


def fails(result: Result) -> bool:
    """Tell whether a result on a guarded host fails the run."""
    return bool(result.trouble) or (result.verdict.kind == "open" and not result.fault.out_of_reach)


def closing_line(results: Sequence[Result], *, trials: int) -> str:
    """Return the line that ends a guarded run.

    :arg trials: How many results there should be.
    """
    reachable = [result.verdict for result in results if not result.fault.out_of_reach]
    healed = [verdict.seconds for verdict in reachable if verdict.kind == "healed"]
    counts = {kind: sum(verdict.kind == kind for verdict in reachable) for kind in ("prevented", "healed", "open")}
    return (
        f"faults: {counts['prevented']} prevented, {counts['healed']} healed"
        f" (p95 {percentile(healed, 0.95):.1f} s, worst {max(healed, default=0.0):.1f} s), {counts['open']} open"
        f"{also(len(results) - len(reachable), 'out of reach')}{also(trials - len(results), 'without a verdict')}"
    )


def closing_line_unguarded(results: Sequence[Result], *, trials: int) -> str:
    """Return the line that ends an unguarded run."""
    counts = {kind: sum(effect(result) == kind for result in results) for kind in ("locks out", "does not lock out")}
    other = sum(surprises(result) for result in results)
    return (
        f"faults without a guard: {counts['locks out']} lock out, {counts['does not lock out']} do not,"
        f" {other} other than the catalogue says{also(trials - len(results), 'without a verdict')}"
    )


def also(count: int, what: str) -> str:
    """Return one more item of a closing line, where there is such."""
    return f", {count} {what}" if count else ""


def write(results: Sequence[Result], folder: Path, *, guarded: bool, whole: bool) -> Path:
    """Write the table for people and return its path.

    What a few faults did does not replace the table of all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"{'guarded' if guarded else 'unguarded'}{'' if whole else '-some'}.md"
    lines = [*(as_summary(results) if guarded else []), *as_table(results, guarded=guarded)]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def as_summary(results: Sequence[Result]) -> list[str]:
    """Return the lines of a Markdown table, a row for each kind of fault on each version of Debian, and for all."""
    lines = [
        "| | | tried | prevented | healed | 95 % within | worst | open | out of reach |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for suite in sorted({result.suite for result in results}):
        mine = [result for result in results if result.suite == suite]
        kinds = {words: [each for each in mine if each.fault.id[0] == letter] for letter, words in KINDS.items()}
        lines += [as_summary_row(suite, words, some) for words, some in {**kinds, "all": mine}.items() if some]
    return [*lines, ""]


def as_summary_row(suite: str, words: str, results: Sequence[Result]) -> str:
    """Return a row of the summary."""
    reachable = [result.verdict for result in results if not result.fault.out_of_reach]
    healed = [verdict.seconds for verdict in reachable if verdict.kind == "healed"]
    numbers = [sum(verdict.kind == kind for verdict in reachable) for kind in ("prevented", "healed", "open")]
    times = [f"{seconds:.1f} s" if healed else "-" for seconds in (percentile(healed, 0.95), max(healed, default=0.0))]
    cells = [f"Debian {suite}", words, len(results), *numbers[:2], *times, numbers[2], len(results) - len(reachable)]
    return f"| {' | '.join(map(str, cells))} |"


def as_table(results: Sequence[Result], *, guarded: bool) -> list[str]:
    """Return the lines of a Markdown table, a row for each fault."""
    suites = sorted({result.suite for result in results})
    titles: dict[str, str] = {result.fault.id: result.fault.title for result in results}
    cells = {(result.fault.id, result.suite): cell(result, guarded=guarded) for result in results}
    lines = [
        f"| id | fault | {' | '.join(f'Debian {suite}' for suite in suites)} |",
        f"|---|---|{'---|' * len(suites)}",
    ]
    for name, title in titles.items():
        shown = " | ".join(cells.get((name, suite), "-") for suite in suites)
        lines.append(f"| {name} | {title.replace('|', chr(92) + '|')} | {shown} |")
    return lines


def cell(result: Result, *, guarded: bool) -> str:
    """Return what the table says of a fault on one version of Debian."""
    text = outcome(result, guarded=guarded)
    if result.verdict.seconds and not result.trouble:
        text += f" after {result.verdict.seconds:.1f} s" if guarded else f" ({result.verdict.seconds:.0f} s)"
    return text
