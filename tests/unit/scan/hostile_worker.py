"""Loads pickles that a scan called clean, in a process of its own, and says what each made the interpreter do.

`python hostile_worker.py FOLDER`: reads FOLDER/streams (lengths and bytes) from FOLDER/next on, writes one line of JSON for each to
FOLDER/events. An event is what the audit hook of the interpreter reports beyond a framework's own imports. Each stream
is loaded twice and the second time counts: the first pays for imports that a framework puts off.
"""

import contextlib
import importlib
import io
import json
import os
import pickle
import resource
import signal
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import Any

WATCHED = (
    "exec",
    "compile",
    "open",
    "import",
    "os.",
    "subprocess.",
    "socket.",
    "shutil.",
    "ctypes.",
    "urllib.",
    "pty.",
    "sqlite3.",
)
PREFIXES = tuple({os.path.realpath(path) for path in (*sysconfig.get_paths().values(), *sys.path) if path})
PLANTED = "planted_module"
MEMORY = 12 * 2**30

events: list[str] = []
watching = False


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    if watching and event.startswith(WATCHED) and not own_business(event, arguments):
        events.append(f"{event} {str(arguments)[:120]}")


def own_business(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a framework does this whenever it is imported or used."""
    if event == "import":
        return PLANTED not in str(arguments[0])
    if event == "open":
        path, mode, _ = arguments
        return (
            isinstance(path, str) and os.path.realpath(path).startswith(PREFIXES) and not set(mode or "") & set("wax+")
        )
    if event in ("os.listdir", "os.scandir"):
        return str(arguments[0]).startswith(PREFIXES)
    return event == "exec" and arguments[0].co_filename.startswith((*PREFIXES, "<frozen"))


class Reader(pickle.Unpickler):
    def persistent_load(self, identifier: Any) -> Any:
        import torch

        return torch.FloatStorage(4)


def load(data: bytes) -> None:
    sys.modules.pop(PLANTED, None)
    with contextlib.suppress(BaseException):  # refusing is the best outcome
        Reader(io.BytesIO(data)).load()


def main(folder: Path) -> None:
    global watching  # noqa: PLW0603 - the hook cannot be handed anything
    warnings.simplefilter("ignore")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    for name in json.loads((folder / "modules").read_text()):
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - of another release
            continue
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.addaudithook(hook)
    streams = pickle.loads((folder / "streams").read_bytes())  # a list of bytes that the test wrote
    start = int((folder / "next").read_text())
    with (folder / "events").open("a") as out:
        for number in range(start, len(streams)):
            (folder / "next").write_text(str(number + 1))
            signal.alarm(20)
            load(streams[number])
            events.clear()
            watching = True
            load(streams[number])
            watching = False
            if events:
                out.write(json.dumps([number, events[:3]]) + "\n")
                out.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
