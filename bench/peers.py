"""The scanner side by side with others, in one run: what they find, whom they accuse, what they cost.

The others are installed into environments of their own below build/peers; nothing of them is a dependency. CPU seconds
and peak memory are of the command with its children, as typed by a user. "Accused" is what makes a user stop: a finding of
picklescan that it calls dangerous, any issue of modelscan, an issue of modelaudit of severity warning or above. What cannot
be read counts apart: it is no accusation, and no pass either.
"""

import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))

PEERS = {"picklescan": "1.0.5", "modelscan": "0.8.8", "modelaudit": "0.2.54"}
_HOME = ROOT / "build" / "peers"
_LIMIT_CPU = {"folder": 200, "file": 30}
"""Seconds; who takes more is stopped, and the row says so."""
_EVERY = {"ordinary": 16, "attacks": 8}
"""One file in so many is compared: one of the others takes more than a second for each."""
_LIMIT_MEMORY = 8 * 2**30
_QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}


@dataclass
class Seen:
    """What one tool made of a folder or file."""

    cpu: float = 0.0
    peak: float = 0.0
    exit_code: int | None = None
    accused: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)


def main() -> list[dict[str, str | float]]:
    """Rows for docs/benchmarks.md."""
    for name, version in PEERS.items():
        _install(name, version)
    tools: dict[str, Callable[[Path], Seen]] = {"helio": _helio, **{name: globals()[f"_{name}"] for name in PEERS}}
    rows: list[dict[str, str | float]] = []
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        cases = [*_corpora(Path(folder)), *_costs(Path(folder))]
        with ThreadPoolExecutor(2) as pool:  # what counts is CPU time and memory of each command
            jobs = [
                (title, name, count, kind, pool.submit(_seen, tool, place))
                for title, place, count, kind in cases
                for name, tool in tools.items()
            ]
            for title, name, count, kind, job in jobs:
                rows.extend(_rows(title, name, job.result(), count, kind))
    return rows


def _seen(tool: Callable[[Path], Seen], place: Path) -> Seen:
    """What it saw; a report that was cut off, as by a limit, counts as none."""
    try:
        return tool(place)
    except (ValueError, KeyError, TypeError):
        return Seen()


def _rows(title: str, tool: str, seen: Seen, count: int, kind: str) -> list[dict[str, str | float]]:
    rows: list[dict[str, str | float]] = []
    ours = tool == "helio"
    stopped = seen.exit_code is None  # what it had found by then is not comparable
    if kind == "ordinary" and not stopped:
        target = "0" if ours else ""
        rows.append(_row(f"{title}: {tool}: accused", len(seen.accused), f"of {count}", target))
        rows.append(_row(f"{title}: {tool}: not read", len(seen.unread - seen.accused), f"of {count}", ""))
    if kind == "attack" and not stopped:
        target = "all" if ours else ""
        rows.append(_row(f"{title}: {tool}: found", len(seen.accused), f"of {count}", target))
    note = ", stopped" if stopped else ""
    rows.append(
        _row(f"{title}: {tool}: cost{note}", round(seen.cpu, 2), "CPU s", kind if ours and "<=" in kind else "")
    )
    rows.append(_row(f"{title}: {tool}: peak", round(seen.peak), "MB", ""))
    return rows


def _row(name: str, value: float, unit: str, target: str) -> dict[str, str | float]:
    return {"name": name, "value": value, "unit": unit, "target": target}


# what is scanned


def _corpora(folder: Path) -> list[tuple[str, Path, int, str]]:
    from tests.corpus.store import unpack

    ordinary, attacks = folder / "ordinary", folder / "attacks"
    files = unpack(ordinary)
    for number, path in enumerate(files):
        if number % _EVERY["ordinary"]:
            path.unlink()
    files = files[:: _EVERY["ordinary"]]
    attacks.mkdir()
    return [
        ("ordinary files", ordinary, len(files), "ordinary"),
        ("files that run code", attacks, _attacks(attacks), "attack"),
    ]


def _attacks(folder: Path) -> int:
    """Write every malicious file that really runs its harmless payload here, each into a folder of its own; their number."""
    from tests.adversary.oracle import Oracle
    from tests.adversary.variants import BESIDE, variants

    written = 0
    with Oracle() as oracle:
        for variant in [*variants()][:: _EVERY["attacks"]]:
            if oracle.load(variant.data, variant.file, ways=variant.ways, beside=BESIDE).fired:
                place = folder / str(written) / variant.file
                place.parent.mkdir()
                place.write_bytes(variant.data)
                written += 1
    return written


def _costs(folder: Path) -> list[tuple[str, Path, int, str]]:
    import scan

    made: list[tuple[str, Path, int, str]] = []
    for title, make, target in (
        ("a torch archive of 200 MB", scan.torch_zip, "<= 0.4"),
        ("a safetensors file of 200 MB", scan.safetensors, "<= 0.4"),
        ("500 small files", scan.many, "<= 0.6"),
        ("11.8 million opcodes, floats", _floats, "<= 8"),
        ("11.8 million opcodes, small tuples", _tuples, "<= 8"),
        ("11.8 million opcodes, memoised strings", _strings, "<= 8"),
        ("a bomb of 300 MB of opcodes", _bomb, "<= 10"),
    ):
        path = folder / f"{len(made)}{'' if make is scan.many else _SUFFIX.get(title, '.pkl')}"
        make(path)
        made.append((title, path, 1, target))
    return made


_SUFFIX = {"a torch archive of 200 MB": ".pt", "a safetensors file of 200 MB": ".safetensors"}


def _floats(path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump([float(number) for number in range(11_760_000)], file, 4)


def _tuples(path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump([(number % 200, 1) for number in range(2_940_000)], file, 4)


def _strings(path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump([f"t{number}" for number in range(3_000_000)], file, 4)


def _bomb(path: Path) -> None:
    """Less than 3 MB that expand to 300 MB of opcodes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("archive/version", "3\n")
        with archive.open("archive/data.pkl", "w", force_zip64=True) as member:
            member.write(b"\x80\x02]")
            for _ in range(300):
                member.write(b"N0" * 2**19)
            member.write(b".")


# the tools


def _install(name: str, version: str) -> None:
    place = _HOME / f"{name}-{version}"
    if not (place / "bin" / name).exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin" / "pip"), "install", "-q", f"{name}=={version}"], check=True)


def _command(name: str) -> str:
    return str(_HOME / f"{name}-{PEERS[name]}" / "bin" / name)


def _helio(path: Path) -> Seen:
    seen, out = _run([str(Path(sys.executable).with_name("helio")), "scan", str(path), "--format", "json"])
    for report in json.loads(out)["files"] if out.strip() else ():
        name = str(Path(report["path"]))
        if report["verdict"] in ("malicious", "suspicious"):
            seen.accused.add(name)
        elif report["verdict"] != "clean":
            seen.unread.add(name)
    return seen


def _picklescan(path: Path) -> Seen:
    seen, out = _run([_command("picklescan"), "-p", str(path), "-l", "WARNING"])
    for line in out.splitlines():
        dangerous = re.match(r"(.+?)(?::[^/]*)?: dangerous import", line)
        error = re.match(r"ERROR: .*? in (/.*?)(?::|$)", line)
        if dangerous:
            seen.accused.add(_outer(dangerous[1], path))
        elif error:
            seen.unread.add(_outer(error[1], path))
    return seen


def _modelscan(path: Path) -> Seen:
    seen, text = _reported(lambda out: [_command("modelscan"), "-p", str(path), "-r", "json", "-o", out])
    document = json.loads(text) if text.strip() else {"issues": [], "errors": []}
    base = path if path.is_dir() else path.parent
    seen.accused = {_outer(str(base / issue["source"]), path) for issue in document["issues"]}
    listed = document.get("errors", []) + document.get("summary", {}).get("skipped", {}).get("skipped_files", [])
    seen.unread = {_outer(str(base / item["source"]), path) for item in listed if item.get("source")}
    return seen


def _modelaudit(path: Path) -> Seen:
    command = [_command("modelaudit"), "scan", str(path), "--format", "json", "--no-cache", "-o"]
    seen, text = _reported(lambda out: [*command, out])
    for issue in json.loads(text)["issues"] if text.strip() else ():
        name = _outer(str(issue.get("location") or path), path)
        (seen.accused if issue["severity"] in ("warning", "critical") else seen.unread).add(name)
    return seen


def _reported(command: Callable[[str], list[str]]) -> tuple[Seen, str]:
    """Run a command that writes a report to a file, and read it; empty when it wrote none."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        seen, _ = _run(command(str(out)))
        return seen, out.read_text("utf-8", "replace") if out.exists() else ""


def _outer(name: str, root: Path) -> str:
    """The file on disk that a place within it belongs to."""
    if root.is_file():
        return str(root)
    known = _files(root)
    return max((path for path in known if name.startswith(path)), key=len, default=name)


_KNOWN: dict[Path, tuple[str, ...]] = {}


def _files(root: Path) -> tuple[str, ...]:
    if root not in _KNOWN:
        _KNOWN[root] = tuple(str(path) for path in root.rglob("*") if path.is_file())
    return _KNOWN[root]


_MEASURE = """
import json, os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]),) * 2)
pid = os.posix_spawn(sys.argv[4], sys.argv[4:], os.environ)
_, status, usage = os.wait4(pid, 0)
code = os.waitstatus_to_exitcode(status)
with open(sys.argv[1], "w") as file:
    json.dump([usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, code], file)
"""


def _run(command: list[str]) -> tuple[Seen, str]:
    """Run a command to its end or its limits. A small process starts it, so that its peak is its own."""
    kind = "folder" if any(Path(word).is_dir() for word in command[1:]) else "file"
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        measure = [sys.executable, "-I", "-S", "-c", _MEASURE, file.name, str(_LIMIT_MEMORY), str(_LIMIT_CPU[kind])]
        done = subprocess.run(
            [*measure, *command],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, **_QUIET},
        )
        cpu, peak, code = json.load(file)
    return Seen(cpu, peak, code if code >= 0 else None), done.stdout + ("" if "--format" in command else done.stderr)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(), indent=2) + "\n")
