"""The shape of heliotrope.yaml, version 1."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from heliotrope.core.predicates.behaviour import Norm
from heliotrope.core.records import MAX_SAFE_INTEGER, Record

__all__ = [
    "AnalyserId",
    "ChecksConfig",
    "DataConfig",
    "DataSource",
    "DeclaredConfig",
    "GatesConfig",
    "HeliotropeConfig",
    "InputConfig",
    "ModelConfig",
    "Name",
    "NormalisationConfig",
    "ScanConfig",
    "Suite",
    "ThreatConfig",
]

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""A name that is safe in URNs, file names and reports."""

AnalyserId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,49}(\.[a-z][a-z0-9-]{0,49}){1,2}$")]
"""The id of an analyser of another package."""

Suite = Literal["quick", "standard", "deep"]


class InputConfig(Record):
    """What the model takes."""

    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=65536)], ...], Field(min_length=1, max_length=4)]
    """One sample, channel first for images, as in [1, 28, 28]."""
    range: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest value of a valid input, before any normalisation."""

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if not self.range[0] < self.range[1]:
            raise ValueError(f"range must rise, got {list(self.range)}")
        return self


class NormalisationConfig(Record):
    """Applied by Heliotrope in front of the model: (x - mean) / std, per channel."""

    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    """One value for each channel, in the units of input.range."""
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    """One value for each channel, in the units of input.range."""


class DataSource(Record):
    """Labelled samples: one npz file or image folder (`path`), or a file of images and one of labels (npy, idx, idx.gz)."""

    path: str | None = None
    """An npz file, or a folder with one sub-folder of images for each class."""
    images: str | None = None
    """npy, idx or gzipped idx; needs labels."""
    labels: str | None = None
    """One whole number for each image, from 0 in the order of the outputs; npy, idx or gzipped idx."""
    images_key: str = "images"
    """Name of the array of images in an npz file."""
    labels_key: str = "labels"
    """Name of the array of labels in an npz file."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.path is None) == (self.images is None and self.labels is None):
            raise ValueError("give either path, or images and labels")
        if self.path is None and (self.images is None or self.labels is None):
            raise ValueError("images and labels belong together")
        return self


class DataConfig(Record):
    """Where a model's data is."""

    train: DataSource | None = None
    """What the model was trained on."""
    evaluate: DataSource | None = None
    """Labelled samples the model was not trained on; the dynamic checks measure on them."""


class DeclaredConfig(Record):
    """What the team says of the model; checks compare it with what they see."""

    clean_accuracy: float | None = Field(default=None, ge=0, le=1)
    """Share of evaluation samples the team says are classified correctly."""


class ThreatConfig(Record):
    """What an attacker may do to an input; eps is in the units of input.range."""

    norm: Norm = "Linf"
    """Linf bounds the change of every value by eps, L2 the length of the whole change."""
    eps: float = Field(gt=0)
    """The largest perturbation, as in 0.1 for images in [0, 1]."""
    steps: int = Field(default=40, ge=1, le=100_000)
    """Gradient steps of each attempt."""
    restarts: int = Field(default=5, ge=1, le=1000)
    """Attempts from different random starts for every sample."""
    step_size: float | None = Field(default=None, gt=0)
    """Default: 2.5 * eps / steps, the usual choice for PGD (Madry et al. 2018)."""


class ModelConfig(Record):
    """One model."""

    name: Name
    """Its name in reports and URNs; no two models share one."""
    path: str | None = None
    """Weights, relative to this file."""
    format: Literal["torch"] | None = None
    """Which library the weights belong to; recognised by the file name when left out."""
    loader: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = None
    """module:function that returns an nn.Module; called without arguments, in a worker, with consent."""
    task: Literal["image-classification"] | None = None
    """What the model does."""
    input: InputConfig | None = None
    """What the model takes."""
    output: Literal["logits", "probabilities"] | None = None
    """What the model returns: raw scores, or values that sum to 1."""
    normalisation: Literal["inside"] | NormalisationConfig = "inside"
    """inside: the model normalises its inputs itself. Otherwise Heliotrope puts (x - mean) / std in front of it."""
    labels: tuple[str, ...] | None = None
    """Class names in the order of the outputs."""
    device: Literal["cpu"] = "cpu"
    """Where it runs."""
    data: DataConfig = DataConfig()
    threat: ThreatConfig | None = None
    """Overrides the project's threat for this model."""
    declared: DeclaredConfig = DeclaredConfig()


class ChecksConfig(Record):
    """Which checks run."""

    suite: Suite = "standard"
    """How much is tested: quick takes seconds, standard minutes, deep hours."""
    skip: tuple[str, ...] = ()
    """Ids of checks to leave out, as in evasion.pgd or evasion.*"""
    time_limit: float | None = Field(default=None, gt=0)
    """Seconds of wall time for each check; default 1800."""
    memory_limit: float | None = Field(default=None, gt=0, le=1_000_000)
    """GiB of memory for each check's process; default 8."""


class ScanConfig(Record):
    """How files are inspected."""

    analysers: tuple[AnalyserId, ...] = ()
    """Analysers of installed plug-ins that take part, as in scorecard.formulas; all others are off."""


class GatesConfig(Record):
    """What decides."""

    pack: str = "default"
    """"default", or the path of a policy file."""
    floors: dict[str, float] = {}
    """Metric to lowest acceptable value, as in robust_accuracy: 0.8."""
    maximum_age: Annotated[str, StringConstraints(pattern=r"^\d{1,9}[smhd]$")] = "7d"
    """Evidence older than this is not reused."""


class HeliotropeConfig(Record):
    """heliotrope.yaml."""

    version: Literal[1]
    """Of this format."""
    project: Name
    """Its name in reports and URNs; the history in the ledger belongs to it."""
    models: tuple[ModelConfig, ...] = ()
    """The models of the project."""
    threat: ThreatConfig | None = None
    """What an attacker may do to an input, for every model; eps is in the units of input.range."""
    sample: Annotated[int, Field(ge=1)] | Literal["all"] | None = None
    """How many evaluation samples an attack takes; default by suite."""
    seed: int = Field(default=0, ge=0, le=MAX_SAFE_INTEGER)
    """Start of everything random; equal seeds give equal results."""
    dependencies: tuple[str, ...] = ()
    """Lock and requirements files."""
    scan: ScanConfig = ScanConfig()
    checks: ChecksConfig = ChecksConfig()
    gates: GatesConfig = GatesConfig()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [model.name for model in self.models]
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise ValueError(f"two models are named {doubles[0]!r}")
        return self
