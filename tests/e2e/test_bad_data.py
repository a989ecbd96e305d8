"""Data as people export it: each fault is inconclusive with one clear reason, and never a pass."""

import os
import shutil
from pathlib import Path

import pytest
from tests.projects import linear_project, write_images

pytest.importorskip("torch", reason="needs the torch extra")
np = pytest.importorskip("numpy", reason="needs the torch extra")
pytestmark = [pytest.mark.torch, pytest.mark.slow]

POLICY = """
version: 1
name: only-accuracy
rules:
  - id: measured
    title: Accuracy was measured
    applies_to: model
    require: {kind: check, check: quality.performance}
"""


class Canary:
    """Would leave a file behind if anybody unpickled it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """One project for all faults; the policy asks for nothing but the measurement, so that a fault alone decides."""
    folder = linear_project(tmp_path_factory.mktemp("data") / "tiny")
    text = (folder / "heliotrope.yaml").read_text().partition("gates:\n")[0]
    (folder / "heliotrope.yaml").write_text(f"{text}gates:\n  pack: only-accuracy.yaml\n")
    (folder / "only-accuracy.yaml").write_text(POLICY)
    return folder


@pytest.fixture
def project(made) -> Path:
    shutil.rmtree(made / ".heliotrope", ignore_errors=True)  # every test is another person with another home
    write_images(made / "test.npz")
    return made


def measure(helio, project: Path):
    said = helio(
        "assess", project, "--allow-code", "--only", "quality.*", "--format", "json", "--report-dir", project / "out"
    )
    (run,) = (run for run in said.json()["runs"] if run["check"] == "quality.performance")
    return said, run


def images(project: Path):
    with np.load(project / "test.npz") as data:
        return data["images"].copy(), data["labels"].copy()


def with_value(array, value):
    array[3, 0, 1, 1] = value
    return array


FAULTS = {
    "nan": (lambda x, y: {"images": with_value(x, np.nan)}, "row 3"),
    "infinite": (lambda x, y: {"images": with_value(x, -np.inf)}, "row 3"),
    "wrong shape": (lambda x, y: {"images": x[:, :, :3]}, "input.shape"),
    "outside the range": (lambda x, y: {"images": x * 255}, "input.range"),
    "zero rows": (lambda x, y: {"images": x[:0], "labels": y[:0]}, "at least one sample"),
    "label too high": (lambda x, y: {"labels": y + 1}, "label 3"),
    "label below zero": (lambda x, y: {"labels": y - 1}, "label -1"),
    "labels with fractions": (lambda x, y: {"labels": y + 0.5}, "integers"),
    "labels of text": (lambda x, y: {"labels": y.astype(str)}, "numbers"),
    "one-hot labels": (lambda x, y: {"labels": np.eye(3)[y]}, "one-hot"),
    "a label too few": (lambda x, y: {"labels": y[:-1]}, "89 labels"),
}


def test_the_project_without_a_fault_passes(helio, project):
    said, run = measure(helio, project)
    assert (said.code, run["outcome"]) == (0, "passed")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_data_is_inconclusive_and_says_where(helio, project, fault):
    change, needle = FAULTS[fault]
    write_images(project / "test.npz", **change(*images(project)))
    said, run = measure(helio, project)
    assert (said.code, run["outcome"]) == (3, "inconclusive")
    assert needle in run["reason"]
    assert "\\n" not in run["reason"], "a reason is one line, not one with an escaped line break"
    assert needle in (project / "out" / "report.md").read_text("utf-8").replace("\\", "")


def test_a_file_that_is_no_data_is_inconclusive(helio, project, tmp_path):
    path = project / "test.npz"
    whole = path.read_bytes()
    for content in (b"", whole[:3000], b"epoch,loss\n1,0.5\n"):
        path.write_bytes(content)
        said, run = measure(helio, project)
        assert (said.code, run["outcome"]) == (3, "inconclusive"), content[:20]
        assert "test.npz" in run["reason"]
    path.unlink()
    said, run = measure(helio, project)
    assert (said.code, run["outcome"]) == (3, "inconclusive")
    assert "no such file" in run["reason"]


def test_pickled_objects_among_the_data_are_refused_unread(helio, project, tmp_path):
    marker = tmp_path / "it-ran"
    write_images(project / "test.npz", images=np.array([Canary(marker)] * 90, dtype=object))
    said, run = measure(helio, project)
    assert (said.code, run["outcome"]) == (3, "inconclusive")
    assert "Python objects" in run["reason"]
    assert not marker.exists()


def test_compressed_zeros_do_not_fill_the_memory(helio, project):
    text = (project / "heliotrope.yaml").read_text()
    (project / "heliotrope.yaml").write_text(text.replace("time_limit: 60", "time_limit: 60, memory_limit: 1"))
    many = np.zeros((25_000_000, 1, 4, 4), np.uint8)  # 400 MB that compress to 400 kB; four times as much as float32
    np.savez_compressed(project / "test.npz", images=many, labels=np.zeros(len(many), np.uint8))
    try:
        said, run = measure(helio, project)
    finally:
        (project / "heliotrope.yaml").write_text(text)
    assert said.code == 3
    assert run["outcome"] in ("error", "inconclusive")
