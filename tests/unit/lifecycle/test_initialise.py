"""helio init: finds what is there without running it, and writes a file that the strict loader takes."""

import gzip
import json
import os
import stat
import struct
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliotrope.config.loader import load_config, load_yaml_text
from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.errors import UsageError
from heliotrope.lifecycle.initialise import MAX_MODELS, initialise, quoted
from heliotrope.subjects.formats import format_of

GOLDEN = Path(__file__).parents[2] / "golden/init/heliotrope.yaml"

NETWORK = """
import torch
from torch import nn

open("marker", "w").write("executed")

class Base(nn.Module): ...
class Net(Base): ...
class Plain: ...

def build() -> nn.Module:
    return Net()
"""


def put(path: Path, data: bytes | str = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def npy(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def npz(path: Path, **arrays: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return path


def idx(*shape: int) -> bytes:
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def png(width: int, height: int, color: int = 0) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)


def safetensors(**shapes: list[int]) -> bytes:
    header = json.dumps(
        {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    )
    return struct.pack("<Q", len(header)) + header.encode()


def config_of(root: Path) -> HeliotropeConfig:
    initialise(root, force=True)
    return load_config(root / "heliotrope.yaml").config


def loaders_of(tmp_path: Path, source: str, name: str = "net.py") -> list[str]:
    put(tmp_path / name, source)
    return [
        line.removeprefix("loader: ") for line in initialise(tmp_path, force=True).found if line.startswith("loader: ")
    ]


def test_a_whole_repository_gives_the_golden_file(tmp_path):
    root = tmp_path / "my project!"
    put(root / ".git/HEAD")
    put(root / "weights/classifier.safetensors", safetensors(a=[2, 3], b=[4]))
    put(root / "weights/classifier.pth")
    put(root / "other/model.onnx")
    put(root / "net.py", NETWORK)
    put(root / "data/t10k-images-idx3-ubyte.gz", gzip.compress(idx(10, 28, 28)))
    put(root / "data/t10k-labels-idx1-ubyte.gz", gzip.compress(idx(10)))
    put(root / "data/train-images-idx3-ubyte", idx(60, 28, 28))
    put(root / "data/train-labels-idx1-ubyte", idx(60))
    put(root / "requirements.txt")
    result = initialise(root)
    if os.environ.get("HELIOTROPE_UPDATE_GOLDEN"):
        GOLDEN.write_text(result.text, "utf-8")
    assert result.text == GOLDEN.read_text("utf-8")
    assert result.path.read_text("utf-8") == result.text
    assert (root / ".gitignore").read_text() == ".heliotrope/\n"
    assert result.gitignore_changed
    assert result.notes == ()
    config = load_config(result.path).config
    assert config.project == "my-project"
    assert [model.name for model in config.models] == ["model", "classifier"]


def test_nothing_is_imported_or_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "net.py", NETWORK)
    put(tmp_path / "sitecustomize.py", "open('marker', 'w')")
    before = set(sys.modules)
    assert initialise(tmp_path).found == ("loader: net:build",)
    assert not (tmp_path / "marker").exists()
    assert not {"net", "torch", "numpy"} & (set(sys.modules) - before)


@pytest.mark.parametrize(
    "function",
    [
        "def f() -> nn.Module: ...",
        "def f() -> 'nn.Module': ...",
        "def f() -> torch.nn.Module: ...",
        "def f(width=3, *, depth=2) -> Net: ...",
        "def f(): return Net()",
        "def f(): return Net(3).eval()",
        "def f(): return nn.Sequential(nn.Linear(1, 2))",
        "def f():\n    net = Net()\n    net.eval()\n    return net",
    ],
)
def test_loader_candidates(tmp_path, function):
    assert loaders_of(tmp_path, f"import torch\nfrom torch import nn\nclass Net(nn.Module): ...\n{function}\n") == [
        "net:f"
    ]


@pytest.mark.parametrize(
    "function",
    [
        "def f(path) -> nn.Module: ...",
        "def f(*, path) -> nn.Module: ...",
        "def _f() -> nn.Module: ...",
        "async def f() -> nn.Module: ...",
        "@decorated\ndef f() -> nn.Module: ...",
        "def f(): return Plain()",
        "def f() -> int: return 1",
        "def f():\n    def g(): return Net()\n    return 1",
        "class C:\n    def f(self=None) -> nn.Module: ...",
        "f = Net",
    ],
)
def test_no_loader_candidates(tmp_path, function):
    source = f"import torch\nfrom torch import nn\nclass Net(nn.Module): ...\nclass Plain: ...\n{function}\n"
    assert loaders_of(tmp_path, source) == []


def test_classes_of_other_files_count_and_foreign_ones_do_not(tmp_path):
    put(tmp_path / "zoo/base.py", "from torch.nn import Module\nclass Base(Module): ...")
    put(tmp_path / "zoo/net.py", "from .base import Base\nclass Net(Base): ...\ndef make(): return Net()")
    put(
        tmp_path / "app.py",
        "from zoo.net import Net as Network\ndef build(): return Network()\ndef other(): return Net()",
    )
    assert loaders_of(tmp_path, "from flask import Net\ndef f(): return Base()\n") == ["app:build", "zoo.net:make"]


@pytest.mark.parametrize("name", ["test_net.py", "tests/net.py", "setup.py", "my-net.py", "a b/net.py", "conftest.py"])
def test_files_that_cannot_be_imported_or_are_tests_have_no_loaders(tmp_path, name):
    assert loaders_of(tmp_path, "from torch import nn\ndef f() -> nn.Module: ...", name) == []


@pytest.mark.parametrize(
    "source",
    [
        "def f(:",
        "\0",
        "(" * 100_000,
        "-" * 200_000 + "1",
        "x = " + "[" * 3000 + "]" * 3000,
        "'\\d'",
        "1 is 1",
        "# \xff",
        "a." * 50_000 + "a",
    ],
)
def test_python_files_that_break_a_parser_are_no_obstacle(tmp_path, source):
    (tmp_path / "bad.py").write_bytes(source.encode("latin-1"))
    assert loaders_of(tmp_path, "from torch import nn\ndef f() -> nn.Module: ...") == ["net:f"]


def test_several_loaders_are_a_question_for_the_person(tmp_path):
    put(tmp_path / "model.pt")
    source = "from torch import nn\ndef f() -> nn.Module: ...\ndef g() -> nn.Module: ...\n"
    assert loaders_of(tmp_path, source) == ["net:f", "net:g"]
    assert load_config(tmp_path / "heliotrope.yaml").config.models[0].loader is None
    assert "# loader: one of net:f, net:g" in (tmp_path / "heliotrope.yaml").read_text()


def test_models_side_by_side_get_what_lies_beside_them(tmp_path):
    for name in ("one", "two"):
        put(tmp_path / name / "model.pt")
        put(tmp_path / name / "net.py", "from torch import nn\ndef f() -> nn.Module: ...")
        npz(tmp_path / name / "test.npz", images=npy((5, 8, 8)), labels=npy((5,)))
    first, second = config_of(tmp_path).models
    assert (first.name, first.loader, first.data.evaluate.path) == ("model", "one.net:f", "one/test.npz")
    assert (second.name, second.loader, second.data.evaluate.path) == ("two-model", "two.net:f", "two/test.npz")


@pytest.mark.parametrize(
    ("stored", "shape"),
    [
        ((5, 28, 28), (1, 28, 28)),
        ((5, 3, 32, 32), (3, 32, 32)),
        ((5, 32, 32, 3), (3, 32, 32)),
        ((5, 784), None),
        ((5,), None),
        ((5, 0, 28), None),
        ((5, 28, 10**9), None),
        ((5, 7, 9, 11), None),
    ],
)
def test_the_shape_comes_from_the_header(tmp_path, stored, shape):
    put(tmp_path / "model.pt")
    npz(tmp_path / "test.npz", images=npy(stored), labels=npy((5,)))
    (model,) = config_of(tmp_path).models
    assert (model.input.shape if model.input else None) == shape
    assert model.data.evaluate.path == "test.npz"


def test_data_whose_part_is_unknown_stays_a_comment(tmp_path):
    put(tmp_path / "model.pt")
    npz(tmp_path / "digits.npz", images=npy((5, 8, 8)), labels=npy((5,)))
    (model,) = config_of(tmp_path).models
    assert model.data.evaluate is None
    assert "# data: {evaluate: {path: digits.npz}}  # if" in (tmp_path / "heliotrope.yaml").read_text()


def test_two_candidates_for_the_same_part_stay_comments(tmp_path):
    put(tmp_path / "model.pt")
    for name in ("test", "val"):
        npz(tmp_path / f"{name}.npz", images=npy((5, 8, 8)), labels=npy((5,)))
    (model,) = config_of(tmp_path).models
    assert model.data.evaluate is None
    assert "# data.evaluate could be: {path: val.npz}" in (tmp_path / "heliotrope.yaml").read_text()


def test_npz_with_both_parts_and_other_keys(tmp_path):
    put(tmp_path / "model.pt")
    arrays = {"x_train": npy((9, 8, 8)), "y_train": npy((9,)), "x_test": npy((5, 8, 8), "<f4"), "y_test": npy((5,))}
    npz(tmp_path / "mnist.npz", **arrays)
    (model,) = config_of(tmp_path).models
    assert (model.data.evaluate.images_key, model.data.evaluate.labels_key) == ("x_test", "y_test")
    assert (model.data.train.images_key, model.data.train.labels_key) == ("x_train", "y_train")


def test_npy_pairs(tmp_path):
    put(tmp_path / "model.pt")
    put(tmp_path / "X_test.npy", npy((5, 3, 8, 8), "<f4"))
    put(tmp_path / "y_test.npy", npy((5,)))
    put(tmp_path / "images_alone.npy", npy((5, 3, 8, 8)))
    (model,) = config_of(tmp_path).models
    assert (model.data.evaluate.images, model.data.evaluate.labels) == ("X_test.npy", "y_test.npy")
    assert "add range:" in (tmp_path / "heliotrope.yaml").read_text()


def test_image_folders_give_labels(tmp_path):
    put(tmp_path / "model.pt")
    for name in ("dog", "cat: big", "yes"):
        put(tmp_path / "photos/test" / name / "1.png", png(20, 10, 2))
        put(tmp_path / "photos/test" / name / "2.jpg")
    (model,) = config_of(tmp_path).models
    assert model.data.evaluate.path == "photos/test"
    assert model.labels == ("cat: big", "dog", "yes")
    assert model.input.shape == (3, 10, 20)


def test_folders_that_hold_other_things_are_no_image_folders(tmp_path):
    put(tmp_path / "model.pt")
    for name in ("a", "b"):
        put(tmp_path / "mixed/test" / name / "1.png", png(2, 2))
        put(tmp_path / "one/test" / "a" / f"{name}.png", png(2, 2))
        put(tmp_path / "stray/test" / name / "1.png", png(2, 2))
    put(tmp_path / "mixed/test/a/notes.txt")
    put(tmp_path / "stray/test/readme.md")
    (model,) = config_of(tmp_path).models
    assert (model.data.evaluate, model.labels) == (None, None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x05\x06",
        b"PK\x05\x06" + b"\xff" * 18,
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff" + b"x" * 70_000,
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        npy((5, 8, 8)).replace(b"(5, 8, 8)", b"__import"),
        npy((5, 8, 8)).replace(b"(5, 8, 8)", b"(5 8 8 ,)"),
        b"\x1f\x8b\x08" + b"\0" * 20,
        b"\0\0\x08\xff",
        b"\0\0\x08\x03\0\0",
        struct.pack("<Q", 2**60),
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 33) + b'{"a":{"shape":[99999999999999,9]}}',
    ],
)
def test_broken_headers_are_no_obstacle(tmp_path, data):
    for name in (
        "test.npz",
        "x_test.npy",
        "y_test.npy",
        "test-images-idx3-ubyte",
        "test-images-idx3-ubyte.gz",
        "m.safetensors",
    ):
        put(tmp_path / name, data)
    put(tmp_path / "test-labels-idx1-ubyte", data)
    put(tmp_path / "test-labels-idx1-ubyte.gz", data)
    (model,) = config_of(tmp_path).models
    assert (model.path, model.input) == ("m.safetensors", None)


def test_a_bin_file_is_a_model_only_when_it_begins_like_one(tmp_path):
    put(tmp_path / "pytorch_model.bin", b"PK\x03\x04")
    put(tmp_path / "old.bin", b"\x80\x02")
    put(tmp_path / "firmware.bin", b"\x7fELF")
    assert [model.path for model in config_of(tmp_path).models] == ["old.bin", "pytorch_model.bin"]


def test_shards_are_told_and_not_listed(tmp_path):
    for index in (1, 2):
        put(tmp_path / f"model-0000{index}-of-00002.safetensors")
    result = initialise(tmp_path)
    assert result.notes == ("model: 2 shards are not listed as a model; name a loader that reads them itself",)
    assert load_config(result.path).config.models == ()


def test_more_models_than_fit_are_told(tmp_path):
    for index in range(MAX_MODELS + 5):
        put(tmp_path / f"{index}/model.pt")
    result = initialise(tmp_path)
    models = load_config(result.path).config.models
    assert len({model.name for model in models}) == MAX_MODELS
    assert result.notes == ("5 more model files are not listed; the static checks see them",)


def test_an_empty_folder_gives_a_file_that_says_what_to_add(tmp_path):
    result = initialise(tmp_path)
    assert load_config(result.path).config.models == ()
    assert "# No model file was found" in result.text
    assert not result.gitignore_changed


def test_lock_files(tmp_path):
    for name in (
        "requirements.txt",
        "requirements-dev.txt",
        "sub/uv.lock",
        "pylock.dev.toml",
        "environment.yml",
        "x.lock",
    ):
        put(tmp_path / name)
    assert set(config_of(tmp_path).dependencies) == {
        "environment.yml",
        "pylock.dev.toml",
        "requirements-dev.txt",
        "requirements.txt",
        "sub/uv.lock",
    }


def test_every_comment_that_offers_a_key_works_when_uncommented(tmp_path):
    put(tmp_path / "model.pt")
    text = initialise(tmp_path).text
    lines = [line for line in text.splitlines() if "# loader:" not in line]
    offered = [
        line.replace("# ", "", 1) if line.strip().startswith("# ") and ":" in line else line for line in lines[3:]
    ]
    config = load_yaml_text("\n".join(offered), Path("x"), HeliotropeConfig).value
    assert config.models[0].input.shape == (1, 28, 28)
    assert config.models[0].output == "logits"
    assert config.models[0].data.evaluate.path == "data/test.npz"
    assert config.threat.eps == 0.1
    assert config.gates.floors


def test_an_existing_file_is_kept_unless_forced(tmp_path):
    put(tmp_path / "heliotrope.yaml", "mine")
    with pytest.raises(UsageError, match="exists already") as caught:
        initialise(tmp_path)
    assert "--force" in caught.value.hint
    assert (tmp_path / "heliotrope.yaml").read_text() == "mine"
    initialise(tmp_path, force=True)
    assert load_config(tmp_path / "heliotrope.yaml").config.version == 1
    assert [path.name for path in tmp_path.iterdir()] == ["heliotrope.yaml"]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    victim = put(tmp_path / "victim", "precious")
    root = tmp_path / "root"
    root.mkdir()
    (root / "heliotrope.yaml").symlink_to(victim)
    (root / ".gitignore").symlink_to(victim)
    with pytest.raises(UsageError, match="exists already"):
        initialise(root)
    result = initialise(root, force=True)
    assert victim.read_text() == "precious"
    assert not (root / "heliotrope.yaml").is_symlink()
    assert any("add .heliotrope/ to .gitignore yourself" in note for note in result.notes)


def test_where_nothing_can_be_written_says_so(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        initialise(tmp_path / "nothing")
    with pytest.raises(UsageError, match="is not a folder"):
        initialise(put(tmp_path / "file"))
    (tmp_path / "root/heliotrope.yaml").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be written: Is a directory"):
        initialise(tmp_path / "root", force=True)
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["heliotrope.yaml"]
    with pytest.raises(UsageError, match="cannot be written"):
        initialise(Path("/proc/self/task"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\n", "a\n.heliotrope/\n"),
        ("a", "a\n.heliotrope/\n"),
        ("", ".heliotrope/\n"),
        (".heliotrope/\n", None),
        ("/.heliotrope\r\n", None),
    ],
)
def test_gitignore_is_added_to_once(tmp_path, before, after):
    path = tmp_path / ".gitignore"
    path.write_bytes(before.encode())
    assert initialise(tmp_path).gitignore_changed is (after is not None)
    assert path.read_bytes().decode() == (before if after is None else after)
    assert not initialise(tmp_path, force=True).gitignore_changed


def test_gitignore_is_made_below_a_work_tree_also(tmp_path):
    put(tmp_path / ".git", "gitdir: elsewhere")
    root = tmp_path / "deep/project"
    root.mkdir(parents=True)
    assert initialise(root).gitignore_changed


def test_pipes_and_links_out_are_notes(tmp_path):
    os.mkfifo(tmp_path / "model.pt")
    (tmp_path / "out.pt").symlink_to("/etc/passwd")
    result = initialise(tmp_path)
    assert result.notes == ("model.pt: is a pipe, not a file", "out.pt: link leaves the folder")
    assert stat.S_ISFIFO((tmp_path / "model.pt").stat().st_mode)


def test_names_that_are_not_utf8_are_noted(tmp_path):
    Path(f"{tmp_path}/m\udcff.pt").write_bytes(b"x")
    result = initialise(tmp_path)
    assert load_config(result.path).config.models == ()
    assert result.notes == ("m\\xff.pt: its name is not valid UTF-8, so that heliotrope.yaml cannot name it",)


TRAPS = [
    "a: b",
    "#x",
    "'",
    '"',
    "\n",
    "yes",
    "null",
    "1",
    "-",
    "- a",
    "{",
    "[",
    "*a",
    "&a",
    "!a",
    "%",
    "@",
    "`",
    "\u2028",
    "\x85",
    "\u202e",
    " ",
    "\\",
    "~",
    "é",
    "\U0001f600",
    "=",
    "<<",
    "?",
    "|",
    ">",
    "\t",
    "\ufeff",
]


@pytest.mark.parametrize("trap", TRAPS)
def test_hostile_names_are_quoted(tmp_path, trap):
    put(tmp_path / trap / f"{trap}.pt")
    for name in (trap, f"{trap}{trap}"):
        put(tmp_path / "photos/test" / name / "1.png", png(2, 2))
    put(tmp_path / trap / "requirements.txt")
    config = config_of(tmp_path)
    assert [model.path for model in config.models] == [f"{trap}/{trap}.pt"]
    assert config.dependencies == (f"{trap}/requirements.txt",)
    assert all(model.labels in (None, tuple(sorted({trap, f"{trap}{trap}"}))) for model in config.models)


@given(st.text(max_size=40))
def test_any_text_survives_quoting_on_one_line(text):
    clean = text.encode("utf-8", "ignore").decode().replace("\0", "")
    line = quoted(clean)
    assert len(line.splitlines()) <= 1
    config = load_yaml_text(f"version: 1\nproject: a\ndependencies: [{line}]\n", Path("x"), HeliotropeConfig).value
    assert config.dependencies == (clean,)


FILE_NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: name not in (b".", b"..") and not {0, 47} & set(name)
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(FILE_NAMES, max_size=6), suffix=st.sampled_from([b".pt", b".safetensors", b".py", b".npz", b""]))
def test_whatever_files_are_called_the_written_file_loads(tmp_path_factory, names, suffix):
    root = tmp_path_factory.mktemp("names")
    for name in names:
        Path(os.fsdecode(os.fsencode(root) + b"/" + name + suffix)).write_bytes(b"x")
    first = initialise(root).text
    config = load_config(root / "heliotrope.yaml").config
    on_disk = {os.fsencode(path.name) for path in root.iterdir()}
    assert all(model.path is None or model.path.encode() in on_disk for model in config.models)
    assert initialise(root, force=True).text == first


@pytest.mark.parametrize(
    ("name", "format_", "states_output"),
    [
        ("m.onnx", "onnx", False),
        ("m.ubj", "xgboost", True),
        ("m.xgb", "xgboost", True),
        ("m.lgb", "lightgbm", True),
        ("m.cbm", "catboost", True),
        ("m.skops", "sklearn", True),
        ("m.joblib", "sklearn", True),
    ],
)
def test_models_of_tables_get_a_draft_with_the_columns_of_the_table(tmp_path, name, format_, states_output):
    put(tmp_path / "models" / name)
    put(tmp_path / "models/test.csv", "age,income,diagnosis\n1,2,x\n")
    put(tmp_path / "models/train.parquet", b"PAR1")
    text = initialise(tmp_path).text
    assert "one of diagnosis, age, income" in text
    assert ("# output: probabilities" in text) is not states_output
    lines = [line.replace("# task", "task", 1) for line in text.splitlines()]
    model = load_yaml_text("\n".join(lines), Path("x"), HeliotropeConfig).value.models[0]
    assert format_of(model).format == format_
    assert model.task == "tabular-classification"
    assert model.data.evaluate.path == "models/test.csv"
    assert model.data.train.path == "models/train.parquet"


@pytest.mark.parametrize(
    ("name", "data", "columns"),
    [
        ("t.csv", "a;b;c\n1;2;3\n", ["a", "b", "c"]),
        ("t.tsv", "a\tb\n1\t2\n", ["a", "b"]),
        ("t.csv", '\ufeff"a, b",c\n', ["a, b", "c"]),
        ("t.csv", "1,2,3\n4,5,6\n", None),
        ("t.csv", "a,a\n", None),
        ("t.csv", "a,b", None),
        ("t.csv", b"\xff\xfe\x00", None),
        ("t.csv", "x" * 300_000, None),
        ("t.csv", "", None),
    ],
)
def test_columns_are_named_only_when_the_header_is_one(tmp_path, name, data, columns):
    put(tmp_path / "m.ubj")
    put(tmp_path / name, data)
    text = initialise(tmp_path).text
    expected = f"one of {', '.join(columns)}" if columns else "add target: the column of right answers"
    assert expected in text
