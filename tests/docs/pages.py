"""Reads the pages that tell people what to type, and does what they say.

A fenced block is told what it is by its language and by comments before it, which readers do not see:

    <!-- file: NAME -->       the block is the content of a file in the current folder
    <!-- from: PATH -->       the block stands word for word in a file of the repository
    <!-- valid: KIND -->      the block is checked for what it is: config, config-part, policy, workflow, pre-commit, gitlab
    <!-- exit: N -->          the last command ends with N; without it, every command ends with 0
    <!-- not run: WHY -->     the commands are not run here
    <!-- setup: NAME -->      at the beginning of a page: what the reader is assumed to have

Console blocks hold commands behind "$ ", continued behind "> ", each with all that it prints; "…" stands for anything in a
line, a line of its own for any lines. A command that shows nothing may print whatever it likes. Bash blocks are scripts.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ROOT", "Block", "Session", "blocks", "pages", "setup_of", "typed_by_people"]

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"^(?P<ticks>`{3,})(?P<language>[\w+-]*)[^\n`]*\n(?P<body>.*?)^(?P=ticks)[ \t]*$", re.DOTALL | re.MULTILINE
)
_BEFORE = re.compile(r"(?:<!--[^>]*?-->\s*)+\Z")
_DIRECTIVE = re.compile(r"<!--\s*(?P<name>[a-z ]+?):\s*(?P<value>.*?)\s*-->", re.DOTALL)
_KNOWN = {"file", "from", "valid", "exit", "not run", "setup"}
_NOT_CODE = {"text", "", "toctree", "image", "mermaid"}
_ANY = "…"


def pages() -> list[Path]:
    """Every page of the tutorials and how-to guides."""
    return sorted(path for room in ("tutorial", "how-to") for path in (ROOT / "docs" / room).glob("*.md"))


@dataclass(frozen=True)
class Block:
    """One fenced block with what the comments before it say."""

    page: Path
    line: int
    language: str
    body: str
    directives: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_command(self) -> bool:
        return self.language in {"console", "bash", "sh", "shell"}


def blocks(page: Path, text: str | None = None) -> Iterator[Block]:
    """The fenced blocks of a page in order; AssertionError for a directive that nobody knows."""
    content = page.read_text("utf-8") if text is None else text
    for match in _FENCE.finditer(content):
        before = _BEFORE.search(content, 0, match.start())
        found = dict(_DIRECTIVE.findall(before.group() if before else ""))
        line = content.count("\n", 0, match.start()) + 1
        unknown = set(found) - _KNOWN
        assert not unknown, f"{page}:{line}: nobody knows the directive {sorted(unknown)}"
        if match["language"] in _NOT_CODE and not found:
            continue
        yield Block(page, line, match["language"], match["body"], found)


def typed_by_people(block: Block) -> bool:
    """Whether a reader would type or copy this, so that the page must say what becomes of it."""
    return block.language not in _NOT_CODE


def setup_of(page: Path) -> str | None:
    """What the page assumes that the reader has."""
    found = re.search(r"<!--\s*setup:\s*([\w-]+)\s*-->", page.read_text("utf-8"))
    return found[1] if found else None


class Session:
    """A shell in which a page is followed: folder and variables stay from command to command."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self._cwd = folder
        self._last = 0
        self._state = folder.parent / f"{folder.name}.state"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": path, "TERM": "dumb", **variables}

    def follow(self, block: Block) -> None:
        """Do what the block says; AssertionError when something else comes of it."""
        if "file" in block.directives:
            path = self._cwd / block.directives["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, "utf-8")
        elif "not run" in block.directives or not block.is_command:
            return
        elif block.language == "console":
            self._console(block)
        else:
            code, output = self._run(f"set -e\n{block.body}")
            wanted = int(block.directives.get("exit", "0"))
            assert code == wanted, f"{block.where}: ended with {code}, not {wanted}:\n{output}"

    def _console(self, block: Block) -> None:
        steps = list(_steps(block))
        for number, (command, shown) in enumerate(steps):
            asked = number + 1 < len(steps) and steps[number + 1][0] == "echo $?"
            code, output = self._run(command)
            last = number + 1 == len(steps)
            wanted = int(block.directives.get("exit", "0")) if last else 0
            assert asked or code == wanted, f"{block.where}: {command}: ended with {code}, not {wanted}:\n{output}"
            assert not shown or matches(shown, output), (
                f"{block.where}: {command}: printed\n{output}\nwhere the page shows\n{shown}"
            )

    def _run(self, command: str) -> tuple[int, str]:
        source = f"[ -f {shlex.quote(str(self._state))} ] && . {shlex.quote(str(self._state))}\n"
        keep = f"code=$?; {{ export -p; printf 'cd %q\\n' \"$PWD\"; }} > {shlex.quote(str(self._state))}; exit $code"
        finished = subprocess.run(
            ["bash", "-c", f"{source}trap {shlex.quote(keep)} EXIT\n(exit {self._last})\n{command}"],
            cwd=self._cwd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
            check=False,
        )
        self._last = finished.returncode
        kept = re.search(r"^cd (.+)$", self._state.read_text("utf-8"), re.MULTILINE)
        if kept:
            self._cwd = Path(shlex.split(kept[1])[0])
        return finished.returncode, finished.stdout.decode("utf-8", "replace")


def _steps(block: Block) -> Iterator[tuple[str, str]]:
    """(command, what the page shows of its output)."""
    command: list[str] = []
    shown: list[str] = []
    for line in block.body.splitlines():
        if line.startswith("$ "):
            if command:
                yield "\n".join(command), "\n".join(shown).strip("\n")
            command, shown = [line[2:]], []
        elif line.startswith("> ") and not shown:
            command.append(line[2:])
        else:
            assert command, f"{block.where}: output before the first command"
            shown.append(line)
    assert command, f"{block.where}: no command; each begins with '$ '"
    yield "\n".join(command), "\n".join(shown).strip("\n")


def matches(shown: str, output: str) -> bool:
    """Whether the output is what a page shows, with … for anything."""
    pattern = ""
    for line in shown.splitlines():
        if line.strip() == _ANY:
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += r"[^\n]*".join(re.escape(part) for part in line.rstrip().split(_ANY)) + r"[ ]*\n"
    lines = "\n".join(line.rstrip() for line in output.splitlines()).strip("\n") + "\n"
    return re.fullmatch(pattern, lines) is not None
