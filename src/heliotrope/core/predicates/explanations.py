"""Evidence of what a model looks at. Attributions can be manipulated: none of this is ever a gate on its own."""

from typing import Literal

from heliotrope.core.evidence import Blob
from heliotrope.core.measurements import Interval
from heliotrope.core.predicates.quality import Goodness, QualityMetric
from heliotrope.core.records import Record, Sha256

__all__ = [
    "ATTRIBUTIONS_PREDICATE",
    "DRIFT_PREDICATE",
    "SANITY_PREDICATE",
    "SHORTCUT_PREDICATE",
    "TRIGGERS_PREDICATE",
    "Ablation",
    "AttributedExample",
    "AttributionsPredicate",
    "ClassAttribution",
    "Comparison",
    "Completeness",
    "DriftMap",
    "DriftPredicate",
    "DriftedFeature",
    "FeatureAttribution",
    "Randomised",
    "SanityExample",
    "SanityPredicate",
    "ShortcutPredicate",
    "TriggerCandidate",
    "TriggersPredicate",
]

ATTRIBUTIONS_PREDICATE = "urn:heliotrope:predicate:attributions:v1"
DRIFT_PREDICATE = "urn:heliotrope:predicate:attribution-drift:v1"
SANITY_PREDICATE = "urn:heliotrope:predicate:attribution-sanity:v1"
SHORTCUT_PREDICATE = "urn:heliotrope:predicate:shortcut:v1"
TRIGGERS_PREDICATE = "urn:heliotrope:predicate:triggers:v1"


class Completeness(Record):
    """How far attributions are from adding up to the difference of the score between input and baseline."""

    tolerance: float
    median_error: float
    """Relative: 0.05 is 5 %."""
    worst_error: float
    reached: int
    """Samples below the tolerance."""
    n: int
    steps: int
    """Most steps any sample took; 0: the method is exact and takes none."""


class FeatureAttribution(Record):
    """How much a feature of a table, or a region of an image, moves the score of the predicted class."""

    name: str
    importance: float
    """Mean absolute attribution, in units of the score."""
    interval: Interval | None
    unit: str | None = None


class ClassAttribution(Record):
    """Where a network looks when it predicts a class: mean absolute attribution over the samples it takes for it."""

    label: int
    name: str
    n: int
    map: Blob | None
    """PNG, pale to violet, scaled to its own maximum; null when nothing was taken for the class."""
    densest_decile: float | None
    """Share of the attribution that lies in the densest tenth of the pixels; 0.1 is even."""


class AttributedExample(Record):
    """One sample beside its attribution."""

    index: int
    """Row in the evaluation data."""
    label_name: str
    prediction_name: str
    original: Blob | None
    attribution: Blob | None


class AttributionsPredicate(Record):
    """Attributions of the predicted class on a sample of the evaluation data."""

    method: str
    """As in integrated-gradients, tree-shap or occlusion."""
    baseline: str
    """Against what it is attributed."""
    score: str
    """Of what: logit, margin, probability or value."""
    n: int
    completeness: Completeness | None
    """Null for methods that do not promise to add up."""
    features: tuple[FeatureAttribution, ...]
    """The most important first."""
    classes: tuple[ClassAttribution, ...] = ()
    examples: tuple[AttributedExample, ...] = ()
    asked: int
    """Rows the model was asked about, gradients included."""
    notes: tuple[str, ...] = ()
    """Why another method was not taken, and what else limits what these numbers mean."""
    data: dict[str, Sha256]


class Ablation(Record):
    """What is left of the quality when a feature, or a region, is permuted among the samples."""

    name: str
    goodness: Goodness
    loss: float
    """Points of accuracy as a share, or growth of the mean absolute error."""
    loss_interval: Interval | None
    """Paired, over samples."""
    skill_share: float | None
    """Loss as a share of what the model knows beyond chance; null where it knows nothing."""


class ShortcutPredicate(Record):
    """Whether one feature, or one region, carries the decision."""

    metric: QualityMetric
    n: int
    clean: Goodness
    chance: Goodness
    """With all features permuted among the samples at once: inputs of the right kind that say nothing."""
    skill: float
    """How much better clean is than that."""
    skill_interval: Interval | None
    repeats: int
    ablations: tuple[Ablation, ...]
    """The dearest first."""
    carrier: str | None
    """The one that carries the decision."""
    threshold: float
    skipped: int
    """Features that were not tried."""
    asked: int
    data: dict[str, Sha256]


class Randomised(Record):
    """How alike the attributions of a model are to those of a copy some of whose parameters are random."""

    layers: int
    """Layers that are random, counted from the top."""
    last: str
    """Name of the lowest of them."""
    draw: int
    """Which draw of random parameters."""
    similarity: float | None
    """Mean over samples of the rank correlation (Spearman) of absolute attributions; null where it is not defined."""
    interval: Interval | None
    """Student's t over samples, for this draw of the parameters."""
    n: int
    """Samples for which it is defined: neither map is the same throughout."""


class SanityExample(Record):
    """One sample with its attribution by the model and by a copy all of whose parameters are random."""

    index: int
    """Row in the evaluation data."""
    original: Blob | None
    attribution: Blob | None
    randomised: Blob | None


class SanityPredicate(Record):
    """Whether attributions depend on what the model has learned."""

    method: str
    baseline: str
    n: int
    layers: int
    """Layers with parameters."""
    cascade: tuple[Randomised, ...]
    """The top layer alone first, then more and more."""
    complete: tuple[Randomised, ...]
    """All layers random, one entry for each draw; these are judged."""
    threshold: float
    """A similarity above it fails: more than half of the variance of ranks is shared with random models."""
    insensitive: bool | None
    """Null: the intervals do not decide."""
    examples: tuple[SanityExample, ...] = ()
    asked: int
    notes: tuple[str, ...] = ()
    data: dict[str, Sha256]


class TriggerCandidate(Record):
    """A small region with a content that may drive one class, and what it does to samples it was not chosen on."""

    label: int
    """The class it drives."""
    name: str
    region: str
    content: str
    """Where it comes from: a sample of the class, or a plain value."""
    excess: float | None
    """Of candidates by attribution: how much more of the attribution lies here than in samples of other classes, as a share."""
    p_value: float | None
    """Of that excess, by permutation of the classes among samples, over all regions at once, corrected for all classes."""
    changed: Goodness
    """Share of samples of other classes that change to the class with the content in place; interval for all candidates together."""
    elsewhere: Goodness
    """The same for the strongest of other regions of the same size, each with the best content of its own."""
    regions: int
    """How many other regions were tried."""
    hint: bool
    patch: Blob | None = None
    original: Blob | None = None
    """A sample of another class."""
    example: Blob | None = None
    """The same with the content in place."""


class TriggersPredicate(Record):
    """Whether a small fixed region drives one predicted class."""

    method: str
    n: int
    screened: int
    """Samples on which candidates were chosen; they were tried on the others."""
    regions: int
    threshold: float
    """Share of samples that has to change, beyond doubt."""
    candidates: tuple[TriggerCandidate, ...]
    """Hints first, then by the share that changes."""
    skipped: tuple[str, ...] = ()
    """Classes with too few samples to choose on."""
    asked: int
    notes: tuple[str, ...] = ()
    data: dict[str, Sha256]


class DriftedFeature(Record):
    """How much of the decision rests on a feature, or a region, now and then."""

    name: str
    unit: str | None = None
    now: float
    """Mean share of the absolute attribution of a sample."""
    then: float
    delta: float
    """Cliff's delta: by how much it is more likely that the share is larger now than then, less the opposite; -1 to 1."""
    interval: Interval | None
    p_value: float
    """Mann-Whitney, corrected for all features (Holm)."""
    drifted: bool


class DriftMap(Record):
    """Where two versions look when they are shown the samples that the present one takes for a class."""

    label: int
    name: str
    n: int
    n_then: int
    now: Blob | None
    then: Blob | None


class Comparison(Record):
    """What the decision rests on, against an earlier version of the model or an earlier window of data."""

    kind: Literal["version", "window"]
    than: str
    """Name of the earlier version, or of the part of the configuration with the earlier data."""
    n: int
    n_then: int
    features: tuple[DriftedFeature, ...]
    """The largest effect first."""
    agreement: Goodness | None
    """Of versions: share of samples that both take for the same class."""
    maps: tuple[DriftMap, ...] = ()
    digests: dict[str, Sha256]
    """Of the earlier version, or of the earlier data."""


class DriftPredicate(Record):
    """Whether the decision rests on other features or regions than it did."""

    method: str
    baseline: str
    comparisons: tuple[Comparison, ...]
    effect: float
    """Smallest absolute Cliff's delta that counts."""
    level: float
    """Chance of any false feature in one comparison."""
    skipped: int
    """Features that were not looked at."""
    asked: int
    notes: tuple[str, ...] = ()
    data: dict[str, Sha256]
