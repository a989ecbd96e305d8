"""What Keras makes of a name in a configuration: its own layer, its own function, or somebody's code.

Source: serialization_lib of Keras 3.0 to 3.15 and the legacy serialization of tf.keras; older releases import any module that is named
(CVE-2025-1550), and look up any function of their own (CVE-2025-8747).
"""

import re
from typing import Literal

from heliotrope.scan.frameworks.keras_names import CLASSES, FUNCTIONS
from heliotrope.scan.policy import shipped_policy

__all__ = ["Kind", "class_kind", "function_kind"]

Kind = Literal["own", "package", "gadget", "unlisted", "dangerous", "custom"]
"""`own` is harmless; `package` is of Keras' sister packages; `gadget` loads, fetches or switches something off; `unlisted` is of
Keras, but not what layers are made of; `dangerous` by the policy of pickles; `custom` is somebody's own."""

_ROOTS = frozenset({"keras", "tf_keras", "keras_core"})
_PACKAGES = frozenset({"keras_hub", "keras_nlp", "keras_cv"})
_REGISTERING = _PACKAGES | {"Keras", "keras", "tf_keras"}
"""What stands before the > in names that these packages register."""

_PASSED_OVER = frozenset({"src", "keras", "_tf_keras", "api", "_v1", "_v2"})
_CLASS_FAMILIES = frozenset(
    [
        "layers",
        "models",
        "optimizers",
        "losses",
        "metrics",
        "initializers",
        "regularizers",
        "constraints",
        "quantizers",
        "dtype_policies",
        "random",
        "ops",
        "engine",
        "distillation",
        "mixed_precision",
        "feature_column",
        "premade",
        "premade_models",
        "trainers",
        "legacy",
        "legacy_tf_layers",
    ]
)
_LISTED_FAMILIES = frozenset({"", "backend", "utils", "export", "saving", "wrappers", "activations"})
"""Of these only the classes that are known."""
_ELSEWHERE = frozenset({"KerasTensor", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "Lambda"})
_FUNCTION_FAMILIES = frozenset(
    "activations losses metrics initializers regularizers constraints ops layers backend random".split()  # noqa: SIM905 - a table
)
_GADGETS = frozenset(
    """
    CustomObjectScope KerasFileEditor audio_dataset_from_directory clear_session custom_object_scope deserialize
    deserialize_keras_object enable_unsafe_deserialization extract_archive func_load get_custom_objects get_file
    image_dataset_from_directory load_data load_img load_model load_model_from_hdf5 load_weights model_from_config model_from_json
    model_from_yaml plot_model register_keras_serializable save_img save_model save_weights set_custom_objects
    text_dataset_from_directory
    """.split()  # noqa: SIM905 - a table
)
_CLASS = re.compile(r"[A-Z][A-Za-z0-9_]*")
_OPERATION = re.compile(r"[a-z][a-z0-9_]*")
_ACTING = re.compile(r"load|save|file|import|exec|eval|open|write|read|download|unsafe|serialize|register|path|url")


def class_kind(module: str | None, name: str, registered: str | None) -> Kind:  # noqa: PLR0911 - from the most to the least specific
    """What a class is; without a module, a name is looked up among Keras' own and those that the user registered."""
    package = registered.partition(">")[0] if registered and ">" in registered else ""
    if package == "Custom" and registered is not None and registered.partition(">")[2] in CLASSES:
        package = ""
    if package and package not in _REGISTERING:
        return _foreign(module or "", name)
    if module is None or module == "builtins":
        package, _, rest = name.rpartition(">")
        if package == "Custom" and rest in CLASSES:
            return "own"
        if package:
            return "package" if package in _REGISTERING else "custom"
        return "own" if name in CLASSES or name in _ELSEWHERE else _foreign(module or "", name)
    family = _family(module)
    if family is None:
        known = module.partition(".")[0] in _PACKAGES and _CLASS.fullmatch(name)
        return "package" if known else _foreign(module, name)
    if name in _GADGETS:
        return "gadget"
    if family in _CLASS_FAMILIES and _CLASS.fullmatch(name):
        return "own"
    if family in _LISTED_FAMILIES and (name in CLASSES or name in _ELSEWHERE):
        return "own"
    return function_kind(module, name)


def function_kind(module: str | None, name: str) -> Kind:
    """What a function is. The module builtins stands for Keras' own in its configurations."""
    if module is None or module == "builtins":
        return "own" if name in FUNCTIONS else _foreign(module or "", name)
    family = _family(module)
    if family is None:
        return "unlisted" if module.partition(".")[0] in _PACKAGES else _foreign(module, name)
    last = name.rpartition(".")[2]
    if last in _GADGETS:
        return "gadget"
    if family in _FUNCTION_FAMILIES and name in FUNCTIONS:
        return "own"
    if family == "ops" and _OPERATION.fullmatch(name) and not _ACTING.search(name):
        return "own"
    return "unlisted"


def _family(module: str) -> str | None:
    """The part of Keras that a module belongs to, as in layers; None for a module of something else."""
    parts = module.split(".")
    if parts[0] == "tensorflow":
        parts = parts[2 if parts[1:2] == ["python"] else 1 :]
    if not parts or parts[0] not in _ROOTS:
        return None
    return next((part for part in parts[1:] if part not in _PASSED_OVER), "")


def _foreign(module: str, name: str) -> Kind:
    """What the policy of pickles calls dangerous is so here; nothing else is vouched for."""
    if not module:
        return "custom"
    kind = shipped_policy().lookup(module, name).kind
    return "dangerous" if kind in ("dangerous", "dotted") else "custom"
