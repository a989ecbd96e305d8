"""The oracle's process: loads a file as its users would, in a fork without network, and says what that set off.

Run by `oracle.Oracle`. Reads requests from standard input, one JSON object a line, and answers each with one line.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

CANARY = "canary"
"""The file that a payload makes, or the directory, or the attribute of builtins, or the variable of the environment."""
COMMANDS = frozenset({"touch canary", "touch canary;", ": > canary"})
"""What the shell is asked to do; anything else that would start a program is noted and refused."""

_NOBODY = 65534
_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000
_PR_SET_KEEPCAPS, _CAP_DAC_READ_SEARCH, _CAPABILITY_VERSION = 8, 2, 0x20080522
_MORE_MEMORY = 3 * 2**30
_CPU_SECONDS = 20
_FILE_BYTES = 64 * 2**20
_STARTS = frozenset({"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"})
_HARM = frozenset(
    {
        "os.kill", "os.killpg", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.link",
        "os.symlink", "os.mkdir", "shutil.rmtree", "shutil.move", "shutil.copyfile", "socket.connect", "socket.bind",
        "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request", "ctypes.dlopen", "os.fork",
        "os.forkpty", "signal.pthread_kill", "sqlite3.connect", "webbrowser.open", "ftplib.connect", "smtplib.connect",
        "telnetlib.Telnet.open", "nntplib.connect", "poplib.connect", "imaplib.open", "os.putenv", "os.unsetenv",
        "syslog.syslog", "code.__new__",
    }
)  # fmt: skip
_OWN = frozenset(
    {"os.remove", "os.rmdir", "os.rename", "os.chmod", "shutil.rmtree", "os.symlink", "os.link", "os.truncate"}
)
"""What a payload may do in the oracle's folder."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """The audit hook of a child. It lets the canary sing, notes everything else that would do harm, and refuses it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen: set[str] = set()
        self.armed = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in _STARTS:
            self._started(event, arguments)
        elif event in _HARM:
            self._harm(event, arguments)
        elif event == "open":
            self._opened(arguments)

    def note(self, text: str) -> None:
        if text not in self._seen and len(self._seen) < 200:
            self._seen.add(text)
            os.write(self._descriptor, (text.replace("\n", " ")[:300] + "\n").encode("utf-8", "replace"))

    def _started(self, event: str, arguments: tuple[Any, ...]) -> None:
        self.note(f"! {event} {str(arguments)[:120]}")
        command = arguments[0] if event == "os.system" else None
        if isinstance(command, bytes):
            command = command.decode("latin-1").strip()
        if event == "subprocess.Popen":
            given = arguments[1]
            command = given if isinstance(given, str) else " ".join(map(str, given))
            command = command.removeprefix("/bin/sh -c ").removeprefix("sh -c ")
        elif event in ("os.posix_spawn", "os.exec"):
            command = " ".join(str(part) for part in arguments[1]).removeprefix("/bin/sh -c ").removeprefix("sh -c ")
        if command not in COMMANDS:
            raise RuntimeError("the oracle starts nothing but its canary")

    def _harm(self, event: str, arguments: tuple[Any, ...]) -> None:
        shown = str(arguments)[:120]
        if event in ("os.mkdir", "os.putenv", "os.unsetenv", "ctypes.dlopen", "code.__new__", "os.fork"):
            if CANARY in shown.lower() or event == "os.fork":  # frameworks do the others, too
                self.note(f"! {event} {shown}")
            return
        if event == "os.symlink":
            arguments = arguments[1:]
        if _in_own_folder(arguments) and event in _OWN:
            if CANARY in shown.lower():
                self.note(f"! {event} {shown}")
            return
        self.note(f"! {event} {shown}")
        raise RuntimeError("the oracle does no harm")

    def _opened(self, arguments: tuple[Any, ...]) -> None:
        path, mode, flags = arguments
        writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
        writes |= mode is None and isinstance(flags, int) and bool(flags & _WRITES)
        if not writes or path in ("/dev/null", b"/dev/null") or isinstance(path, int):
            return
        inside = _in_own_folder((path,))
        if "canary" in str(path) or not inside:
            self.note(f"! open {path!r} {mode}")
        if not inside:
            raise RuntimeError("the oracle writes nowhere else")


def _in_own_folder(arguments: tuple[Any, ...]) -> bool:
    first = arguments[0] if arguments else ""
    if isinstance(first, bytes):
        first = os.fsdecode(first)
    return isinstance(first, str) and os.path.realpath(first).startswith(os.environ.get("TMPDIR", "/nowhere"))


def leave_network() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        libc.unshare(_CLONE_NEWNET)
        return
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        with contextlib.suppress(OSError):
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _become_nobody() -> None:
    """Give up root but for reading, since the interpreter may lie where only root reads."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)
    read = 1 << _CAP_DAC_READ_SEARCH
    libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)(read, read, 0, 0, 0, 0))


def serve(names: list[str], root: str) -> None:
    """Answer requests until standard input ends."""
    leave_network()
    warnings.simplefilter("ignore")
    from tests.adversary import _oracle_ways as ways

    ways.preload(names)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        folder = os.path.join(root, f"load{number}")
        os.mkdir(folder, 0o777)
        os.chmod(folder, 0o777)
        answer = _one(request, folder, ways)
        for _ in range(3):
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                break
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _one(request: dict[str, Any], folder: str, ways: Any) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            _child(request, folder, write_end, ways)
        except BaseException:
            pass
        finally:
            os._exit(0)
    os.close(write_end)
    said, timed_out = _listen(read_end, request.get("seconds", 10.0))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(read_end)
    lines = said.decode("utf-8", "replace").splitlines()
    sings = os.path.lexists(os.path.join(folder, CANARY)) or any(line == "! canary" for line in lines)
    return {
        "sings": sings,
        "fired": sings or any(line.startswith("! ") for line in lines),
        "events": [line[2:] for line in lines if line.startswith("! ")],
        "steps": [line[2:] for line in lines if line.startswith("# ")],
        "status": status,
        "timed_out": timed_out,
    }


def _listen(descriptor: int, seconds: float) -> tuple[bytes, bool]:
    said = b""
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return said, True
        ready, _, _ = select.select([descriptor], [], [], left)
        if ready:
            data = os.read(descriptor, 1 << 16)
            if not data:
                return said, False
            said += data


def _child(request: dict[str, Any], folder: str, descriptor: int, ways: Any) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder, COLUMNS="80")
    tempfile.tempdir = None
    sys.path.insert(0, "")
    for name, text in request.get("beside", {}).items():
        Path(folder, name).write_text(text)
    path = Path(folder, request["name"])
    path.write_bytes(bytes.fromhex(request["data"]))
    os.chmod(path, 0o666)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MORE_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if os.geteuid() == 0:
        _become_nobody()
    watch = Watch(descriptor)
    sys.addaudithook(watch)
    watch.armed = True
    main = os.getpid()
    ways.run(str(path), request["ways"], watch.note, use=request.get("use", True))
    if os.getpid() == main and threading.active_count() > 1:
        time.sleep(0.2)


if __name__ == "__main__":
    serve(sys.argv[2].split(",") if sys.argv[2] else [], sys.argv[1])
