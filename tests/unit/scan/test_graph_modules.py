"""Traced modules of torch.fx: the code that loading runs is what torch writes, or a finding."""

import io
import math
import pickle
import string
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adversary.oracle import Oracle

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import scan_paths

pytestmark = pytest.mark.torch

torch = pytest.importorskip("torch")
fx = pytest.importorskip("torch.fx")
functional = torch.nn.functional
fx.wrap("len")

CAUGHT = {"malicious", "suspicious"}


def scanned(data: bytes, folder: Path, name: str = "m.pt") -> FileReport:
    path = folder / name
    path.write_bytes(data)
    (report,) = scan_paths([path]).files
    return report


def saved(model: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    return buffer.getvalue()


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
        self._scale = torch.nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None, limit: float = math.inf) -> dict[str, Any]:
        y = functional.gelu(self.layers(x), approximate="tanh") * self._scale
        y = torch.where(torch.isnan(y), torch.zeros_like(y), y)[:, 0:2]
        return {"a": y.view(y.shape[0], -1) / len(x), "b": (y @ y.t(), [None, 'text "q"'])}


def attention(x: Any) -> Any:
    y = functional.scaled_dot_product_attention(x, x, x).to(torch.float16).float()
    return torch.einsum("bij->bji", y) + torch.arange(3, device=x.device, dtype=torch.float32) - 1e-6


class Attending(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return attention(x).masked_fill(x > 0, float("-inf")).chunk(2, dim=0)[0]


class Residual(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleDict(
            {"first": torch.nn.Conv2d(1, 1, 3, padding=1), "_second": torch.nn.BatchNorm2d(1)}
        )
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, x: Any) -> Any:
        for block in self.blocks.values():
            x = torch.relu(block(x - self.mean)) + x
        return torch.special.expit(torch.linalg.norm(x)), x.size(0) // 2, ~(x > 1) | True


def by_operators() -> Any:
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(lambda x: torch.sin(x) + torch.ones(3, device="cpu").sum())(torch.ones(3))


def quantised() -> Any:
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    example = (torch.randn(1, 1, 5, 5),)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 2))
    prepared = prepare_fx(model.eval(), get_default_qconfig_mapping("fbgemm"), example)
    prepared(*example)
    return convert_fx(prepared)


def nested() -> Any:
    inner = fx.symbolic_trace(Small())
    return torch.nn.Sequential(inner, torch.nn.Identity())


ORDINARY = {
    "layers": lambda: fx.symbolic_trace(Small()),
    "functions": lambda: fx.symbolic_trace(Attending()),
    "residual": lambda: fx.symbolic_trace(Residual()),
    "inside of another": nested,
    "traced again": lambda: fx.symbolic_trace(nested()),
    "checkpoint": lambda: {"model": fx.symbolic_trace(Small()), "ema": fx.symbolic_trace(Small()), "epoch": 3},
}


SLOW_TO_MAKE = {"operators": by_operators, "quantised": quantised}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*ORDINARY, *(pytest.param(name, marks=pytest.mark.nightly) for name in SLOW_TO_MAKE)])
def test_traced_modules_are_clean(name: str, tmp_path: Path) -> None:
    report = scanned(saved((ORDINARY | SLOW_TO_MAKE)[name]()), tmp_path)
    assert [item for item in report.findings if item.severity != "info"] == []
    assert report.verdict == "clean"


@pytest.mark.parametrize("protocol", range(2, 6))
def test_traced_modules_in_plain_pickles_are_clean(protocol: int, tmp_path: Path) -> None:
    data = pickle.dumps(fx.symbolic_trace(Attending()), protocol=protocol)
    assert scanned(data, tmp_path, "m.pkl").verdict == "clean"


class Module:
    """What a file would say that is a traced module, with another body and other imports."""

    def __init__(self, code: Any = None, imports: Any = "import torch\n", **changes: Any) -> None:
        self.body = dict(fx.symbolic_trace(Small()).__reduce__()[1][0])
        if code is not None:
            self.body["_code"] = code
        self.body.update(changes)
        self.imports = imports

    def __reduce__(self) -> Any:
        return fx.graph_module.reduce_graph_module, (self.body, self.imports)


HEAD = "\ndef forward(self, x):\n    "
SING = "open('canary', 'w')"
HOSTILE = {
    "import above": (HEAD + "return x", "import torch\nimport os\nos.system('touch canary')\n"),
    "import of a module only": (HEAD + "return x", "import antigravity\n"),
    "import in the function": (HEAD + "import os; os.system('touch canary'); return x", "import torch\n"),
    "from import": (HEAD + "return x", "from os import system as s\ns('touch canary')\n"),
    "renamed as a known function": (HEAD + "len('touch canary')\n    return x", "from os import system as len\n"),
    "renamed as torch": (HEAD + "torch.system('touch canary')\n    return x", "import os as torch\n"),
    "star": (HEAD + "system('touch canary')\n    return x", "from os import *\n"),
    "exec": (HEAD + f'exec("{SING}")\n    return x', "import torch\n"),
    "eval by another name": (HEAD + f'e = eval\n    e("{SING}")\n    return x', "import torch\n"),
    "__import__": (HEAD + "__import__('os').system('touch canary')\n    return x", "import torch\n"),
    "attributes": (HEAD + f"().__class__.__base__.__subclasses__()\n    {SING}\n    return x", "import torch\n"),
    "a module's own modules": (HEAD + "torch.os.system('touch canary')\n    return x", "import torch\n"),
    "serialization": (HEAD + "torch.save(1, 'canary')\n    return x", "import torch\n"),
    "from_file": (HEAD + "torch.from_file('canary', True, 10)\n    return x", "import torch\n"),
    "operator from a file": (HEAD + "torch.ops.aten.from_file('canary', True, 10)\n    return x", "import torch\n"),
    "library": (HEAD + "torch.ops.load_library('canary')\n    return x", "import torch\n"),
    "array's method": (HEAD + "torch.ones(3).numpy().tofile('canary')\n    return x", "import torch\n"),
    "storage's method": (HEAD + "torch.ones(3).untyped_storage().byteswap(x)\n    return x", "import torch\n"),
    "default": (f"\ndef forward(self, x={SING}):\n    return x", "import torch\n"),
    "keyword default": (f"\ndef forward(self, *, x={SING}):\n    return x", "import torch\n"),
    "annotation": (f"\ndef forward(self, x: {SING}):\n    return x", "import torch\n"),
    "return annotation": (f"\ndef forward(self, x) -> {SING}:\n    return x", "import torch\n"),
    "annotated variable": (HEAD + f"y: {SING} = x\n    return x", "import torch\n"),
    "decorator": (f"\n@{SING}.write\ndef forward(self, x):\n    return x", "import torch\n"),
    "class": (f"\nclass A:\n    {SING}\n" + HEAD + "return x", "import torch\n"),
    "class keyword": (f"\nclass A(metaclass={SING}): pass\n" + HEAD + "return x", "import torch\n"),
    "second function": (f"\ndef a():\n    {SING}\n" + HEAD + "return a()", "import torch\n"),
    "redefined": (HEAD + f"return x\n{SING}\n", "import torch\n"),
    "lambda": (HEAD + f"(lambda: {SING})()\n    return x", "import torch\n"),
    "comprehension": (HEAD + f"[{SING} for _ in (1,)]\n    return x", "import torch\n"),
    "generator": (HEAD + f"any({SING} for _ in (1,))\n    return x", "import torch\n"),
    "walrus": (HEAD + f"(y := {SING})\n    return x", "import torch\n"),
    "f-string": (
        HEAD + f"f'{{{SING}}}'\n    return x".replace("'canary'", '"canary"').replace("'w'", '"w"'),
        "import torch\n",
    ),
    "starred": (HEAD + f"print(*[{SING}])\n    return x", "import torch\n"),
    "dictionary": (HEAD + f"dict(**{{'a': {SING}}})\n    return x", "import torch\n"),
    "subscript": (HEAD + f"x[{SING}]\n    return x", "import torch\n"),
    "comparison": (HEAD + f"1 < {SING}\n    return x", "import torch\n"),
    "conditional": (HEAD + f"{SING} if 1 else x\n    return x", "import torch\n"),
    "assert": (HEAD + f"assert {SING}\n    return x", "import torch\n"),
    "with": (HEAD + f"with {SING}: pass\n    return x", "import torch\n"),
    "try": (HEAD + f"try: {SING}\n    finally: pass\n    return x", "import torch\n"),
    "delete": (HEAD + f"del x[{SING}]\n    return 1", "import torch\n"),
    "global": (HEAD + f"global y; y = {SING}\n    return x", "import torch\n"),
    "augmented": (HEAD + f"x += {SING}\n    return x", "import torch\n"),
    "target": (HEAD + f"x[{SING}] = 1\n    return x", "import torch\n"),
    "attribute target": (HEAD + "self.layers.forward = print\n    return x", "import torch\n"),
    "getattr": (
        HEAD + "getattr(torch, 'save')(1, 'canary')\n    return x",
        "from builtins import getattr\nimport torch\n",
    ),
    "getattr of a result": (
        HEAD + "getattr(torch.ones(1), 'numpy')().tofile('canary')\n    return x",
        "import torch\n",
    ),
    "method of the module": (HEAD + "self.add_module('a\"', self.layers)\n    return x", "import torch\n"),
    "apply": (HEAD + "self.apply(print)\n    return x", "import torch\n"),
    "method of a part": (HEAD + "self.layers.insert(0, print)\n    return x", "import torch\n"),
    "what is not there": (HEAD + "return self.absent(x)", "import torch\n"),
    "part that getattr names": (
        HEAD + "getattr(self, 'layers').insert(0, print)\n    return x",
        "from builtins import getattr\n",
    ),
    "module as value": (HEAD + "return self.layers", "import torch\n"),
    "bound by assignment": (HEAD + "f = torch.save\n    f(1, 'canary')\n    return x", "import torch\n"),
    "wrapped": (HEAD + "return x", f"import torch\ntorch.fx._symbolic_trace.wrap({SING})\n"),
    "NoneType": (HEAD + "return x", f"NoneType = type({SING})\n"),
    "type of three": (HEAD + "type('A', (), {})\n    return x", "import torch\n"),
    "hook": (HEAD + "torch.ones(1).register_hook(print)\n    return x", "import torch\n"),
    "memory": (HEAD + "torch.zeros((2147483647, 2147483647))\n    return x", "import torch\n"),
    "number": (HEAD + "return x + 9 ** 9 ** 9", "import torch\n"),
    "long number": (HEAD + "return x + 0x" + "f" * 5000, "import torch\n"),
    "no function": (SING, "import torch\n"),
    "new syntax": (HEAD + f"{SING}\n    return x\ntype A[T = int] = T\n", "import torch\n"),
    "no Python": (HEAD + "return (", "import torch\n"),
    "characters": (HEAD + "\uff4fpen('canary', 'w')\n    return x", "import torch\n"),
    "form feed": (HEAD + f"\f{SING}\n    return x", "import torch\n"),
    "carriage return": (HEAD + f"# a\r    {SING}\n    return x", "import torch\n"),
    "continued": (HEAD + "return x\nimport \\\nos\nos.system('touch canary')", "import torch\n"),
    "name of a type": (HEAD + "y: 'eval' = 1\n    return x", "import torch\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_other_code_is_a_finding(name: str, tmp_path: Path) -> None:
    code, imports = HOSTILE[name]
    report = scanned(pickle.dumps(Module(code, imports), protocol=2), tmp_path, "m.pkl")
    assert report.verdict in CAUGHT


BLATANT = (
    "import above",
    "import in the function",
    "from import",
    "exec",
    "__import__",
    "a module's own modules",
    "decorator",
)


@pytest.mark.parametrize("name", [name for name in BLATANT if name != "decorator"])
def test_what_runs_programs_is_malicious(name: str, tmp_path: Path) -> None:
    code, imports = HOSTILE[name]
    assert scanned(saved(Module(code, imports)), tmp_path).verdict == "malicious"


def test_code_that_cannot_be_parsed_is_incomplete_and_searched_for_words(tmp_path: Path) -> None:
    report = scanned(saved(Module(HEAD + "os.system('x') (", "import os\n")), tmp_path)
    rules = {item.rule for item in report.findings}
    assert {"pickle-graph-code", "python-unparsed"} <= rules
    assert report.incomplete


def test_a_function_of_somebody_else_is_named_with_the_lines_that_allow_it(tmp_path: Path) -> None:
    code, imports = HEAD + "y = mine_scaled(x)\n    return y", "from mine import scaled as mine_scaled\nimport torch\n"
    mark = '\ntorch.fx._symbolic_trace.wrap("mine_scaled")\n'
    report = scanned(saved(Module(mark + code, imports)), tmp_path)
    (finding,) = [item for item in report.findings if item.severity != "info"]
    assert finding.rule == "pickle-unknown-call"
    assert finding.global_ == "mine.scaled"
    assert "mine.scaled" in finding.fix.text


def renamed(old: str, new: str) -> dict[str, Any]:
    modules = fx.symbolic_trace(Small()).__reduce__()[1][0]["_modules"]
    return {new if name == old else name: module for name, module in modules.items()}


class Text:
    """A text that only exists while loading."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> Any:
        return str, (self.text,)


def with_old_key(code: str) -> Module:
    module = Module("")
    module.body["code"] = code
    return module


BODIES: dict[str, Any] = {
    "name with quotes": lambda: Module(
        HEAD + "return self.layers(x)",
        _modules={f'a")(x), {SING}, ("': torch.nn.Linear(1, 1), **renamed("", "")},
    ),
    "tracer": lambda: Module(_tracer_cls=torch.nn.Linear),
    "tracer's settings": lambda: Module(_tracer_extras={"concrete_args": {"x": 1}}),
    "name of the class": lambda: Module(_graphmodule_cls_name="a b"),
    "code made while loading": lambda: Module(Text(HEAD + "return x")),
    "imports made while loading": lambda: Module(HEAD + "return x", Text("import torch\n")),
    "old key": lambda: with_old_key(HEAD + f"{SING}\n    return x"),
    "part that is a function": lambda: Module(HEAD + "return self.layers(x)", layers=len),
    "array for a tensor": lambda: Module(
        HEAD + "self.table.tofile('canary')\n    return x", table=torch.ones(3).numpy()
    ),
    "array for a part": lambda: Module(HEAD + "return self.layers(x)", _modules={"layers": torch.ones(3).numpy()}),
    "method for a part": lambda: Module(
        HEAD + "self.apply(x)\n    return x", _modules={"apply": torch.nn.Linear(1, 1)}
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_other_bodies_are_a_finding(name: str, tmp_path: Path) -> None:
    assert scanned(pickle.dumps(BODIES[name](), protocol=2), tmp_path, "m.pkl").verdict in CAUGHT


def test_a_key_that_is_computed_is_a_finding(tmp_path: Path) -> None:
    """A dictionary that gets its code under a key which a call returns."""
    module = Module(HEAD + "return x")
    module.body[Text("_code")] = HEAD + f"{SING}\n    return x"
    assert scanned(pickle.dumps(module, protocol=2), tmp_path, "m.pkl").verdict in CAUGHT


def test_the_code_of_the_second_module_counts(tmp_path: Path) -> None:
    both = [Module(HEAD + "return x"), Module(HEAD + f"{SING}\n    return x")]
    assert scanned(saved(both), tmp_path).verdict in CAUGHT


@pytest.mark.parametrize("name", ["reduce_package_graph_module", "reduce_deploy_graph_module"])
def test_modules_of_packages_stay_suspicious(name: str, tmp_path: Path) -> None:
    data = f"\x80\x02ctorch.fx.graph_module\n{name}\n".encode("latin-1") + b"N}X\x01\x00\x00\x00a\x87R."
    assert scanned(data, tmp_path, "m.pkl").verdict in CAUGHT


def test_thousands_of_modules_cost_no_more_than_the_limit(tmp_path: Path) -> None:
    code = HEAD + "y = x + 1\n    " * 4000 + "return x"
    report = scanned(pickle.dumps([Module(code) for _ in range(1000)], protocol=2), tmp_path, "m.pkl")
    (finding,) = [item for item in report.findings if item.rule == "pickle-graph-code"]
    assert "more than" in finding.message


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet=string.printable, max_size=60))
def test_whatever_stands_behind_the_function_is_no_crash_and_never_clean_when_it_calls(tail: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        data = pickle.dumps(Module(HEAD + "return x\n" + tail + f"\n{SING}\n"), protocol=2)
        verdict = scanned(data, Path(folder), "m.pkl").verdict
    assert verdict in CAUGHT


@pytest.mark.filterwarnings("ignore")
def test_a_cut_file_is_never_clean(tmp_path: Path) -> None:
    data = pickle.dumps(fx.symbolic_trace(Attending()), protocol=2)
    for end in range(len(data) - 1, 0, -max(len(data) // 60, 1)):
        assert scanned(data[:end], tmp_path, "m.pkl").verdict != "clean"


def test_members_of_an_archive_are_followed_by_their_own_bytes(tmp_path: Path) -> None:
    """The pickle is compressed, so that its bytes are read again through a window."""
    source = io.BytesIO(saved(fx.symbolic_trace(Small())))
    packed = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert scanned(packed.getvalue(), tmp_path).verdict == "clean"


@pytest.mark.nightly
def test_most_of_these_execute() -> None:
    with Oracle() as oracle:
        fired = 0
        for code, imports in HOSTILE.values():
            fired += oracle.load(pickle.dumps(Module(code, imports), protocol=2), "m.pkl", ways=("pickle",)).fired
    assert fired >= 35
