"""Which files are judged, how they are named, and what happens to those that cannot be read."""

import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.scan.assembler import SYSTEM, glob, npy, scan_bytes

from heliotrope.core.predicates.scan import FileReport, ScanDocument
from heliotrope.scan import policy_digest, scan_paths

PLAIN = pickle.dumps({"a": 1}, 4)
PAYLOAD = b"\x80\x04" + SYSTEM + b"."
NOBODY = 65534


def only(document: ScanDocument) -> FileReport:
    (report,) = document.files
    return report


def test_files_come_as_named_and_folders_in_path_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b/z.pkl", "b/a.pkl", "b/c/d.pkl", "a.pkl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PLAIN)
    monkeypatch.chdir(tmp_path)
    named = [report.path for report in scan_paths([Path("b"), Path("a.pkl")]).files]
    assert named == ["b/a.pkl", "b/c/d.pkl", "b/z.pkl", "a.pkl"]
    assert [report.path for report in scan_paths([Path()]).files] == ["a.pkl", "b/a.pkl", "b/c/d.pkl", "b/z.pkl"]
    assert only(scan_paths([tmp_path / "a.pkl"])).path == str(tmp_path / "a.pkl")


def test_inside_a_folder_content_decides_what_is_judged(tmp_path: Path) -> None:
    ordinary = {
        "README.md": b"# class\nfoo\nimport os\n",
        "train.py": b"import torch\ntorch.load('x')\n",
        "data.csv": b"1,2,3\n(4,5,6\n",
        "image.png": b"\x89PNG\r\n\x1a\n" + bytes(40),
        "photo.jpg": b"\xff\xd8\xff\xe0" + bytes(40),
        "config.json": b'{"labels": ["exec"]}',
        "train.yaml": b"lr: 0.1\n",
        "t10k-idx3-ubyte": b"\0\0\x08\x01\0\0\0\x02ab",
        "empty.txt": b"",
        "table.parquet": b"PAR1" + bytes(40) + b"PAR1",
    }
    models = {
        "notes.txt": PAYLOAD,
        "data2.csv": b"cposix\nsystem\n(S'true'\ntR.",
        "nameless": PLAIN,
        "model.pkl": b"not a pickle at all",
        "empty.pt": b"",
        "x.npy": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", bytes(4)),
        "model.onnx": b"\x08\x08\x12\x07pytorch",
        "llama.gguf": b"GGUF" + bytes(20),
    }
    for name, data in {**ordinary, **models}.items():
        (tmp_path / name).write_bytes(data)
    document = scan_paths([tmp_path])
    assert {Path(report.path).name for report in document.files} == set(models)
    assert document.summary.files_seen == len(ordinary) + len(models)
    assert document.summary.not_judged == len(ordinary)
    verdicts = {Path(report.path).name: report.verdict for report in document.files}
    assert verdicts == {
        "notes.txt": "malicious",
        "data2.csv": "malicious",
        "nameless": "clean",
        "model.pkl": "incomplete",
        "empty.pt": "incomplete",
        "x.npy": "clean",
        "model.onnx": "incomplete",
        "llama.gguf": "incomplete",
    }
    assert document.verdict == "malicious"


@pytest.mark.parametrize(
    ("name", "data", "verdict"),
    [
        ("README.md", b"# text\n", "unsupported"),
        ("image.png", b"\x89PNG\r\n\x1a\n", "unsupported"),
        ("empty", b"", "incomplete"),
        ("idx", b"\0\0\x08\x01\0\0\0\x02ab", "clean"),
        ("idx", b"\0\0\x08\x01\0\0\0\x02abc", "incomplete"),
        ("idx", b"\0\0\x08\x01\0\0\0\x03ab", "incomplete"),
        ("rf.joblib", b"x\x9c" + bytes(40), "incomplete"),
        ("m.7z", b"7z\xbc\xaf\x27\x1c" + bytes(40), "unsupported"),
    ],
)
def test_a_named_file_is_judged_whatever_it_is(name: str, data: bytes, verdict: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, data, name).verdict == verdict


def test_what_cannot_be_read_is_incomplete_with_its_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pkl")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.pkl"))
        (tmp_path / "gone.pkl").symlink_to(tmp_path / "nothing")
        (tmp_path / "loop.pkl").symlink_to("loop.pkl")
        (tmp_path / "device.pkl").symlink_to("/dev/zero")
        names = ["pipe.pkl", "socket.pkl", "gone.pkl", "loop.pkl", "device.pkl", "missing.pkl"]
        for name in names:
            report = only(scan_paths([tmp_path / name]))
            assert (report.verdict, report.sha256, report.size) == ("incomplete", None, None)
            assert report.incomplete[0].reason
        inside = {Path(report.path).name: report.verdict for report in scan_paths([tmp_path]).files}
    assert inside == dict.fromkeys(names[:-1], "incomplete")


def test_links_are_followed_when_named_and_not_out_of_a_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.pkl", tmp_path / "folder"
    outside.write_bytes(PAYLOAD)
    folder.mkdir()
    (folder / "link.pkl").symlink_to(outside)
    (folder / "self").symlink_to(folder)
    assert only(scan_paths([folder / "link.pkl"])).verdict == "malicious"
    report = only(scan_paths([folder]))
    assert report.verdict == "incomplete"
    assert "leaves" in report.incomplete[0].reason


def test_permission_is_missed_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "secret.pkl").write_bytes(PLAIN)
    (tmp_path / "secret.pkl").chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o755)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom heliotrope.scan import scan_paths\n"
        "scan_paths([Path('/dev/null')])  # imports what it needs while it may\n"
        f"os.setuid({NOBODY}) if os.geteuid() == 0 else None\n"
        "[report] = scan_paths([Path(sys.argv[1])]).files\nprint(report.verdict, report.incomplete[0].reason)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "secret.pkl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "incomplete permission denied"


def test_a_file_that_changes_while_it_is_read_is_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(PLAIN)
    real = os.pread

    def meddling(descriptor: int, length: int, offset: int) -> bytes:
        data = real(descriptor, length, offset)
        with path.open("ab") as file:
            file.write(b"x")
        return data

    monkeypatch.setattr(os, "pread", meddling)
    report = only(scan_paths([path]))
    assert report.verdict == "incomplete"
    assert "changed" in report.incomplete[0].reason


def test_a_large_file_cut_short_while_it_is_read_is_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04" + b"N0" * 2_000_000 + b"N.")
    real = os.pread

    def meddling(descriptor: int, length: int, offset: int) -> bytes:
        if offset > 1_000_000:
            os.truncate(path, 500_000)
        return real(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", meddling)
    assert only(scan_paths([path])).verdict == "incomplete"


def test_odd_names_survive_as_valid_text(tmp_path: Path) -> None:
    names = [b"\xff\xfe.pkl", b"tab\tline\n.pkl", "ünï\u202e.pkl".encode(), b"\x1b[31mred.pkl"]
    for name in names:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_bytes(PAYLOAD)
        report = only(scan_paths([path]))
        assert report.verdict == "malicious"
        json.dumps(report.document(), ensure_ascii=False).encode("utf-8")
    document = scan_paths([tmp_path])
    assert len({report.path for report in document.files}) == len(names)


def test_names_from_the_file_are_shown_without_control_characters(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, b"\x80\x04" + glob("acme\x1b[2J", "x\u202ey" * 400) + b".")
    for finding in report.findings:
        assert finding.message.isprintable()
        assert finding.global_ is not None
        assert finding.global_.isprintable()
        assert len(finding.message) < 1000


def test_progress_counts_bytes_up_to_all_of_them(tmp_path: Path) -> None:
    for name in ("a.pkl", "b.pkl"):
        (tmp_path / name).write_bytes(PLAIN)
    seen: list[tuple[float, float]] = []
    scan_paths([tmp_path], progress=lambda done, total, _: seen.append((done, total)))
    assert seen == [(0, 2 * len(PLAIN)), (len(PLAIN), 2 * len(PLAIN)), (2 * len(PLAIN), 2 * len(PLAIN))]


def test_an_empty_folder_is_clean_with_nothing_judged(tmp_path: Path) -> None:
    document = scan_paths([tmp_path])
    assert (document.verdict, document.files, document.summary.files_seen) == ("clean", (), 0)


def test_the_result_says_who_judged_under_which_policy(tmp_path: Path) -> None:
    document = scan_paths([tmp_path])
    assert document.tool.policy_digest == policy_digest()
    assert len(policy_digest()) == 64


_BLOCKED = """
import sys
from pathlib import Path
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "numpy", "sklearn", "scipy", "safetensors", "PIL", "joblib"}:
            raise ImportError(name)
if sys.argv[1] == "blocked":
    sys.meta_path.insert(0, Block())
else:
    import numpy, torch
from heliotrope.scan import scan_paths
import heliotrope.core.records as records
sys.stdout.buffer.write(records.canonical_bytes(scan_paths([Path(sys.argv[2])])))
"""


@pytest.mark.torch
def test_the_result_does_not_depend_on_what_is_installed(tmp_path: Path) -> None:
    body = b"](" + glob("torch.nn", "Linear") + glob("numpy", "load") + glob("torch.hub", "load") + b"e."
    (tmp_path / "model.pkl").write_bytes(b"\x80\x02" + body)
    runs = [
        subprocess.run([sys.executable, "-c", _BLOCKED, mode, str(tmp_path)], capture_output=True, check=True).stdout
        for mode in ("blocked", "present")
    ]
    assert runs[0] == runs[1]
    assert b"malicious" in runs[0] or b"suspicious" in runs[0]


def test_importing_the_package_costs_nothing() -> None:
    code = "import sys, heliotrope.scan as s; assert s.__all__; print('pydantic' in sys.modules, len(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False")


def test_scanning_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(PAYLOAD)
    code = (
        "import sys; from pathlib import Path; from heliotrope.scan import scan_paths; scan_paths([Path(sys.argv[1])]);"
        "print(sorted({'torch','numpy','sqlalchemy','yaml','rich','jinja2','click','pickle','pickletools'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
