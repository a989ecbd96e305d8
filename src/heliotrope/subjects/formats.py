"""Which kinds of models there are, by which file names they are recognised, and what each needs. Static: imports nothing."""

from dataclasses import dataclass
from pathlib import PurePath

from heliotrope.config.schema import ModelConfig, ModelFormat
from heliotrope.engine.interface import ConsentKind

__all__ = ["FORMATS", "FormatDescriptor", "format_of"]


@dataclass(frozen=True, slots=True)
class FormatDescriptor:
    """A kind of model and the adapter that opens it."""

    format: ModelFormat
    title: str
    adapter: str
    """The module with `open_model`, a ModelAdapter."""
    extra: str
    modules: tuple[str, ...]
    """Python modules by which the extra is recognised."""
    suffixes: tuple[str, ...]
    """File names that can be nothing else."""
    consent: ConsentKind
    states_output: bool
    """Whether the library itself says what the scores are; else `output` must be declared."""


_DATA = ("numpy", "scipy")

FORMATS: dict[ModelFormat, FormatDescriptor] = {
    descriptor.format: descriptor
    for descriptor in (
        FormatDescriptor(
            format="torch",
            title="PyTorch module by the loader contract",
            adapter="heliotrope.subjects.torch_model",
            extra="torch",
            modules=(*_DATA, "torch", "safetensors"),
            suffixes=(".safetensors", ".pt", ".pth", ".bin"),
            consent="code",
            states_output=False,
        ),
        FormatDescriptor(
            format="onnx",
            title="ONNX by onnxruntime",
            adapter="heliotrope.subjects.onnx_model",
            extra="onnx",
            modules=(*_DATA, "onnxruntime"),
            suffixes=(".onnx",),
            consent="none",
            states_output=False,
        ),
        FormatDescriptor(
            format="sklearn",
            title="scikit-learn by skops, or a pickle under a clearance",
            adapter="heliotrope.subjects.sklearn_model",
            extra="sklearn",
            modules=(*_DATA, "pandas", "sklearn"),
            suffixes=(".skops", ".joblib", ".pkl", ".pickle"),
            consent="none",
            states_output=True,
        ),
        FormatDescriptor(
            format="xgboost",
            title="XGBoost, JSON or UBJSON",
            adapter="heliotrope.subjects.xgboost_model",
            extra="xgboost",
            modules=(*_DATA, "pandas", "xgboost"),
            suffixes=(".ubj", ".xgb"),
            consent="none",
            states_output=True,
        ),
        FormatDescriptor(
            format="lightgbm",
            title="LightGBM text model",
            adapter="heliotrope.subjects.lightgbm_model",
            extra="lightgbm",
            modules=(*_DATA, "pandas", "lightgbm"),
            suffixes=(".lgb", ".lgbm"),
            consent="none",
            states_output=True,
        ),
        FormatDescriptor(
            format="catboost",
            title="CatBoost binary model",
            adapter="heliotrope.subjects.catboost_model",
            extra="catboost",
            modules=(*_DATA, "pandas", "catboost"),
            suffixes=(".cbm",),
            consent="none",
            states_output=True,
        ),
        FormatDescriptor(
            format="endpoint",
            title="a model behind HTTP",
            adapter="heliotrope.subjects.endpoint_model",
            extra="endpoint",
            modules=(*_DATA, "urllib3"),
            suffixes=(),
            consent="network",
            states_output=False,
        ),
    )
}


def format_of(model: ModelConfig) -> FormatDescriptor | None:
    """The kind of a configured model: as declared, else by endpoint, loader or file name; None if nothing tells."""
    if model.format is not None:
        return FORMATS[model.format]
    if model.endpoint is not None:
        return FORMATS["endpoint"]
    if model.loader is not None:
        return FORMATS["torch"]
    suffix = PurePath(model.path).suffix.lower() if model.path else ""
    return next((descriptor for descriptor in FORMATS.values() if suffix in descriptor.suffixes), None)
