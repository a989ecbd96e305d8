"""What functions of Python's standard library and of common packages do, for the judgement of source code.

Other than the policy of pickles: source may open files and read the clock, but not run programs unseen.
"""

import re

__all__ = ["INNER_ATTRIBUTES", "effect_of"]

_EFFECTS: dict[str, str] = {
    # runs programs
    **dict.fromkeys(
        [
            "os.system",
            "os.popen",
            "os.popen2",
            "os.popen3",
            "os.popen4",
            "os.startfile",
            "os.fork",
            "os.forkpty",
            "subprocess.run",
            "subprocess.Popen",
            "subprocess.call",
            "subprocess.check_call",
            "subprocess.check_output",
            "subprocess.getoutput",
            "subprocess.getstatusoutput",
            "asyncio.create_subprocess_exec",
            "asyncio.create_subprocess_shell",
            "pty.spawn",
            "pty.fork",
            "commands.getoutput",
            "commands.getstatusoutput",
            "popen2.popen2",
            "multiprocessing.popen_fork.Popen",
            "_posixsubprocess.fork_exec",
            "pip.main",
            "pip._internal.main",
            "pip._internal.cli.main.main",
            "sh.bash",
            "sh.sh",
            "torch.utils.collect_env.run",
            "platform.popen",
            "webbrowser.open",
            "antigravity",
            "pexpect.spawn",
            "pexpect.run",
            "fabric.Connection",
            "plumbum.local",
            "invoke.run",
            "setuptools.setup",
        ],
        "process",
    ),
    # runs code from text or bytes
    **dict.fromkeys(
        [
            "builtins.exec",
            "builtins.eval",
            "builtins.compile",
            "builtins.execfile",
            "runpy.run_path",
            "runpy.run_module",
            "code.interact",
            "code.InteractiveInterpreter",
            "code.InteractiveConsole",
            "codeop.compile_command",
            "types.FunctionType",
            "types.CodeType",
            "timeit.timeit",
            "timeit.repeat",
            "timeit.main",
            "bdb.Bdb.run",
            "pdb.run",
            "pdb.runeval",
            "pdb.runcall",
            "cProfile.run",
            "profile.run",
            "profile.runctx",
            "trace.Trace",
            "marshal.loads",
            "marshal.load",
            "importlib._bootstrap._exec",
            "importlib.util.module_from_spec",
            "importlib.machinery.SourcelessFileLoader",
            "zipimport.zipimporter",
            "ctypes.pythonapi.PyRun_SimpleString",
            "torch.utils.cpp_extension.load_inline",
            "IPython.get_ipython.system",
            "numexpr.evaluate",
            "pandas.eval",
        ],
        "code",
    ),
    # opens connections
    **dict.fromkeys(
        [
            "socket.socket",
            "socket.create_connection",
            "socket.create_server",
            "urllib.request.urlopen",
            "urllib.request.urlretrieve",
            "urllib.request.build_opener",
            "urllib.urlopen",
            "urllib2.urlopen",
            "http.client.HTTPConnection",
            "http.client.HTTPSConnection",
            "requests.get",
            "requests.post",
            "requests.put",
            "requests.request",
            "requests.Session",
            "requests.session",
            "requests.head",
            "requests.patch",
            "requests.delete",
            "httpx.get",
            "httpx.post",
            "httpx.Client",
            "httpx.request",
            "httpx.AsyncClient",
            "httpx.stream",
            "aiohttp.ClientSession",
            "urllib3.PoolManager",
            "urllib3.request",
            "ftplib.FTP",
            "smtplib.SMTP",
            "smtplib.SMTP_SSL",
            "telnetlib.Telnet",
            "xmlrpc.client.ServerProxy",
            "websocket.create_connection",
            "websockets.connect",
            "paramiko.SSHClient",
            "socketserver.TCPServer",
            "http.server.HTTPServer",
            "pycurl.Curl",
            "wget.download",
            "boto3.client",
            "torch.hub.download_url_to_file",
            "torch.hub.load_state_dict_from_url",
            "huggingface_hub.hf_hub_download",
            "huggingface_hub.snapshot_download",
        ],
        "network",
    ),
    # loads machine code
    **dict.fromkeys(
        [
            "ctypes.CDLL",
            "ctypes.cdll.LoadLibrary",
            "ctypes.PyDLL",
            "ctypes.WinDLL",
            "ctypes.OleDLL",
            "ctypes.windll",
            "ctypes.cdll",
            "ctypes.LibraryLoader",
            "ctypes.util.find_library",
            "cffi.FFI",
            "torch.ops.load_library",
            "torch.classes.load_library",
            "torch.utils.cpp_extension.load",
            "ctypes.memmove",
            "numpy.ctypeslib.load_library",
        ],
        "library",
    ),
    # unpickles
    **dict.fromkeys(
        [
            "pickle.load",
            "pickle.loads",
            "pickle.Unpickler",
            "_pickle.loads",
            "_pickle.load",
            "cPickle.loads",
            "cPickle.load",
            "dill.load",
            "dill.loads",
            "cloudpickle.load",
            "cloudpickle.loads",
            "joblib.load",
            "torch.load",
            "numpy.load",
            "pandas.read_pickle",
            "shelve.open",
            "yaml.load",
            "yaml.unsafe_load",
            "yaml.full_load",
            "jsonpickle.decode",
            "torch.hub.load",
            "torch.jit.load",
            "sklearn.externals.joblib.load",
        ],
        "unpickle",
    ),
    # removes or replaces files
    **dict.fromkeys(
        [
            "shutil.rmtree",
            "os.remove",
            "os.unlink",
            "os.rmdir",
            "os.removedirs",
            "os.rename",
            "os.replace",
            "os.truncate",
            "os.chmod",
            "os.chown",
            "shutil.move",
            "os.kill",
            "os.killpg",
            "os.symlink",
            "os.link",
            "os.setuid",
            "os.putenv",
            "sys.addaudithook",
        ],
        "files",
    ),
}
"""Full name to kind: process, code, network, library, unpickle, files."""

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?:os|posix|nt)\.(?:exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|system|popen|fork)"), "process"),
    (re.compile(r"subprocess\.\w+"), "process"),
    (re.compile(r"(?:ctypes\.)?(?:cdll|windll|oledll)\.\w+"), "library"),
)
_HARMLESS = re.compile(
    r"subprocess\.(?:PIPE|DEVNULL|STDOUT|CalledProcessError|TimeoutExpired|CompletedProcess|SubprocessError|list2cmdline)"
)

INNER_ATTRIBUTES = frozenset(
    [
        "__subclasses__",
        "__globals__",
        "__builtins__",
        "__code__",
        "__closure__",
        "__bases__",
        "__mro__",
        "__base__",
        "f_globals",
        "f_builtins",
        "gi_frame",
        "tb_frame",
        "__reduce__",
        "__reduce_ex__",
        "__getattribute__",
        "__loader__",
        "func_globals",
    ]
)
"""Attributes by which code climbs from an object to the interpreter; some of them have honest uses on their own."""


def effect_of(name: str) -> str | None:
    """The kind of a function by its full name; None for what is harmless or unknown."""
    if _HARMLESS.fullmatch(name):
        return None
    found = _EFFECTS.get(name)
    if found is None:
        found = next((kind for pattern, kind in _PATTERNS if pattern.fullmatch(name)), None)
    return found
