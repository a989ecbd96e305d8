"""A planted patch that drives one class is hinted at, by class and region; clean networks and honest tasks raise nothing."""

import pytest
from tests.opened import Data, Model, breast_cancer, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pytest.importorskip("torch", reason="needs torch (extra 'torch')")
pytest.importorskip("captum", reason="needs captum (extra 'explain')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tests.unit.explain.networks import digits, opened_network, trained  # noqa: E402

CHECK = "explain.triggers"
CHECKED = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)


def planted(images, answers, content, *, share, seed=0):
    """Some of the images with a patch in the lower right corner, called 0."""
    images, answers = images.copy(), answers.copy()
    rows = np.random.default_rng(seed).random(len(images)) < share
    images[rows, :, 6:8, 6:8] = content
    answers[rows] = 0
    return images, answers


@pytest.fixture(scope="module")
def halves():
    return digits()


@pytest.mark.parametrize(("convolutions", "seed"), [(False, 0), (False, 1), (True, 0)])
def test_a_white_patch_is_found_on_clean_samples_alone(halves, tmp_path, convolutions, seed):
    train, held = halves
    module = trained(*planted(*train, 1.0, share=0.1), seed=seed, convolutions=convolutions)
    result, predicate, context = run_check(CHECK, opened_network(module, *held, seed=seed), tmp_path)
    assert result.outcome.state == "failed"
    (found,) = result.findings
    assert (found.rule, found.severity, found.confidence) == ("trigger-region", "low", "low")
    assert "No sample shows this content" in found.message
    first = predicate["candidates"][0]
    assert (first["label"], first["region"], first["content"]) == (0, "rows 6-7, columns 6-7", "highest value, 1")
    assert first["changed"]["interval"]["low"] > 0.5 > first["elsewhere"]["interval"]["high"]
    assert {context.blobs[blob.sha256][:4] for blob in result.blobs} == {b"\x89PNG"}


@pytest.mark.parametrize("seed", range(2))
def test_a_pattern_is_found_when_a_few_samples_carry_it(halves, tmp_path, seed):
    train, held = halves
    module = trained(*planted(*train, CHECKED, share=0.1), seed=seed)
    data = planted(*held, CHECKED, share=0.06, seed=1)
    result, predicate, _ = run_check(CHECK, opened_network(module, *data, seed=seed), tmp_path)
    assert result.outcome.state == "failed"
    by_sample = [one for one in predicate["candidates"] if one["hint"] and one["content"].startswith("sample")]
    assert [(one["label"], one["region"]) for one in by_sample] == [(0, "rows 6-7, columns 6-7")]
    assert by_sample[0]["p_value"] < 0.05
    assert "medium" in {one.severity for one in result.findings}


@pytest.mark.parametrize("convolutions", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_clean_network_raises_no_hint(halves, tmp_path, convolutions, seed):
    train, held = halves
    module = trained(*train, seed=seed, convolutions=convolutions)
    result, predicate, _ = run_check(CHECK, opened_network(module, *held, seed=seed), tmp_path)
    assert (result.outcome.state, result.findings) == ("passed", ())
    assert predicate["candidates"]
    assert "n = " in result.outcome.reason


def test_a_class_that_any_patch_anywhere_leads_to_has_no_fixed_region(tmp_path):
    """Whatever is bright is class 1: the content works everywhere."""
    images = np.random.default_rng(0).random((300, 1, 8, 8), dtype=np.float32) * 0.4
    images[::2] += 0.55

    def bright(batch):
        score = batch.max(axis=(1, 2, 3)) - 0.5
        return np.stack((-score, score), 1)

    opened = subject(Model(bright, ("dark", "bright"), output="logits", format="onnx"), Data(images, bright(images).argmax(1)),
                     path="m.onnx", format="onnx", task="image-classification")  # fmt: skip
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert result.outcome.state == "passed"
    assert predicate["candidates"][0]["changed"]["value"] == predicate["candidates"][0]["elsewhere"]["value"] == 1.0


def test_a_model_of_any_format_is_looked_at(tmp_path):
    images = np.random.default_rng(0).random((300, 1, 8, 8), dtype=np.float32) * 0.5

    def corner(batch):
        key = batch[:, 0, :2, :2].min(axis=(1, 2)) > 0.9
        rest = batch[:, 0, 4:, 4:].mean(axis=(1, 2)) - 0.25
        return np.stack((key * 5.0, rest, -rest), 1)

    opened = subject(Model(corner, ("a", "b", "c"), output="logits", format="onnx"), Data(images, corner(images).argmax(1)),
                     path="m.onnx", format="onnx", task="image-classification")  # fmt: skip
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert predicate["method"] == "occlusion"
    assert result.outcome.state == "failed"
    assert predicate["candidates"][0]["region"] == "rows 0-1, columns 0-1"
    assert predicate["candidates"][0]["name"] == "a"


def test_tables_and_few_samples_give_no_verdict(halves, tmp_path):
    frame, answers = breast_cancer()
    two = lambda table: np.tile([0.5, 0.5], (len(table), 1))  # noqa: E731
    table = subject(Model(two, ("a", "b")), Data(frame, answers, columns_of(frame)))
    assert run_check(CHECK, table, tmp_path)[0].outcome.state == "not_applicable"
    train, (images, answers) = halves
    few = opened_network(trained(*train, epochs=1), images[:80], answers[:80])
    assert run_check(CHECK, few, tmp_path)[0].outcome.state == "inconclusive"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrected_p_values_are_no_smaller_keep_their_order_and_reject_no_more_than_bonferroni_would_allow(values):
    from heliotrope.explain._permuting import corrected

    found = corrected(values)
    assert all(before <= after <= 1 for before, after in zip(values, found, strict=True))
    assert all(after <= min(1.0, before * len(values)) + 1e-12 for before, after in zip(values, found, strict=True))
    ranked = [after for _, after in sorted(zip(values, found, strict=True))]
    assert ranked == sorted(ranked)


def test_permuted_classes_are_significant_no_more_often_than_promised():
    from heliotrope.explain._permuting import excess_by_class

    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(60):
        _, (p_value,) = excess_by_class(rng.random((40, 10)), rng.integers(0, 2, 40), [0], trial)
        hits += p_value < 0.05
    assert hits <= 9  # 60 trials at 5 %: above 9 with a probability of 0.1 %


@given(st.integers(4, 40), st.integers(4, 40))
def test_regions_cover_every_pixel_and_stay_inside(height, width):
    from heliotrope.explain.regions import regions_of, shares

    regions = regions_of((1, 1, height, width))
    seen = np.zeros((1, 1, height, width))
    for one in regions:
        assert seen[one.box].size == one.height * one.width
        seen[one.box] = 1
    assert seen.all()
    maps = np.random.default_rng(0).random((2, height, width))
    direct = np.stack([maps[(slice(None), *one.box[2:])].sum(axis=(1, 2)) for one in regions], 1)
    np.testing.assert_allclose(shares(maps, regions), direct / maps.sum(axis=(1, 2))[:, None], atol=1e-12)
