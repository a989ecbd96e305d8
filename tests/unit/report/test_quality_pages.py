"""The page's sections on tables under attack, plain faults, missing values and cost."""

import pytest
from tests.unit.report import factories
from tests.unit.report.test_html import Outline, page

from heliotrope.core.predicates.behaviour import EVASION_PREDICATE, AdversarialExample, FeatureChange, ThreatModel
from heliotrope.core.predicates.explanations import (
    ATTRIBUTIONS_PREDICATE,
    DRIFT_PREDICATE,
    SANITY_PREDICATE,
    SHORTCUT_PREDICATE,
    TRIGGERS_PREDICATE,
    Ablation,
    AttributedExample,
    AttributionsPredicate,
    ClassAttribution,
    Comparison,
    DriftedFeature,
    DriftMap,
    DriftPredicate,
    FeatureAttribution,
    Randomised,
    SanityExample,
    SanityPredicate,
    ShortcutPredicate,
    TriggerCandidate,
    TriggersPredicate,
)
from heliotrope.core.predicates.quality import (
    CORRUPTIONS_PREDICATE,
    COST_PREDICATE,
    MISSING_VALUES_PREDICATE,
    CorruptionsPredicate,
    CostPredicate,
    Faulted,
    Goodness,
    Latency,
    MissingValuesPredicate,
)

DASH = "\N{EN DASH}"
DIGESTS = {"data": "d" * 64}


def good(value):
    return Goodness(n=200, value=value, interval=factories.interval(max(value - 0.05, 0), min(value + 0.05, 1)))


def fault(name, level, value, raised=None):
    return Faulted(fault=name, severity=f"level {level}", level=level, goodness=None if raised else good(value),
                   changed=None if raised else 0.125, raised=raised)  # fmt: skip


def predicates(text):
    example = AdversarialExample(
        index=7, label=0, label_name="refused", adversarial_prediction=1, adversarial_name="granted",
        clean_confidence=0.8, adversarial_confidence=0.6, linf=0.25, l2=0.25, original=None, perturbed=None,
        difference=None, changes=(
            FeatureChange(feature=text, before="arles", after=text, cost=1.0),
            FeatureChange(feature="income", before=3000.25, after=3200.0, unit="EUR", cost=0.25),
            FeatureChange(feature="owner", before=False, after=True, cost=1.0),
        ),
    )  # fmt: skip
    threat = ThreatModel(norm="Linf", eps=0.5, steps=40, restarts=5, step_size=0.5, changed_categories=1)
    attack = factories.evasion(factories.Blobs()).model_copy(
        update={"attack": "search", "threat": threat, "examples": (example,)}
    )
    faults = (fault("noise", 1, 0.9), fault("noise", 3, 0.3), fault("category-unseen", 1, 0, raised=text))
    return {
        EVASION_PREDICATE: attack,
        CORRUPTIONS_PREDICATE: CorruptionsPredicate(
            metric="accuracy", clean=good(0.9), faults=faults, worst=good(0.3), worst_fault="noise, level 3",
            mean=good(0.6), data=DIGESTS,
        ),
        MISSING_VALUES_PREDICATE: MissingValuesPredicate(
            metric="mean_absolute_error", clean=Goodness(n=200, value=2.0, interval=None),
            features=(fault(text, 1, 0.5), *(fault(f"f{index}", 1, 0.1) for index in range(40))),
            random=(fault("random", 1, 0.7),), data=DIGESTS,
        ),
        ATTRIBUTIONS_PREDICATE: AttributionsPredicate(
            method="tree-shap", baseline="what the trees saw in training", score="margin", n=200, completeness=None,
            features=(FeatureAttribution(name=text, importance=0.5, interval=None),
                      FeatureAttribution(name="income", importance=0.125, interval=None)),
            classes=(ClassAttribution(label=0, name=text, n=3, map=None, densest_decile=None),),
            examples=(AttributedExample(index=3, label_name=text, prediction_name="granted", original=None,
                                        attribution=None),),
            asked=200, notes=(text,), data=DIGESTS,
        ),
        SHORTCUT_PREDICATE: ShortcutPredicate(
            metric="accuracy", n=200, clean=good(0.9), chance=good(0.5), skill=0.4, skill_interval=None, repeats=3,
            ablations=(Ablation(name=text, goodness=good(0.55), loss=0.35, loss_interval=None, skill_share=0.875),),
            carrier=text, threshold=0.5, skipped=0, asked=1000, data=DIGESTS,
        ),
        SANITY_PREDICATE: SanityPredicate(
            method=text, baseline="every value 0", n=100, layers=2,
            cascade=(Randomised(layers=1, last=text, draw=0, similarity=0.8, interval=None, n=100),
                     Randomised(layers=2, last=text, draw=0, similarity=0.9, interval=factories.interval(0.85, 0.95), n=100)),
            complete=(Randomised(layers=2, last=text, draw=0, similarity=0.9, interval=factories.interval(0.85, 0.95), n=100),
                      Randomised(layers=2, last=text, draw=1, similarity=None, interval=None, n=0)),
            threshold=0.5**0.5, insensitive=True,
            examples=(SanityExample(index=3, original=None, attribution=None, randomised=None),), asked=9, data=DIGESTS,
        ),
        TRIGGERS_PREDICATE: TriggersPredicate(
            method="occlusion", n=400, screened=200, regions=169, threshold=0.5,
            candidates=(TriggerCandidate(label=1, name=text, region="rows 0-3, columns 0-3", content="sample 7",
                                         excess=0.2, p_value=0.01, changed=good(0.97), elsewhere=good(0.125), regions=12,
                                         hint=True),),
            asked=9, data=DIGESTS,
        ),
        DRIFT_PREDICATE: DriftPredicate(
            method="occlusion", baseline="x", effect=0.33, level=0.05, skipped=0, asked=9, data=DIGESTS,
            comparisons=(Comparison(
                kind="version", than=text, n=300, n_then=300, agreement=good(0.75), digests=DIGESTS,
                features=(DriftedFeature(name=text, now=0.5, then=0.25, delta=0.61, interval=factories.interval(0.5, 0.7),
                                         p_value=0.001, drifted=True),),
                maps=(DriftMap(label=0, name=text, n=3, n_then=4, now=None, then=None),),
            ),),
        ),
        COST_PREDICATE: CostPredicate(
            latencies=(Latency(batch=1, repetitions=100, median_seconds=0.00123, p95_seconds=0.002, cpu_seconds=None),),
            size_bytes=48_000, parameters=1234, data=DIGESTS,
        ),
    }  # fmt: skip


def assessed(text="town"):
    base = factories.every_outcome()
    entries = tuple(
        factories.entry({"model.ubj": "a" * 64}, kind, predicate) for kind, predicate in predicates(text).items()
    )
    run = factories.run_entry("quality.corruptions", "passed", evidence=tuple(entry.id for entry in entries))
    return base.model_copy(update={"evidence": entries, "runs": (*base.runs, run)})


@pytest.fixture(scope="module")
def outline():
    return Outline(page(assessed()))


def test_an_adversarial_row_says_what_was_changed_from_what_to_what_at_which_cost(outline):
    assert "town arles town 1" in outline.text
    assert "income in EUR 3000.25 3,200 0.25" in outline.text
    assert "owner no yes 1" in outline.text
    assert "refused is taken for granted" in outline.text
    assert "0.5 spreads of each column" in outline.text
    assert "at most 1 changed category or boolean" in outline.text
    assert "in spreads of each column" in outline.text  # the axis of the curve


def test_faults_are_a_matrix_whose_colour_says_how_much_is_lost(outline):
    heats = [value for tag, name, value in outline.attributes if name == "style" and value.startswith("--heat")]
    assert heats[:3] == ["--heat:0%", "--heat:0%", "--heat:67%"]  # raises, 0.9 of 0.9, 0.3 of 0.9
    assert "✗ raises" in outline.text
    assert "noise, level 3" in outline.text


def test_missing_values_and_cost_are_listed(outline):
    assert "Mean absolute error without one feature at a time" in outline.text
    assert "… and 11 more features" in outline.text
    assert "1.23 ms" in outline.text
    assert "elsewhere" in outline.text
    assert "46.9 KiB" in outline.text


def test_what_the_decision_rests_on_is_listed_and_said_to_be_a_hint(outline):
    assert "tree-shap against what the trees saw in training" in outline.text
    assert "income 0.125" in outline.text
    assert "This method does not promise to add up" in outline.text
    assert "they are hints, and no gate" in outline.text
    assert "✗ town carries it" in outline.text
    assert "town 55.00 % 87.50 %" in outline.text


def test_attributions_that_ignore_the_model_are_said_to_say_nothing_of_it(outline):
    assert "✗ they do not The maps show the input" in outline.text.replace(DASH, "-")
    assert "1 layer, down to town 0.80 -" in outline.text.replace(DASH, "-")
    assert "all 2 layers, draw 1 0.90 0.85 - 0.95" in outline.text.replace(DASH, "-")
    assert "all 2 layers, draw 2 - not defined" in outline.text.replace(DASH, "-")


def test_a_hint_at_a_trigger_is_said_to_be_no_proof(outline):
    assert "✗ 1 hint A hint and no proof" in outline.text.replace(DASH, "-")
    assert "✗ town rows 0-3, columns 0-3 sample 7 97.00 %" in outline.text.replace(DASH, "-")
    assert "12.50 %" in outline.text.replace(DASH, "-")


def test_what_moved_between_versions_stands_then_and_now(outline):
    assert "! 1 part moved" in outline.text.replace(DASH, "-")
    assert "! town 25.00 % 50.00 % 0.61 0.50 to 0.70 0.001" in outline.text.replace(DASH, "-")
    assert "agree on 75.00 %" in outline.text.replace(DASH, "-")
    assert "then, n = 4" in outline.text.replace(DASH, "-")


def test_the_sections_hold_no_script_and_every_number_leads_to_evidence(outline):
    assert not {"script", "iframe", "object", "form"} & {tag for tag, _ in outline.tags}
    links = {value for _, name, value in outline.attributes if name == "href" and value.startswith("#")}
    assert links <= {f"#{name}" for name in outline.ids}
    assert len(outline.ids) == len(set(outline.ids))


READ = [
    text for text in factories.HOSTILE if len(text) < 300 and not any("\ud800" <= char <= "\udfff" for char in text)
]
"""Lone surrogates are no text that a table can hold."""


@pytest.mark.parametrize("text", READ)
def test_hostile_names_change_no_structure(text):
    assert Outline(page(assessed(text))).tags == Outline(page(assessed("harmless"))).tags
