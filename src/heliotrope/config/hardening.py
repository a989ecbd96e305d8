"""The part of heliotrope.yaml that says how a model is hardened."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from heliotrope.core.records import Record

__all__ = ["HardenConfig", "NetworkMethod", "TableMethod"]

NetworkMethod = Literal["pgd", "trades", "fast", "noise"]
TableMethod = Literal["retrain", "monotone", "regularise", "clip", "quantise", "round"]

_FUNCTION = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class HardenConfig(Record):
    """How `helio harden` makes a model more robust; every key has a default."""

    method: NetworkMethod | None = None
    """Torch networks. pgd: adversarial training (Madry et al. 2018); trades: the same with a term that keeps answers near
    each other (Zhang et al. 2019); fast: one step from a random start, watched for overfitting (Wong et al. 2020); noise:
    Gaussian noise, for models that vote over noisy copies (Cohen et al. 2019). Default: trades; noise where smoothing is set."""
    tables: Annotated[tuple[TableMethod, ...], Field(min_length=1)] = ("retrain",)
    """Models of tables, one after the other. retrain: on feasible adversarial rows; monotone: constraints from the directions of the
    constraints file; regularise: a stronger penalty, or fewer and shallower trees; clip: values outside those seen in training;
    quantise: numbers to steps of half of eps; round: what the model answers to two digits. The last three need scikit-learn."""
    parameters: dict[str, str | float | int | bool] = {}
    """Models of tables: hyperparameters to refit with, over those that the file holds, by the names of the library, as in max_depth or
    logisticregression__C. XGBoost keeps hardly any in its files."""
    guarded: str | None = None
    """monotone: the class that attackers want to leave; default: the second of two."""
    train: Annotated[str, StringConstraints(pattern=_FUNCTION)] | None = None
    """module:function of your own that trains a torch network in place of the built-in loop; see the how-to on hardening."""
    start: Literal["weights", "scratch"] = "weights"
    """Go on from the model's weights, or begin anew with what the loader returns."""
    epochs: int = Field(default=20, ge=1, le=100_000)
    """Passes over the training data; of tables rounds of retraining, at most 10."""
    batch: int = Field(default=64, ge=1, le=100_000)
    """Samples of one training step."""
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    """Largest rate of Adam; it rises over the first fifth of all steps and falls to nothing."""
    steps: int = Field(default=7, ge=1, le=1000)
    """Steps of the attack that makes training examples."""
    beta: float = Field(default=6.0, ge=0, le=1000)
    """trades: weight of the term that keeps answers near each other."""
    curriculum: float = Field(default=0.3, ge=0, le=1)
    """Share of the epochs over which the radius rises to eps of the threat."""
    averaging: float = Field(default=0.995, ge=0, lt=1)
    """Weights are averaged over steps with this decay; 0: they are not."""
    patience: int = Field(default=10, ge=1, le=100_000)
    """Epochs without a better robust accuracy on the validation part after which training ends."""
    validation: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the training data that chooses the epoch and is not trained on."""
    sigma: float | None = Field(default=None, gt=0)
    """noise: its standard deviation, in the units of input.range; default: smoothing.sigma."""
    clean_loss: float = Field(default=0.05, ge=0, le=1)
    """How much clean accuracy may be lost; a model that surely lost more is not called better."""

    @model_validator(mode="after")
    def _methods_differ(self) -> Self:
        if len(set(self.tables)) < len(self.tables):
            raise ValueError("tables names a method twice")
        return self
