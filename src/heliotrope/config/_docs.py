"""What the keys of a configuration model mean, read from the docstrings under its attributes.

Read from the source when an error or the reference needs them: pydantic's own option would parse every class on every start.
"""

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

__all__ = ["attribute_docs", "field_docs", "key_names", "models_in"]


@cache
def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Field name to the docstring under it, in one line; inherited fields included. Empty when there is no source."""
    docs: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            docs.update(attribute_docs(base))
    return docs


def attribute_docs(described: type) -> dict[str, str]:
    """Attribute to the docstring under it, of a class itself. Empty when there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(described)))
    except (OSError, TypeError, SyntaxError):
        return {}
    return dict(_attribute_docs(tree))


def _attribute_docs(tree: ast.Module) -> Iterator[tuple[str, str]]:
    body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
    for statement, following in pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            yield statement.target.id, " ".join(following.value.value.split())


def key_names(model: type[BaseModel]) -> dict[str, str]:
    """The keys as a file spells them (aliases), to the names of the fields."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


def models_in(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The models somewhere in an annotation: behind unions, tuples, dictionaries."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    if get_origin(annotation) is Annotated:
        return models_in(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType, tuple, list, dict}:
        return tuple(model for argument in get_args(annotation) for model in models_in(argument))
    return ()
