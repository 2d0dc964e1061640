"""Write the variable tables of the roles' READMEs from their argument specs.

    python tools/role_readme.py          write them
    python tools/role_readme.py --check  fail where one is out of date

The argument spec is the one source: defaults, README and ``ansible-doc`` cannot say three things.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
import typing as t

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
BEGIN = "<!-- BEGIN VARIABLES -->"
END = "<!-- END VARIABLES -->"
MARKUP = re.compile(r"\b[CVOMIB]\(([^()]*(?:\([^()]*\)[^()]*)*)\)")


def sentence(description: str | list[str]) -> str:
    """A description as one line of Markdown."""
    text = description if isinstance(description, str) else " ".join(description)
    return MARKUP.sub(r"`\1`", " ".join(text.split())).replace("|", "\\|")


def default(option: dict[str, t.Any]) -> str:
    """What holds where the variable is not set."""
    if option.get("required"):
        return "**required**"
    if "default" not in option:
        return ""
    value = option["default"]
    text = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{text}`".replace("|", "\\|")


def kind(option: dict[str, t.Any]) -> str:
    """The type, with that of its elements."""
    elements = f" of {option['elements']}" if "elements" in option else ""
    return f"{option.get('type', 'str')}{elements}"


def rows(options: dict[str, dict[str, t.Any]], *, prefix: str = "") -> list[str]:
    """The rows of a table; the keys of dictionaries follow their option."""
    lines = []
    for name, option in options.items():
        choices = option.get("choices")
        text = sentence(option["description"]) + (
            f" One of {', '.join(f'`{each}`' for each in choices)}." if choices else ""
        )
        lines.append(f"| `{prefix}{name}` | {kind(option)} | {default(option)} | {text} |")
        lines += rows(option.get("options", {}), prefix=f"{prefix}{name}.")
    return lines


def table(specs: dict[str, dict[str, t.Any]]) -> str:
    """The tables of all entry points; one whose options are another's refers to it."""
    parts: list[str] = []
    shown: dict[str, str] = {}
    for entry_point, spec in specs.items():
        title = f"### Entry point `{entry_point}`\n\n{sentence(spec['short_description'])}.\n"
        options = spec.get("options", {})
        key = json.dumps(options, sort_keys=True)
        if not options:
            body = "No variables.\n"
        elif key in shown:
            body = f"The variables of `{shown[key]}`.\n"
        else:
            shown[key] = entry_point
            body = "\n".join(["| Variable | Type | Default | |", "|---|---|---|---|", *rows(options)]) + "\n"
        parts.append(f"{title}\n{body}")
    return "\n".join(parts)


def updated(readme: str, *, specs: dict[str, dict[str, t.Any]]) -> str:
    """The README's text with its table renewed."""
    before, _begin, rest = readme.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(specs)}\n{END}{after}"


def main() -> int:
    """Write or check every role's README."""
    stale = []
    for role in sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir()):
        readme = role / "README.md"
        specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
        text = readme.read_text(encoding="utf-8")
        if BEGIN not in text or END not in text:
            print(f"{readme.relative_to(ROOT)} lacks the lines {BEGIN} and {END}")
            stale.append(role.name)
            continue
        wanted = updated(text, specs=specs)
        if wanted == text:
            continue
        stale.append(role.name)
        if "--check" not in sys.argv:
            readme.write_text(wanted, encoding="utf-8")
    if "--check" in sys.argv and stale:
        print(f"Out of date: the README of {', '.join(stale)}. Run: python tools/role_readme.py")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
