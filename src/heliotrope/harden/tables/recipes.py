"""The recipe of an opened model, by its format."""

from collections.abc import Mapping
from pathlib import Path

from heliotrope.core.errors import InputError
from heliotrope.harden.tables.catboost_recipe import catboost_recipe
from heliotrope.harden.tables.interface import Recipe, Setting
from heliotrope.harden.tables.lightgbm_recipe import lightgbm_recipe
from heliotrope.harden.tables.sklearn_recipe import sklearn_recipe
from heliotrope.harden.tables.xgboost_recipe import xgboost_recipe
from heliotrope.subjects.inside import Inside, look_inside
from heliotrope.subjects.interface import Opened

__all__ = ["recipe_of"]


def recipe_of(opened: Opened, parameters: Mapping[str, Setting], folder: Path) -> Recipe:
    """How to fit the model anew. Raises InputError where its format does not say."""
    inside, seed = look_inside(opened), opened.task.seed
    if inside is None or inside.kind in ("torch", "onnx"):
        raise InputError(
            f"a model of the format {opened.model.format} cannot be fitted anew from its file",
            hint="harden scikit-learn, XGBoost, LightGBM and CatBoost models on tables, torch networks on images",
        )
    columns = tuple(column.name for column in opened.data.columns)
    if inside.kind == "sklearn":
        return sklearn_recipe(inside, columns or _places(opened), seed=seed, parameters=parameters)
    features = _features(inside, columns) or _places(opened)
    if inside.kind == "xgboost":
        return xgboost_recipe(inside, features, seed=seed, parameters=parameters)
    if inside.kind == "lightgbm":
        return lightgbm_recipe(inside, features, seed=seed, parameters=parameters)
    return catboost_recipe(inside, features, seed=seed, parameters=parameters, folder=folder)


def _places(opened: Opened) -> tuple[str, ...]:
    """Of arrays: a name for every value of a sample."""
    import numpy as np

    width = int(np.asarray(opened.data.take(np.zeros(1, dtype=np.int64)).inputs).size)
    return tuple(f"value {place}" for place in range(width))


def _features(inside: Inside, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the data's columns in the order of the model's features: it may have been trained on another order."""
    native = inside.native
    own = {"xgboost": "feature_names", "lightgbm": "feature_name", "catboost": "feature_names_"}[inside.kind]
    names = getattr(native, own)
    names = names() if callable(names) else names
    spelled = {column.replace(" ", "_") if inside.kind == "lightgbm" else column: column for column in columns}
    if names is None or not all(str(name) in spelled for name in names):
        return columns
    return tuple(spelled[str(name)] for name in names)
