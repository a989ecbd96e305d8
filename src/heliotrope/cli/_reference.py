"""The reference pages, written from the code: `python -m heliotrope.cli._reference docs/reference`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from heliotrope.cli._main import COMMANDS, root
from heliotrope.cli._reference_python import python_page
from heliotrope.cli._reference_schemas import schema_pages
from heliotrope.config.reference import render_reference
from heliotrope.core.errors import ExitCode
from heliotrope.engine.registry import checks
from heliotrope.gate import default_policy
from heliotrope.lifecycle.rules import own_rules

__all__ = ["main", "pages"]

_EXIT_MEANINGS = {
    ExitCode.PASS: "pass",
    ExitCode.NO: "no: a rule or a finding says so, on evidence",
    ExitCode.USAGE: "the command line or a configuration file is wrong",
    ExitCode.INCONCLUSIVE: "denied or undecided only because evidence is missing, skipped, in error, incomplete or unsupported",
    ExitCode.INTERNAL: "our own fault: please report it",
}


def pages() -> dict[str, str]:
    """File name to content of every generated page."""
    return {
        "configuration.md": render_reference(),
        "commands.md": _commands(),
        "checks.md": _checks(),
        "rules.md": _rules(),
        "policy.md": _policy(),
        "exit-codes.md": _exit_codes(),
        "python.md": python_page(),
        **schema_pages(),
    }


def main(arguments: list[str]) -> int:
    """Write the pages below the folder named."""
    folder = Path(arguments[0])
    for name, text in pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


def _commands() -> str:
    parts = ["# Commands\n\nGlobal options work before and after the name of a command.\n"]
    context = click.Context(root, info_name="helio", max_content_width=100)
    parts.append(f"## helio\n\n```text\n{root.get_help(context)}\n```\n")
    for name in COMMANDS:
        command = root.get_command(context, name)
        if command is not None:
            parts += _command(command, click.Context(command, parent=context, info_name=name, max_content_width=100))
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _command(below, click.Context(below, parent=context, info_name=name, max_content_width=100))


def _checks() -> str:
    parts = ["# Checks\n\nWhat `helio assess` runs. `--only` and `--skip` take these names, with wildcards.\n"]
    for item in (check for check in checks() if check.built_in):
        summary = (item.function.__doc__ or "").strip().splitlines()[0] if item.function.__doc__ else item.title
        needs = f"the extra `{item.extra}`" if item.extra else "nothing beyond the base install"
        code = "yes: only with consent" if item.runs_project_code else "no"
        parts.append(
            f"## {item.id.replace('.', '-')}\n\n**{item.title}** (`{item.id}`, version {item.version}). {summary}\n\n"
            f"| | |\n|---|---|\n| applies to | {item.applies_to} |\n| cost | {item.cost} |\n| runs in | {item.isolation} |\n"
            f"| needs | {needs} |\n| runs code of the project | {code} |\n"
        )
    return "\n".join(parts)


def _rules() -> str:
    parts = ["# Rules\n\nEach finding names a rule; each rule has its section here.\n"]
    for rule in own_rules():
        taxonomy = ", ".join(rule.taxonomy) or "none"
        fix = f"{rule.fix.text} ({'cannot' if rule.fix.safe else 'may'} change what the model computes)"
        parts.append(
            f"## {rule.id}\n\n**{rule.title}** Severity: {rule.severity}.\n\n{rule.help}\n\n"
            f"- What to do: {fix}\n- Catalogue: {taxonomy}\n"
        )
    return "\n".join(parts)


def _policy() -> str:
    policy = default_policy()
    rows = [f"| `{rule.id}` | {rule.applies_to} | {rule.title} | {rule.remediation} |" for rule in policy.rules]
    return (
        f"# The default policy\n\n{policy.description}\n\n| rule | held against | what it wants | what to do |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _exit_codes() -> str:
    rows = [f"| {int(code)} | {_EXIT_MEANINGS[code]} |" for code in ExitCode]
    return (
        "# Exit codes\n\nAn API that scripts rely on. When several hold, 4 wins over 2 over 1 over 3 over 0.\n\n"
        "| code | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
