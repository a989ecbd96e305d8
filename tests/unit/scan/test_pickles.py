"""What pickles can do, in every way opcodes allow, and that the scanner sees it without doing it."""

import collections
import pickle
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.scan.assembler import SYSTEM, call, glob, obj, rules, scan_bytes, stack_global, text

from heliotrope.scan import scan_paths
from heliotrope.scan.interface import Context
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.pickles.judge import Judge
from heliotrope.scan.pickles.machine import Machine
from heliotrope.scan.policy import shipped_policy
from heliotrope.scan.sources import BytesSource

ARGUMENT = text("true")
PROTO4 = b"\x80\x04"


def newobj(callee: bytes) -> bytes:
    return callee + ARGUMENT + b"\x85\x81"


def newobj_ex(callee: bytes) -> bytes:
    return callee + ARGUMENT + b"\x85}\x92"


def inst(module: str, name: str) -> bytes:
    return b"(" + b"S'true'\n" + f"i{module}\n{name}\n".encode()


WAYS = {
    "GLOBAL REDUCE": lambda module, name: call(glob(module, name), ARGUMENT),
    "STACK_GLOBAL REDUCE": lambda module, name: call(stack_global(module, name), ARGUMENT),
    "short strings": lambda module, name: call(
        b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93",
        ARGUMENT,
    ),
    "byte strings": lambda module, name: call(
        b"U" + bytes([len(module)]) + module.encode() + b"T" + struct.pack("<i", len(name)) + name.encode() + b"\x93",
        ARGUMENT,
    ),
    "escaped text": lambda module, name: call(
        b"V"
        + "".join(f"\\u{ord(char):04x}" for char in module).encode()
        + b"\nS'"
        + "".join(f"\\x{ord(char):02x}" for char in name).encode()
        + b"'\n\x93",
        ARGUMENT,
    ),
    "long strings": lambda module, name: call(
        b"\x8d" + struct.pack("<Q", len(module)) + module.encode() + text(name) + b"\x93", ARGUMENT
    ),
    "INST": inst,
    "OBJ": lambda module, name: obj(glob(module, name), ARGUMENT),
    "NEWOBJ": lambda module, name: newobj(glob(module, name)),
    "NEWOBJ_EX": lambda module, name: newobj_ex(glob(module, name)),
    "popped": lambda module, name: call(glob(module, name), ARGUMENT) + b"0N",
    "popped with mark": lambda module, name: b"(" + call(glob(module, name), ARGUMENT) + b"1N",
    "inside a list": lambda module, name: b"](" + call(glob(module, name), ARGUMENT) + b"e",
    "from the memo": lambda module, name: glob(module, name) + b"q\x070" + call(b"h\x07", ARGUMENT),
    "from the memo, out of order": lambda module, name: (
        glob(module, name) + b"r\x00\x10\x00\x000Np7\n0" + call(b"j\x00\x10\x00\x00", ARGUMENT)
    ),
    "memoized after a gap": lambda module, name: b"Nq\x050" + glob(module, name) + b"\x940" + call(b"h\x01", ARGUMENT),
    "from a text memo": lambda module, name: glob(module, name) + b"p12\n0" + call(b"g12\n", ARGUMENT),
    "duplicated": lambda module, name: call(glob(module, name) + b"2" + b"0", ARGUMENT),
    "arguments as TUPLE1": lambda module, name: glob(module, name) + ARGUMENT + b"\x85R",
    "arguments that are no tuple": lambda module, name: glob(module, name) + b"]R",
    "handed to a known callee": lambda module, name: call(glob("collections", "defaultdict"), glob(module, name)),
    "put into state": lambda module, name: (
        call(glob("functools", "partial"), glob("builtins", "abs")) + b"(" + glob(module, name) + b")}}tb"
    ),
    "behind a frame": lambda module, name: b"\x95" + struct.pack("<Q", 2) + b"N0" + call(glob(module, name), ARGUMENT),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["posix.system", "subprocess.Popen", "builtins.eval", "runpy.run_path"])
def test_dangerous_calls_are_found_in_every_way_and_protocol(
    way: str, name: str, protocol: int, tmp_path: Path
) -> None:
    module, _, attribute = name.rpartition(".")
    header = bytes([0x80, protocol]) if protocol else b""
    report = scan_bytes(tmp_path, header + WAYS[way](module, attribute) + b".")
    assert report.verdict == "malicious"
    (finding,) = [item for item in report.findings if item.rule == "pickle-dangerous-call"]
    assert finding.global_ == name
    assert finding.locations[0].offset is not None


GADGETS = """
statistics.mean bisect.insort heapq.merge difflib.get_close_matches textwrap.wrap sched.scheduler zipapp.create_archive
logging.config.dictConfig pkgutil.resolve_name torch.hub.load torch.load numpy.testing._private.utils.runstring
sympy.core.sympify.sympify idlelib.pyshell.main ensurepip._run_pip lib2to3.pgen2.grammar.Grammar.loads cProfile.run
pydoc.locate pydoc.pipepager _pyrepl.pager.pipe_pager distutils.spawn.spawn acme.plugins.load transformers.pipeline
scipy.optimize.minimize pandas.read_pickle joblib.load cloudpickle.loads dill.loads code.InteractiveInterpreter
asyncio.create_subprocess_shell multiprocessing.util.spawnv_passfds bdb.Bdb ctypes.CDLL sklearn.utils.check_output
""".split()  # noqa: SIM905 - reads better


@pytest.mark.parametrize("gadget", GADGETS)
def test_whatever_is_called_and_not_listed_is_suspicious_at_least(gadget: str, tmp_path: Path) -> None:
    module, _, name = gadget.rpartition(".")
    report = scan_bytes(tmp_path, PROTO4 + call(stack_global(module, name), ARGUMENT) + b".")
    assert report.verdict in ("malicious", "suspicious")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch.serialization", "os.system"),
        ("collections", "_sys.modules"),
        ("numpy", "core.multiarray.os.system"),
        ("torch.nn.modules.linear", "Linear.__init__.__globals__"),
        ("sklearn.svm", "base.os.popen"),
        ("random", "_os.system"),
        ("statistics", "random._os.system"),
    ],
)
def test_a_dotted_name_through_a_known_module_is_malicious(module: str, name: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, PROTO4 + call(stack_global(module, name), ARGUMENT) + b".")
    assert report.verdict == "malicious"
    assert "pickle-dotted-name" in rules(report)


def test_a_nested_class_of_unknown_code_is_suspicious_not_malicious(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, PROTO4 + stack_global("acme.test.models", "Outer.Inner") + b")\x81.")
    assert report.verdict == "suspicious"


@pytest.mark.parametrize(
    ("module", "name", "resolved"),
    [
        ("commands", "getoutput", "subprocess.getoutput"),
        ("__builtin__", "eval", "builtins.eval"),
        ("cPickle", "loads", "pickle.loads"),
        ("urllib", "urlopen", "urllib.request.urlopen"),
    ],
)
def test_names_of_python_2_are_mapped_below_protocol_3(module: str, name: str, resolved: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, b"\x80\x02" + call(glob(module, name), ARGUMENT) + b".")
    assert report.verdict == "malicious"
    assert report.findings[0].global_ == resolved


@pytest.mark.parametrize(
    "name",
    [
        call(glob("_codecs", "encode"), text("flfgrz"), text("rot13")),
        call(glob("builtins", "str"), text("system")),
        b"N",
        b"]",
        b"C\x06system",
        text("x" * 5000),
        text("7") + b"Q",
    ],
)
def test_a_name_that_is_no_constant_is_malicious(name: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, PROTO4 + call(text("posix") + name + b"\x93", ARGUMENT) + b".")
    assert report.verdict == "malicious"
    assert {"pickle-computed-name", "pickle-computed-call"} <= rules(report)


@pytest.mark.parametrize("code", [b"\x82\x07", b"\x83\x07\x01", b"\x84\x07\x01\x00\x00"])
def test_extension_codes_are_flagged_and_calling_one_is_malicious(code: bytes, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, PROTO4 + code + b".").verdict == "suspicious"
    register = call(glob("copyreg", "add_extension"), text("posix"), text("system"), b"K\x07") + b"0"
    for before in (b"", register):
        report = scan_bytes(tmp_path, PROTO4 + before + call(code, ARGUMENT) + b".")
        assert report.verdict == "malicious"


@pytest.mark.parametrize(
    "change",
    [
        glob("collections", "OrderedDict") + b"}b",
        glob("torch.nn.modules.linear", "Linear") + text("forward") + b"Ns",
        glob("torch", "nn") + b"(" + text("Linear") + b"Nu",
        glob("acme", "thing") + b"Na",
        glob("acme", "thing") + b"(Ne",
        glob("acme", "thing") + b"(N\x90",
        call(glob("builtins", "getattr"), glob("collections", "OrderedDict"), text("fromkeys")) + b"}b",
    ],
)
def test_writing_to_a_module_class_or_function_is_malicious(change: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, PROTO4 + change + b".")
    assert report.verdict == "malicious"
    assert "pickle-object-overwrite" in rules(report)


def test_an_endless_name_does_not_hide_what_follows(tmp_path: Path) -> None:
    for name in ("\U0001f600" * 5000, "x" * 100_000):
        report = scan_bytes(tmp_path, PROTO4 + glob(name, name) + b"0" + SYSTEM + b".")
        assert report.verdict == "malicious"
        assert report.incomplete == ()


@pytest.mark.parametrize("defect", [b"", b"\xff", b"R", b"h\x63", b"\x80\x09", b"I12x\n", b"cno newline"])
def test_a_stream_that_breaks_after_the_payload_is_malicious_and_incomplete(defect: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, b"\x80\x02" + SYSTEM + b"0" + defect)
    assert report.verdict == "malicious"
    assert report.incomplete


@pytest.mark.parametrize("cut", [1, 2, 5, 20])
def test_a_benign_pickle_that_is_cut_short_is_incomplete(cut: int, tmp_path: Path) -> None:
    whole = pickle.dumps({"weights": list(range(20))}, 4)
    assert scan_bytes(tmp_path, whole[:-cut]).verdict == "incomplete"


def test_further_streams_are_analysed_behind_anything(tmp_path: Path) -> None:
    first = pickle.dumps({"a": 1}, 4)
    payload = b"\x80\x02" + SYSTEM + b"."
    for between in (b"", bytes(64), b"junk " * 100, b"\x80\x02\xff", bytes(2_000_000), b"."):
        assert scan_bytes(tmp_path, first + between + payload).verdict == "malicious", between[:10]
    textual = b"cposix\nsystem\n(S'true'\ntR."
    for between in (b"", bytes(64), b"junk "):
        assert scan_bytes(tmp_path, first + between + textual).verdict == "malicious", between[:10]


def test_the_stream_after_a_broken_one_is_analysed(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, b"\x80\x02K\xff\xff" + b"\x80\x04" + SYSTEM + b".")
    assert report.verdict == "malicious"


def test_text_behind_a_pickle_is_not_taken_for_one(tmp_path: Path) -> None:
    prose = b"Notes on a\nclass\nfoo\nimport\nbar\nos.system('x')\n" * 20
    report = scan_bytes(tmp_path, pickle.dumps([1, 2], 2) + prose)
    assert report.verdict == "clean"
    assert rules(report) == {"pickle-trailing-data"}


def test_the_same_global_is_one_finding_with_its_count_and_first_places(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, b"\x80\x02](" + SYSTEM * 1000 + b"e.")
    (finding,) = report.findings
    assert finding.count == 1000
    assert len(finding.locations) == ScanLimits().max_locations
    assert [place.offset for place in finding.locations] == sorted(place.offset or 0 for place in finding.locations)


@pytest.mark.parametrize("name", ["model.pkl", "model", "notes.txt", "data.csv", "model.bin", "weights.safetensors"])
def test_content_decides_not_the_name(name: str, tmp_path: Path) -> None:
    for data in (
        b"\x80\x04" + SYSTEM + b".",
        b"cposix\nsystem\n(S'true'\ntR.",
        SYSTEM + b".",
        b"(S'x'\niposix\nsystem\n.",
    ):
        assert scan_bytes(tmp_path, data, name).verdict == "malicious"


def test_arguments_decide_where_the_policy_asks_for_them(tmp_path: Path) -> None:
    latin = call(glob("_codecs", "encode"), text("\xff"), text("latin1"))
    assert scan_bytes(tmp_path, b"\x80\x02" + latin + b".").verdict == "clean"
    rotated = call(glob("_codecs", "encode"), text("a"), text("rot13"))
    assert scan_bytes(tmp_path, b"\x80\x02" + rotated + b".").verdict == "suspicious"
    known = call(glob("copyreg", "_reconstructor"), glob("argparse", "Namespace"), glob("builtins", "object"), b"N")
    assert scan_bytes(tmp_path, b"\x80\x02" + known + b"}b.").verdict == "clean"
    unknown = call(glob("copyreg", "_reconstructor"), glob("acme", "Net"), glob("builtins", "object"), b"N")
    assert scan_bytes(tmp_path, b"\x80\x02" + unknown + b".").verdict == "suspicious"
    forgotten = b"(" + glob("argparse", "Namespace") + glob("builtins", "object") + b"Ntq\x010" + b")\x850" * 2000
    late = forgotten + glob("copyreg", "_reconstructor") + b"h\x01R."
    assert scan_bytes(tmp_path, b"\x80\x02" + late).verdict == "suspicious"


NAMESPACE = glob("argparse", "Namespace") + b")\x81"
LOAD_BYTES = glob("torch.storage", "_load_from_bytes")
STATE = b"}" + text("__setstate__") + glob("numpy", "unlisted_function") + b"sb"
INDIRECT = {
    "state set twice runs an own __setstate__": NAMESPACE + STATE + text("x") + b"b",
    "the same, from the memo": NAMESPACE + b"q\x00" + STATE + b"0h\x00" + text("x") + b"b",
    "the same, doubled": NAMESPACE
    + b"2"
    + STATE
    + b"0"
    + text("x")
    + b"b0"
    + NAMESPACE
    + STATE
    + b"2"
    + text("x")
    + b"b",
    "an own append": call(glob("collections", "OrderedDict")) + b"}" + text("append") + glob("numpy", "f") + b"sbNa",
    "a replaced append": call(glob("collections", "deque")) + b"}" + text("append") + glob("numpy", "f") + b"sbNa",
    "an own add": call(glob("collections", "OrderedDict")) + b"}" + text("add") + glob("numpy", "f") + b"sb(N\x90",
    "a loader as constructor": call(glob("numpy.random._pickle", "__generator_ctor"), b"C\x01.", LOAD_BYTES),
    "a function as constructor": call(glob("numpy.random._pickle", "__generator_ctor"), text("x"), glob("numpy", "f")),
    "a loader bound": call(glob("functools", "partial"), LOAD_BYTES, b"C\x01."),
    "a loader put into a bound function": (
        call(glob("functools", "partial"), glob("builtins", "abs")) + b"(" + LOAD_BYTES + b")}NtbN0"
    ),
    "a loader put away": b"}" + text("k") + LOAD_BYTES + b"s",
    "a loader called once and put away": (
        LOAD_BYTES + b"q\x00" + b"C\x04\x80\x02N.\x85R0" + b"}" + text("k") + b"h\x00s"
    ),
    "a factory": call(glob("collections", "defaultdict"), glob("numpy", "f")),
    "a constructor of another class": call(
        glob("copyreg", "_reconstructor"), glob("argparse", "Namespace"), glob("subprocess", "Popen"), text("true")
    ),
    "a rebuilt type that calls": call(glob("torch._tensor", "_rebuild_from_type_v2"), LOAD_BYTES, b"N", b")", b"N"),
    "a method of a known class": call(
        call(glob("builtins", "getattr"), glob("pathlib", "PosixPath"), text("touch")),
        call(glob("pathlib", "PosixPath"), text("made")),
    ),
    "a method put away": call(glob("builtins", "getattr"), glob("numpy", "ndarray"), text("tofile")),
    "a bound function replaced by its state": (
        call(glob("functools", "partial"), glob("builtins", "int")) + b"(" + glob("joblib.disk", "mkdirp") + b")}Ntb"
    ),
    "a bound function that is new": (
        glob("functools", "partial") + glob("joblib.disk", "mkdirp") + b"\x85\x81" + b"(" + LOAD_BYTES + b")}Ntb"
    ),
    "a function bound that nobody reviewed": call(
        glob("functools", "partial"), glob("joblib.disk", "mkdirp"), text("x")
    ),
    "a state in slots": NAMESPACE + b"N}" + text("__class__") + glob("numpy", "ndarray") + b"s\x86b",
    "a mapping as slots": NAMESPACE + b"N" + call(glob("collections", "OrderedDict")) + b"\x86b",
    "a state by an argument": (
        call(
            glob("torch._tensor", "_rebuild_from_type_v2"),
            glob("types", "SimpleNamespace"),
            glob("types", "SimpleNamespace"),
            b")",
            b"}" + text("__setstate__") + glob("builtins", "int") + b"s",
        )
        + text("x")
        + b"b"
    ),
    "three-argument type": call(glob("builtins", "type"), text("x"), b")", b"}"),
}


@pytest.mark.parametrize("trick", INDIRECT)
def test_known_objects_do_not_lead_to_unknown_calls(trick: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, PROTO4 + INDIRECT[trick] + b".")
    assert report.verdict in ("malicious", "suspicious")


def test_tensors_stored_as_bytes_are_inspected_as_files(tmp_path: Path) -> None:
    for inner, verdict in ((b"\x80\x02].", "clean"), (b"\x80\x02" + SYSTEM + b".", "malicious")):
        stored = b"C" + bytes([len(inner)]) + inner
        outer = b"\x80\x04" + call(glob("torch.storage", "_load_from_bytes"), stored) + b"."
        report = scan_bytes(tmp_path, outer)
        assert report.verdict == verdict
    (place,) = report.findings[0].locations
    assert place.member is not None
    assert place.member.startswith("bytes at")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.tuples(inner, inner)
        | st.builds(collections.deque, st.lists(inner))
        | st.sets(st.integers() | st.text())
    ),
    max_leaves=30,
)


@given(VALUES, st.integers(0, 5))
def test_plain_values_are_clean_and_read_to_the_last_byte(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    limits = ScanLimits()
    judge = Judge(shipped_policy(), limits)
    end = Machine(BytesSource(data), judge, limits, Budget.of(limits)).run(0)
    assert end.reason == ""
    assert end.offset == len(data)
    notes = _Notes()
    judge.commit(Context(notes, limits, Budget.of(limits), lambda *_: None))
    assert not notes.noted


class _Notes:
    """Remembers whether anything was noted."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def add(self, rule: str, message: str, **_: object) -> None:
        self.noted.append(f"{rule}: {message}")

    def incomplete(self, reason: str, **_: object) -> None:
        self.noted.append(reason)

    def imported(self, name: str) -> None:
        """What plain values import is allowed."""


@pytest.mark.parametrize(
    "key", [text("__doc_link_template"), b"V__doc_link\\u005ftemplate\n"], ids=["plain", "escaped"]
)
def test_pages_of_estimators_are_not_the_files(key: bytes, tmp_path: Path) -> None:
    """scikit-learn puts this attribute into the HTML that notebooks show, without escaping it."""
    made = b"\x80\x04csklearn.linear_model._base\nLinearRegression\n)\x81}"
    script = text('"></a><script>x</script>')
    assert scan_bytes(tmp_path, made + key + script + b"sb.").verdict == "suspicious"
    assert scan_bytes(tmp_path, made + text("coef_") + script + b"sb.").verdict == "clean"


def test_random_bytes_that_seem_to_call_a_number_are_no_pickle(tmp_path: Path) -> None:
    """Pieces of weights have neither a header nor a name; a loader stops at the call of what is no function."""
    data = b"N)R\x82\x7d" + bytes(range(1, 200))
    (tmp_path / "34dd3ad7").write_bytes(data)
    assert scan_paths([tmp_path]).files == ()
