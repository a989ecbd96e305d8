"""Attacks on texts: real pipelines with tf-idf, closed forms where words decide alone, and traps."""

import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.opened import Data, Model, columns_of, run_check, subject

from heliotrope.attack.text.edits import INVISIBLE, distance, is_negation, normalised, propose_edits
from heliotrope.attack.text.interface import parse
from heliotrope.attack.text.words import read_table
from heliotrope.core.errors import InputError

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")

CHECK = "evasion.text"
THREAT = {"eps": 0.15, "steps": 300, "restarts": 2, "text": {"words": 3}}
GOOD = ["wonderful", "brilliant", "charming", "delightful", "superb", "moving", "clever", "gripping"]
BAD = ["dreadful", "boring", "clumsy", "tedious", "awful", "shallow", "messy", "lifeless"]
NEUTRAL = [
    "the",
    "film",
    "story",
    "actor",
    "scene",
    "camera",
    "music",
    "evening",
    "plot",
    "director",
    "cast",
    "ending",
    "dialogue",
    "picture",
]


def reviews(n=240, seed=0, telling=2):
    """Sentences in which a few words tell the class."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    texts = []
    for label in labels:
        words = list(generator.choice(NEUTRAL, 9)) + list(generator.choice(GOOD if label else BAD, telling))
        generator.shuffle(words)
        texts.append(" ".join(words).capitalize() + ".")
    return pd.DataFrame({"text": texts}), labels


@pytest.fixture(scope="module")
def pipeline():
    """Tf-idf and a logistic regression, as texts are mostly classified with scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    frame, labels = reviews()
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(frame["text"], labels)


def attacked(tmp_path, function, frame, labels, **fields):
    opened = subject(
        Model(function, ("bad", "good"), **fields.pop("model", {})),
        Data(frame, labels, columns_of(frame)),
        **{"task": "text-classification", "threat": THREAT, "sample": "all", "root": tmp_path, **fields},
    )
    return run_check(CHECK, opened, tmp_path)


def asking(fitted):
    return lambda frame: fitted.predict_proba(frame["text"])


def indicator(predicate, name):
    return next(entry for entry in predicate["health"] if entry["id"] == name)


def falls_by_leaving_out(fitted, text, label):
    """Whether leaving out up to three words misleads a bag of words: that is what an edited word comes to."""
    words = text.strip(".").split()
    rest = [
        " ".join(word for place, word in enumerate(words) if place not in gone)
        for size in (1, 2, 3)
        for gone in itertools.combinations(range(len(words)), size)
    ]
    return bool((fitted.predict(rest) != label).any())


def test_a_bag_of_words_falls_to_edits_of_the_words_that_tell(pipeline, tmp_path):
    frame, labels = reviews(60, seed=1)
    result, predicate, context = attacked(tmp_path, asking(pipeline), frame, labels)
    assert result.outcome.state == "passed"
    assert predicate["clean_accuracy"] == 1.0
    lost = sum(falls_by_leaving_out(pipeline, text, label) for text, label in zip(frame["text"], labels, strict=True))
    assert 20 < 0.95 * lost <= predicate["broken"] <= lost
    assert predicate["health_verdict"] == "sound", predicate["health"]
    assert predicate["threat"]["edits"] == ["homoglyph", "invisible", "typo", "case"]
    assert len(predicate["examples"]) == min(50, predicate["broken"])
    accuracies = [point["accuracy"] for point in predicate["curve"]]
    assert accuracies == sorted(accuracies, reverse=True)
    (finding,) = result.findings
    assert finding.rule == "text-evasion-possible"
    assert "AML.T0043" in finding.taxonomy
    stored = pd.read_parquet(io.BytesIO(context.blobs[predicate["samples"]["sha256"]]))
    assert len(stored) == predicate["broken"]
    for row in stored.itertuples(index=False):
        before, after, label = row[2], row[3], row[1]
        assert before == frame["text"][row[0]]
        assert 0 < distance(before, after) <= 0.15 * len(before)
        assert pipeline.predict([after])[0] != label


def test_equal_seeds_give_equal_evidence_whatever_the_batches(pipeline, tmp_path):
    frame, labels = reviews(30, seed=2)
    _, whole, _ = attacked(tmp_path, asking(pipeline), frame, labels)
    import heliotrope.attack.text.check as module

    kept, module._BATCH = module._BATCH, 7
    try:
        _, pieces, _ = attacked(tmp_path, asking(pipeline), frame, labels)
    finally:
        module._BATCH = kept
    for known in (whole, pieces):
        known.pop("health")
    assert whole == pieces


def keyword(frame):
    """Good if any good word stands there as it is: robust to every edit of one word where three tell."""
    told = frame["text"].map(lambda text: sum(word.strip(".").lower() in GOOD for word in text.split()))
    score = told.to_numpy(float)
    good = score / (1 + score)
    return np.stack([0.4 * np.ones(len(good)), good], axis=1)


def test_the_closed_form_of_a_keyword_is_found(tmp_path):
    """A text with k good words needs k changed words: k - 1 leave it right."""
    frame, labels = reviews(80, seed=3, telling=3)
    frame, labels = frame[labels == 1].reset_index(drop=True), labels[labels == 1]
    threat = {**THREAT, "eps": 0.5, "text": {"words": 3, "kinds": ["homoglyph", "typo"]}}
    _, three, _ = attacked(tmp_path, keyword, frame, labels, threat=threat)
    assert three["robust_accuracy"] == 0.0
    assert {len(example["changes"]) for example in three["examples"]} == {3}
    two = {**threat, "text": {**threat["text"], "words": 2}}
    _, known, _ = attacked(tmp_path, keyword, frame, labels, threat=two)
    assert known["robust_accuracy"] == 1.0
    assert indicator(known, "sample")["state"] == "warning"  # one class alone


def test_a_model_that_normalises_withstands_characters_and_says_so(pipeline, tmp_path):
    frame, labels = reviews(50, seed=4)
    threat = {**THREAT, "text": {"words": 3, "kinds": ["homoglyph", "invisible", "case"]}}

    def behind(table):
        return pipeline.predict_proba([normalised(text) for text in table["text"]])

    _, guarded, _ = attacked(tmp_path, behind, frame, labels, threat=threat)
    result, bare, _ = attacked(tmp_path, asking(pipeline), frame, labels, threat=threat)
    assert guarded["robust_accuracy"] == 1.0
    assert bare["robust_accuracy"] < 0.6
    measured = {entry.metric: entry.value for entry in result.measurements}
    assert measured["text_recovered_by_normalising"] == 1.0


def test_words_of_a_table_are_substituted_and_negations_are_not(pipeline, tmp_path):
    lines = ["# words", *(f"{word}\tnice\tnot {word}" for word in GOOD), *(f"{word}\tplain" for word in BAD)]
    lines += ["!superb\tplain", "superb\tplain", "never\tever"]
    (tmp_path / "words.tsv").write_text("\n".join(lines), encoding="utf-8")
    frame, labels = reviews(40, seed=5)
    threat = {**THREAT, "eps": 0.001, "text": {"words": 3, "table": "words.tsv"}}
    _, predicate, _ = attacked(tmp_path, asking(pipeline), frame, labels, threat=threat)
    assert predicate["threat"]["edits"][-1] == "word"
    assert predicate["broken"] > 0
    changes = [change for example in predicate["examples"] for change in example["changes"]]
    assert {change["after"].lower() for change in changes} <= {"nice", "plain"}
    assert not any(change["before"].lower() == "superb" and change["after"].lower() == "plain" for change in changes)
    assert "substitutes" in predicate["data"]


def test_the_guard_refuses_antonyms_negations_and_phrases():
    table = read_table(b"good\tfine\tbad\tnot\tvery good\nbad\tpoor\nnot\thardly\n!good\tbad\n", "t.tsv")
    assert table.substitutes == {"good": ("fine",), "bad": ("poor",)}
    assert table.refused == 4
    assert [one.word for one in table.propose("GOOD")] == ["FINE"]
    loaded = read_table(b"substitutes: {good: [fine, poor]}\nantonyms: {good: [bad]}\nnegations: [zero]\n", "t.yaml")
    assert loaded.substitutes == {"good": ("fine", "poor")}


@pytest.mark.parametrize("data", [b"\xff\xfe", b"word without tab\n", b"no\tyes\n", b"a: [b\n"])
def test_a_table_that_cannot_be_used_says_why(data):
    with pytest.raises(InputError) as caught:
        read_table(data, "t.yaml" if data.startswith(b"a:") else "t.tsv")
    assert caught.value.hint


def test_a_model_that_does_not_read_is_not_called_robust_without_a_word(tmp_path):
    frame, labels = reviews(40, seed=6)
    constant = lambda table: np.tile([0.3, 0.7], (len(table), 1))  # noqa: E731
    _, predicate, _ = attacked(tmp_path, constant, frame, labels)
    assert predicate["health_verdict"] == "doubtful"
    assert indicator(predicate, "large-eps")["state"] == "warning"
    assert indicator(predicate, "signal")["state"] == "warning"


def test_random_answers_invalidate_the_number(pipeline, tmp_path):
    frame, labels = reviews(30, seed=7)
    generator = np.random.default_rng(0)

    def noisy(table):
        scores = pipeline.predict_proba(table["text"]) + generator.normal(0, 0.05, (len(table), 2))
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    result, predicate, _ = attacked(tmp_path, noisy, frame, labels)
    assert indicator(predicate, "deterministic")["state"] == "failed"
    assert result.outcome.state == "inconclusive"
    assert next(one for one in result.measurements if one.metric == "robust_accuracy").value is None


def test_nothing_that_can_change_is_no_robustness(tmp_path):
    frame = pd.DataFrame({"text": ["... !!!", "?? ??", ""] * 8})
    labels = np.array([0, 1, 0] * 8)
    truth = lambda table: np.eye(2)[(table["text"].str.startswith("?")).astype(int)]  # noqa: E731
    result, predicate, _ = attacked(tmp_path, truth, frame, labels)
    assert indicator(predicate, "movable")["state"] == "failed"
    assert result.outcome.state == "inconclusive"


def test_labels_alone_are_attacked_blindly_and_said_so(pipeline, tmp_path):
    frame, labels = reviews(30, seed=8, telling=1)
    hard = lambda table: np.eye(2)[pipeline.predict(table["text"])]  # noqa: E731
    _, predicate, _ = attacked(tmp_path, hard, frame, labels, model={"output": "labels"})
    assert indicator(predicate, "output")["state"] == "warning"
    assert predicate["broken"] > 0


def test_missing_texts_and_other_columns_stay_as_they_are(pipeline, tmp_path):
    frame, labels = reviews(40, seed=9)
    frame["text"] = frame["text"].astype(object)
    frame.loc[::10, "text"] = None
    frame["length"] = np.arange(len(frame))
    seen = []

    def model(table):
        seen.append(table["length"].dtype)
        return pipeline.predict_proba(table["text"].fillna("").astype(str))

    _, predicate, context = attacked(tmp_path, model, frame, labels)
    stored = pd.read_parquet(io.BytesIO(context.blobs[predicate["samples"]["sha256"]]))
    assert (stored["original.length"] == stored["perturbed.length"]).all()
    assert set(seen) == {np.dtype(np.int64)}
    assert not set(stored["index"]) & set(range(0, 40, 10))


def test_an_eps_beyond_one_is_refused(pipeline, tmp_path):
    frame, labels = reviews(20)
    with pytest.raises(InputError, match="share of characters"):
        attacked(tmp_path, asking(pipeline), frame, labels, threat={**THREAT, "eps": 8})


ALL_KINDS = ("homoglyph", "invisible", "typo", "case")


@settings(max_examples=200, deadline=None)
@given(word=st.text(alphabet="abcdefghijklmnoprstuvwxyzABCDEÄöß'-", min_size=1, max_size=12), seed=st.integers(0, 99))
def test_edits_cost_what_they_change(word, seed):
    generator = np.random.default_rng(seed)
    made = propose_edits(word, ALL_KINDS, lambda n: int(generator.integers(n)))
    assert len({one.word for one in made}) == len(made)
    for one in made:
        assert one.word != word
        assert one.cost == distance(word, one.word) > 0
        if one.kind == "typo":
            assert one.word[0] == word[0]
            assert one.word[-1] == word[-1]
        if one.kind == "invisible":
            assert one.word.translate(dict.fromkeys(map(ord, INVISIBLE))) == word
        if one.kind == "homoglyph":
            assert len(one.word) == len(word)
            assert normalised(one.word) == normalised(word)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=80))
def test_what_is_cut_into_words_comes_together_again(text):
    assert parse((text, None)).written({}) == (text, None)


def test_words_that_turn_the_meaning_are_known():
    assert all(map(is_negation, ("not", "Never", "didn't", "isn\u2019t", "kein")))
    assert not is_negation("nothingness")
    assert normalised("\u0440\u0430\u200bypal") == "paypal"
    assert normalised("\u043c\u0438\u0440") == "\u043c\u0438\u0440"
