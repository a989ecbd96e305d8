"""Explanations of live models: typed, shown in notebooks, saved as pictures, and beside an earlier version."""

from xml.etree import ElementTree as ET

import pytest

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
from heliotrope.api import explain  # noqa: E402


@pytest.fixture(scope="module")
def network():
    pytest.importorskip("torch", reason="needs torch (extra 'torch')")
    pytest.importorskip("captum", reason="needs captum (extra 'explain')")
    from tests.unit.explain.networks import digits, trained

    train, held = digits()
    return trained(*train, epochs=15), trained(*train, seed=1, epochs=15), held


@pytest.fixture(scope="module")
def explained(network):
    module, older, held = network
    return explain(module, *held, previous=older, name="digits", sample=120)


def test_every_check_that_explains_answers(explained):
    assert {run.check: run.outcome for run in explained.runs}.keys() == {
        "explain.attributions", "explain.drift", "explain.sanity", "explain.shortcut", "explain.triggers",
    }  # fmt: skip
    assert all(run.outcome in ("passed", "failed") for run in explained.runs)
    assert explained.evidence("explain.attributions")["method"] == "integrated-gradients"
    assert explained.evidence("explain.drift")["comparisons"][0]["kind"] == "version"
    assert explained.evidence("explain.nothing") is None
    assert "explain.sanity" in str(explained)


def test_pictures_are_files_that_stand_alone(explained, tmp_path):
    paths = explained.save(tmp_path / "pictures")
    assert paths[0].name == "index.html"
    assert {path.suffix for path in paths[1:]} == {".svg", ".png"}
    for path in paths[1:]:
        data = path.read_bytes()
        if path.suffix == ".png":
            assert data.startswith(b"\x89PNG")
            continue
        root = ET.fromstring(data)
        used = {value for one in root.iter() for name, value in one.attrib.items() if name.endswith("href")}
        assert all(value.startswith("data:image/png;base64,") for value in used)
        assert not [one for one in root.iter() if one.tag.endswith("script")]
    index = paths[0].read_text()
    assert all(f'href="{path.name}"' in index for path in paths[1:])
    assert set(explained.pictures()) == {path.name for path in paths[1:]}


def test_a_notebook_shows_what_was_found_with_the_page_behind_a_fold(explained):
    shown = explained._repr_html_()
    assert "explain.triggers" in shown
    assert "srcdoc=" in shown
    assert "<script" not in shown
    assert "data:image/png" in explained.to_html()


def test_a_window_of_earlier_data_is_compared():
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    loaded = load_breast_cancer(as_frame=True)
    frame, answers = loaded.data.iloc[:, :5], loaded.target
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, answers)
    half = np.random.default_rng(0).permutation(len(frame)) % 2 == 0
    found = explain(model, frame[half], answers[half], reference=(frame[~half], answers[~half]))
    outcomes = {run.check: run.outcome for run in found.runs}
    assert (outcomes["explain.drift"], outcomes["explain.triggers"]) == ("passed", "not_applicable")
    assert found.evidence("explain.drift")["comparisons"][0]["n_then"] == (~half).sum()


def test_hostile_names_of_classes_change_no_structure(network, tmp_path):
    module, _, (images, answers) = network
    names = [f"<i>&\"'{chr(0x202E)}{place}" for place in range(10)]
    found = explain(module, images, answers, labels=names, sample=100, suite="standard")
    for name, data in found.pictures().items():
        if name.endswith(".svg"):
            assert "i" not in {one.tag for one in ET.fromstring(data).iter()}
        assert all(char.isalnum() or char in ".-" for char in name)
    assert "<i>&" not in found.to_html()
