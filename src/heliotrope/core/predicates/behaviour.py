"""Evidence of how a model behaves: clean performance, and evasion under a threat."""

from typing import Annotated, Literal

from pydantic import Field

from heliotrope.core.evidence import Blob
from heliotrope.core.measurements import Interval
from heliotrope.core.records import Record, Sha256

__all__ = [
    "EVASION_PREDICATE",
    "PERFORMANCE_PREDICATE",
    "AdversarialExample",
    "ClassPerformance",
    "CurvePoint",
    "EvasionPredicate",
    "FeatureChange",
    "HealthIndicator",
    "HealthState",
    "HealthVerdict",
    "Norm",
    "PerformancePredicate",
    "RegressionPerformance",
    "RestartResult",
    "ThreatKind",
    "ThreatModel",
]

PERFORMANCE_PREDICATE = "urn:heliotrope:predicate:performance:v1"
EVASION_PREDICATE = "urn:heliotrope:predicate:evasion:v1"

Norm = Literal["Linf", "L2"]
ThreatKind = Literal["norm", "spatial", "patch", "universal", "text"]
HealthState = Literal["ok", "warning", "failed", "unknown"]
HealthVerdict = Literal["sound", "doubtful", "unsound"]


class ClassPerformance(Record):
    """Accuracy on the samples of one class."""

    label: int
    name: str
    n: int
    correct: int


class RegressionPerformance(Record):
    """How near the answers of a regression come to the right ones."""

    mean_absolute_error: float
    """In the units of the target."""
    mean_absolute_error_interval: Interval | None
    """Null for fewer than two samples."""
    r2: float | None
    """1 less the share of the target's variance that is left; null where the target does not vary."""
    r2_interval: Interval | None
    target_mean: float
    target_deviation: float
    """Standard deviation of the right answers: the scale on which the error should be read."""


class PerformancePredicate(Record):
    """Quality on unperturbed data: accuracy of a classifier, or error of a regression."""

    n: int
    correct: int | None = None
    accuracy: float | None = None
    interval: Interval | None = None
    classes: tuple[ClassPerformance, ...] = ()
    regression: RegressionPerformance | None = None
    data: dict[str, Sha256]
    """Digests of the data files."""


class ThreatModel(Record):
    """What the attacker may do: change each input by at most eps in the norm, staying in the declared range.

    eps is in the units of the declared input range. Of a table: numbers by at most eps spreads of their column, each
    within the column's own range, and categories and booleans as many as changed_categories says. Of texts: at most eps
    words, and by edits of characters at most the share that characters says.
    """

    kind: ThreatKind = "norm"
    norm: Norm
    """Of texts without meaning: what bounds them is eps and characters."""
    eps: float = Field(gt=0)
    steps: int = Field(ge=1)
    restarts: int = Field(ge=1)
    step_size: float = Field(gt=0)
    input_low: float | None = None
    """Null for tables."""
    input_high: float | None = None
    changed_categories: int | None = Field(default=None, ge=0)
    """Of tables: how many categories and booleans of one row may change; null for other inputs."""
    characters: float | None = Field(default=None, gt=0, le=1)
    """Of texts: share of the characters of one text that edits of characters may insert, delete or replace."""
    edits: tuple[str, ...] = ()
    """Of texts: the kinds of edits that were tried, as in homoglyph or typo."""
    channel_eps: tuple[float, ...] | None = None
    """Where channels of images have budgets of their own: one for each, the largest being eps. The norm is that of changes
    measured in units of channel_eps / eps."""
    targets: int | None = Field(default=None, ge=1)
    """Classes that targeted passes headed for, the best-scoring first; null where there were no such passes."""
    queries: int | None = Field(default=None, ge=1)
    """Questions of the Square attack for each sample that gradients left; null where there were none."""
    draws: int | None = Field(default=None, ge=2)
    """Of a random model: over how many draws scores and gradients were averaged; null where it answers twice alike."""
    approximated: tuple[str, ...] = ()
    """Layers whose way back was replaced (backward pass differentiable approximation)."""

    @property
    def box(self) -> tuple[float, float]:
        """The declared range of images and plain arrays."""
        if self.input_low is None or self.input_high is None:
            raise ValueError("the threat has no range of inputs: it is one on tables")
        return self.input_low, self.input_high


class CurvePoint(Record):
    """Accuracy under attack at one perturbation size."""

    eps: float
    accuracy: float
    n: int
    interval: Interval


class HealthIndicator(Record):
    """One sign of whether the attack itself worked."""

    id: str
    title: str
    state: HealthState
    wanted: str
    actual: str
    explanation: str
    applies: str | None = None
    """To what it applies; null: to every attack."""
    test: str | None = None
    """How the state follows from what is seen, with its threshold."""
    effect: float | None = None
    """How large what is seen is, in the unit of the test: mostly a share of samples."""
    consequence: Literal["invalidates", "warns", "repaired"] | None = None
    """What it means for the number when it is not ok; null in evidence of versions that did not say."""
    next_attack: str | None = None
    """What to try when it is not ok."""


class RestartResult(Record):
    """How many samples were attacked in a restart and how many of them broke."""

    restart: int
    attacked: int
    broken: int
    attack: str | None = None
    """Which pass, as in apgd-targeted-3; null where all passes are alike."""


class FeatureChange(Record):
    """One changed feature of an adversarial row."""

    feature: str
    before: str | float | bool
    after: str | float | bool
    unit: str | None = None
    cost: float
    """Numbers: how far it moved, in spreads of its column. Categories and booleans: 1 each."""


class AdversarialExample(Record):
    """A failure worth looking at. Pictures are PNG blobs; the difference is amplified and centred on grey."""

    index: int
    """Row in the evaluation data."""
    label: int
    label_name: str
    adversarial_prediction: int
    adversarial_name: str
    clean_confidence: float
    adversarial_confidence: float
    linf: float
    """Of tables linf and l2 are in spreads and count numbers alone. Of texts linf is the share of edited characters and l2 the
    number of changed words."""
    l2: float
    original: Blob | None
    perturbed: Blob | None
    difference: Blob | None
    difference_gain: float = 10.0
    attribution: Blob | None = None
    """What the wrong class rests on in the perturbed input; null where that was not looked at."""
    changes: tuple[FeatureChange, ...] | None = None
    """Of tables: what was changed, the dearest first. Of texts each changed word, in their order."""
    before_text: str | None = None
    """Of texts: the text and what became of it, shortened, with invisible characters as escapes."""
    after_text: str | None = None


class EvasionPredicate(Record):
    """Accuracy under an attack, with all that is needed to judge the number."""

    attack: str
    """As in pgd or search."""
    threat: ThreatModel
    n: int
    clean_correct: int
    broken: int
    """Samples that were classified correctly and are not under attack."""
    clean_accuracy: float
    clean_interval: Interval
    robust_accuracy: float
    """Share of all n that is right both clean and under every restart: the pointwise worst case."""
    robust_interval: Interval
    curve: tuple[CurvePoint, ...]
    restarts: tuple[RestartResult, ...]
    health: Annotated[tuple[HealthIndicator, ...], Field(min_length=1)]
    """Never empty: robust accuracy is not stated without them."""
    health_verdict: HealthVerdict
    """sound: all ok or unknown; doubtful: a warning; unsound: one failed, the number must not be relied on."""
    certified: int | None = None
    """Of the samples that stand, how many a certificate proves; null where nothing was proven."""
    unreached: int | None = None
    """Of the samples that stand, how many were not given every stage because the budget ended; null where none was set."""
    proof: str | None = None
    """What came of trying to prove, in words."""
    forward_passes: int
    """Samples sent forward, summed over batches."""
    gradient_passes: int
    examples: tuple[AdversarialExample, ...]
    samples: Blob | None
    """The broken inputs. Compressed npz: index, label, original and perturbed. Of tables parquet: index, label, and each
    feature twice, as original.NAME and perturbed.NAME."""
    data: dict[str, Sha256]
