"""The untrusted examples: found without being executed or imported, although each of them really runs when loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.scan.assembler import REPOSITORY, gallery

from heliotrope.core.predicates.scan import ScanDocument

GALLERY = gallery()

_SCAN = """
import sys
from pathlib import Path
from heliotrope.scan import scan_paths
before = None
events = []
def hook(name, arguments):
    if name in ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "exec", "compile"):
        events.append((name, str(arguments)[:80]))
import heliotrope.scan.rules
from heliotrope.scan.analysers import ANALYSERS, TEXTS
[registered.load() for registered in (*ANALYSERS, TEXTS)]  # what the scanner itself needs is imported now
scan_paths([Path(sys.argv[1]) / "settings.pkl"])
before = set(sys.modules)
sys.addaudithook(hook)
document = scan_paths([Path(sys.argv[1])])
allowed = {"ast", "warnings", "bz2", "_bz2", "_compression", "lzma", "_lzma", "_ast"}  # the standard library, for npy headers and compressed files
allowed |= {"encodings.unicode_escape", "encodings.utf_16_be"}  # for escapes, and for the order of keys in JSON
new = sorted(set(sys.modules) - before - allowed)
watched = [event for event in events if event[0] not in ("exec", "compile")]
sys.stderr.write(repr((new, watched)))
sys.stdout.write(document.model_dump_json(by_alias=True))
"""

_LOADERS = {
    ".pkl": "import pickle; pickle.load(open(sys.argv[1], 'rb'))",
    ".txt": "import pickle; pickle.load(open(sys.argv[1], 'rb'))",
    ".pt": "import torch; torch.load(sys.argv[1], weights_only=False)",
    ".npz": "import numpy; [*numpy.load(sys.argv[1], allow_pickle=True).values()]",
}
_SECOND = "import pickle; file = open(sys.argv[1], 'rb'); pickle.load(file); file.seek(64, 1); pickle.load(file)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("untrusted")
    subprocess.run([sys.executable, str(REPOSITORY / "examples/untrusted/build.py"), str(out)], check=True)
    return out


def environment(marker: Path) -> dict[str, str]:
    return {**os.environ, "HELIOTROPE_CANARY": str(marker), "OMP_NUM_THREADS": "1"}


def test_scanning_executes_and_imports_nothing(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "canary"
    command = [sys.executable, "-c", _SCAN, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(marker))
    assert done.stderr == "([], [])"
    assert not marker.exists()
    document = ScanDocument.model_validate_json(done.stdout)
    verdicts = {Path(report.path).name: report.verdict for report in document.files}
    expected = dict.fromkeys(GALLERY.CANARIES, "malicious") | dict.fromkeys(GALLERY.NEIGHBOURS, "clean")
    assert verdicts == expected


@pytest.mark.torch
@pytest.mark.parametrize("name", GALLERY.CANARIES)
def test_each_canary_sings_when_it_is_loaded(name: str, folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "canary"
    loader = _SECOND if name == "second-stream.pkl" else _LOADERS[Path(name).suffix]
    command = [sys.executable, "-c", f"import sys\n{loader}", str(folder / name)]
    subprocess.run(command, capture_output=True, check=False, env=environment(marker))
    assert marker.read_text() == "loaded"


@pytest.mark.torch
def test_the_neighbours_are_what_they_say(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    tensors = torch.load(folder / "weights.pt", weights_only=True)
    assert torch.equal(tensors["linear.weight"], load_file(folder / "weights.safetensors")["linear.weight"])


def test_building_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for path in GALLERY.build(tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes()
