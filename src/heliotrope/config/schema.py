"""The shape of heliotrope.yaml, version 1."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from heliotrope.config.hardening import HardenConfig
from heliotrope.core.predicates.behaviour import Norm
from heliotrope.core.predicates.scan import ScanAllowance
from heliotrope.core.records import MAX_SAFE_INTEGER, Record

__all__ = [
    "AnalyserId",
    "ArchivesConfig",
    "ChecksConfig",
    "ColumnConfig",
    "ColumnType",
    "DataConfig",
    "DataSource",
    "DeclaredConfig",
    "EndpointConfig",
    "GatesConfig",
    "HeliotropeConfig",
    "InputConfig",
    "ModelConfig",
    "ModelFormat",
    "ModelTaskName",
    "Name",
    "NormalisationConfig",
    "OutputKind",
    "ScanConfig",
    "SmoothingConfig",
    "Suite",
    "TextEdit",
    "TextThreatConfig",
    "ThreatConfig",
]

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""A name that is safe in URNs, file names and reports."""

AnalyserId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,49}(\.[a-z][a-z0-9-]{0,49}){1,2}$")]
"""The id of an analyser of another package."""

Suite = Literal["quick", "standard", "deep"]

ModelFormat = Literal["torch", "onnx", "sklearn", "xgboost", "lightgbm", "catboost", "endpoint"]
ModelTaskName = Literal[
    "image-classification",
    "tabular-classification",
    "text-classification",
    "tabular-regression",
    "multi-label-classification",
    "image-segmentation",
]
TextEdit = Literal["homoglyph", "invisible", "typo", "case"]
OutputKind = Literal["logits", "probabilities", "labels", "values"]
ColumnType = Literal["number", "integer", "boolean", "category", "text", "datetime", "identifier"]


class ColumnConfig(Record):
    """One column of a table, as far as the data themselves do not say it."""

    type: ColumnType | None = None
    """What its values are; inferred from the data when left out. An identifier is no feature."""
    unit: str | None = None
    """Of its values, as in years or mm; shown in reports."""
    range: tuple[float, float] | None = None
    """Lowest and highest value of a valid input."""
    categories: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Every valid category."""
    missing: bool | None = None
    """Whether a valid input may lack it; inferred from the data when left out."""
    immutable: bool = False
    """Nobody can change it from outside: attacks leave it alone."""

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if self.range is not None and not self.range[0] <= self.range[1]:
            raise ValueError(f"range must rise, got {list(self.range)}")
        return self


class InputConfig(Record):
    """What the model takes."""

    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=65536)], ...], Field(min_length=1, max_length=4)] | None = None
    """One sample of images or plain arrays, channel first, as in [1, 28, 28]; tables need none."""
    range: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest value of a valid input, before any normalisation; for images and plain arrays."""
    columns: dict[str, ColumnConfig] = {}
    """Columns of a table by name; those that are not named are inferred from the data."""

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
    """Labelled samples: a table, npz file or image folder (`path`), or a file of images and one of labels (npy, idx, idx.gz)."""

    path: str | None = None
    """A csv, tsv or parquet file, an npz file, or a folder with one sub-folder of images for each class."""
    target: str | None = None
    """Of a table: the column that holds the right answer."""
    features: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Of a table: the columns the model takes, in its order; default: all but the target and identifiers."""
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
    reference: DataSource | None = None
    """Labelled samples of an earlier time; explain.drift compares what the decision rests on there and on data.evaluate."""
    constraints: str | None = None
    """Of a table: a YAML file of what changed rows must keep; see docs/design/tables.md."""


class DeclaredConfig(Record):
    """What the team says of the model; checks compare it with what they see."""

    clean_accuracy: float | None = Field(default=None, ge=0, le=1)
    """Share of evaluation samples the team says are classified correctly."""


_APPROXIMATION = r"^(?:identity|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"


class TextThreatConfig(Record):
    """What an attacker may do to a text, beside threat.eps, the largest share of its characters that may be edited."""

    words: int = Field(default=5, ge=1, le=1000)
    """How many words of one text may change."""
    kinds: Annotated[tuple[TextEdit, ...], Field(min_length=1)] = ("homoglyph", "invisible", "typo", "case")
    """homoglyph: letters that look alike; invisible: characters without width; typo: neighbouring keys, swapped, lost and
    doubled letters; case: capitals. Words of the table are substituted wherever table is given."""
    table: str | None = None
    """Words that may stand for others, a tsv or yaml file: a word and its substitutes; see the how-to on texts."""


class ThreatConfig(Record):
    """What an attacker may do to an input; eps is in the units of input.range, of tables in spreads, of texts in shares."""

    norm: Norm = "Linf"
    """Linf bounds the change of every value by eps, L2 the length of the whole change."""
    eps: float = Field(gt=0)
    """The largest perturbation, as in 0.1 for images in [0, 1]."""
    steps: int | None = Field(default=None, ge=1, le=100_000)
    """Steps of each attempt; default: 40 along gradients of torch models, 100 to 1000 questions (10 a value) to all others."""
    restarts: int = Field(default=5, ge=1, le=1000)
    """Attempts from different random starts for every sample."""
    step_size: float | None = Field(default=None, gt=0)
    """Default: 2.5 * eps / steps, the usual choice for PGD (Madry et al. 2018)."""
    changed_categories: int = Field(default=1, ge=0, le=1000)
    """Tables: how many categories and booleans of one row may change, each counting one; eps bounds numbers alone."""
    channel_eps: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] | None = None
    """Images: one eps for each channel, the largest being eps; 0 leaves a channel alone. Attacks along gradients only."""
    draws: int | None = Field(default=None, ge=1, le=1000)
    """Of a random model: over how many draws scores and gradients are averaged; default: 10 (quick suite 4) where the model
    answers differently when asked twice. 1 averages nothing, and the attack counts as unsound."""
    approximate: dict[str, Annotated[str, StringConstraints(pattern=_APPROXIMATION)]] = {}
    """Layers of a torch network whose way back is replaced, by their name in named_modules(): identity, or module:function,
    a differentiable function that resembles the layer. For layers without gradients, as quantisation or JPEG."""

    text: TextThreatConfig | None = None
    """Of texts: which words and characters may change; default: 5 words by every kind of edit."""

    @model_validator(mode="after")
    def _largest_is_eps(self) -> Self:
        if self.channel_eps is not None and max(self.channel_eps) != self.eps:
            raise ValueError(
                f"the largest of channel_eps is {max(self.channel_eps):g}; it must equal eps, {self.eps:g}"
            )
        return self


class SmoothingConfig(Record):
    """The model is used by votes over copies with Gaussian noise; certificates are then about those votes."""

    sigma: float = Field(gt=0)
    """Standard deviation of the noise, in the units of input.range."""
    votes: int = Field(default=10_000, ge=100, le=10_000_000)
    """Copies that are counted for each sample; the largest radius that can be proven grows with them."""
    selection: int = Field(default=100, ge=1, le=1_000_000)
    """Further copies that choose the class."""
    alpha: float = Field(default=0.001, gt=0, lt=0.5)
    """Probability with which the radius of a sample may be wrong."""
    sample: int = Field(default=100, ge=1)
    """How many evaluation samples are certified; each costs votes + selection answers."""


class EndpointConfig(Record):
    """A model behind HTTP. It is only asked with consent: with --allow-code or a trust mark, as for code."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@?#]+(?:[/?#]\S*)?$")]
    """Where predictions are asked for, as in http://127.0.0.1:8080/v2/models/digits/infer."""
    protocol: Literal["kserve-v2", "mlflow", "json"]
    """kserve-v2: Open Inference Protocol; mlflow: /invocations; json: the plain shape that request and response name."""
    request: str = "instances"
    """json: the key under which rows are sent."""
    response: str = "predictions"
    """json: the key under which predictions come back; dots lead deeper."""
    output_name: str | None = None
    """kserve-v2: which output holds the scores; default: the first."""
    timeout: float = Field(default=10.0, gt=0, le=3600)
    """Seconds for one request."""
    retries: int = Field(default=2, ge=0, le=20)
    """Further attempts after a refused connection, a time-out or a status of 429, 502, 503 or 504."""
    rate: float = Field(default=50.0, gt=0)
    """Requests for each second, at most."""
    budget: int = Field(default=10_000, ge=1)
    """Requests of one check, at most; a check that needs more is inconclusive."""
    batch: int = Field(default=64, ge=1, le=100_000)
    """Rows of one request."""
    token_env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Environment variable that holds a bearer token; the token itself never stands in this file."""
    authorised_by: str | None = None
    """Who allowed tests of this host; required for a host other than this machine."""
    authorised_until: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    """Last day of that permission, as in 2027-01-31; required for a host other than this machine."""


class ModelConfig(Record):
    """One model."""

    name: Name
    """Its name in reports and URNs; no two models share one."""
    path: str | None = None
    """Weights or the whole model, relative to this file."""
    format: ModelFormat | None = None
    """Which library the model belongs to; recognised by the file name when left out."""
    loader: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = None
    """torch: module:function that returns an nn.Module; called without arguments, in a worker, with consent."""
    endpoint: EndpointConfig | None = None
    """A model behind HTTP instead of a file."""
    task: ModelTaskName | None = None
    """What the model does."""
    input: InputConfig | None = None
    """What the model takes."""
    output: OutputKind | None = None
    """What the model returns: raw scores, values that sum to 1, the class alone, or a number (regression)."""
    normalisation: Literal["inside"] | NormalisationConfig = "inside"
    """inside: the model normalises its inputs itself. Otherwise Heliotrope puts (x - mean) / std in front of it."""
    labels: tuple[str, ...] | None = None
    """Class names in the order of the outputs."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where it runs; cuda is for torch models."""
    data: DataConfig = DataConfig()
    """Data it was trained on and data to evaluate it on."""
    threat: ThreatConfig | None = None
    """Overrides the project's threat for this model."""
    declared: DeclaredConfig = DeclaredConfig()
    smoothing: SmoothingConfig | None = None
    """Set when the model is used by votes over noisy copies of its input."""
    harden: HardenConfig | None = None
    """How `helio harden` makes it more robust; it needs data.train."""
    previous: Name | None = None
    """An earlier version of this model, by its name in this file; explain.drift compares what the two rest on."""
    properties: tuple[str, ...] = ()
    """ONNX: files in VNN-LIB that say which outputs would be unsafe for which inputs; each is proven or broken."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.endpoint is not None and (self.path is not None or self.loader is not None):
            raise ValueError("an endpoint has neither path nor loader: describe the file as a model of its own")
        if self.format == "endpoint" and self.endpoint is None:
            raise ValueError("format endpoint needs endpoint: {url: ..., protocol: ...}")
        if self.endpoint is not None and self.format not in (None, "endpoint"):
            raise ValueError(f"a model with an endpoint cannot have the format {self.format}")
        if self.loader is not None and self.format not in (None, "torch"):
            raise ValueError(f"a loader is for torch models; the format here is {self.format}")
        return self


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


class ArchivesConfig(Record):
    """Which archives are opened beside those that loaders of models open."""

    seven_zip: bool = False
    """Whether 7z archives are opened; this needs the extra heliotrope[sevenzip]."""


class ScanConfig(Record):
    """How files are inspected."""

    analysers: tuple[AnalyserId, ...] = ()
    """Analysers of installed plug-ins that take part, as in scorecard.formulas; all others are off."""
    archives: ArchivesConfig = ArchivesConfig()
    allow: tuple[ScanAllowance, ...] = ()
    """Names of one's own code that model files may use. They change the decision, never the raw verdict."""

    @model_validator(mode="after")
    def _globals_differ(self) -> Self:
        names = [item.global_ for item in self.allow]
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise ValueError(f"two entries allow {doubles[0]!r}")
        return self

    @property
    def enabled(self) -> tuple[str, ...]:
        """Ids of all that take part, the one of 7z archives among them."""
        return (*self.analysers, *(("heliotrope.seven-zip",) if self.archives.seven_zip else ()))


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
    """What an attacker may do to an input, for every model."""
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

    @model_validator(mode="after")
    def _previous_are_there(self) -> Self:
        names = {model.name for model in self.models}
        for model in self.models:
            if model.previous == model.name:
                raise ValueError(f"model {model.name!r} names itself as previous")
            if model.previous is not None and model.previous not in names:
                raise ValueError(
                    f"model {model.name!r} has the previous version {model.previous!r}, which is no model here"
                )
        return self
