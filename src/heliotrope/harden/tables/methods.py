"""What is done to a model of a table, one method after the other."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from heliotrope.config.hardening import HardenConfig, TableMethod
from heliotrope.harden.tables.bench import Bench, Kept
from heliotrope.harden.tables.directions import signs_of
from heliotrope.harden.tables.interface import Front, Recipe
from heliotrope.harden.tables.parts import Rows
from heliotrope.subjects.batching import as_array, as_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PATIENCE", "applied", "require_possible", "started"]

MOST_ROUNDS = 10
PATIENCE = 3
"""Rounds without a gain on the validation part after which retraining ends."""

_PART_OF_EPS = 0.5
"""quantise: the distance of two values in units of eps, so that most changes stay within one step."""

Progress = Callable[[float, str], None]
Method = Callable[[Bench, Kept, HardenConfig, Progress], tuple[Kept, str | None]]


def require_possible(bench: Bench, recipe: Recipe, config: HardenConfig) -> None:
    """Raise InputError for a method that this model does not take: before anything is fitted, which may take long."""
    assert bench.opened.parameters.threat is not None
    for method in config.tables:
        if method == "monotone":
            recipe.monotone(signs_of(bench.opened, config.guarded))
        elif method == "regularise":
            recipe.stricter(bench.opened.parameters.threat.norm)
        elif method in ("clip", "quantise"):
            recipe.behind(Front(method, ()))
        elif method == "round":
            recipe.rounded()


def started(bench: Bench, recipe: Recipe) -> Kept:
    """Round 0: the model refitted on the training part, as it was."""
    return bench.tried(recipe, bench.training_rows(), 0, note="", seconds=0.0)


def applied(
    method: TableMethod, bench: Bench, kept: Kept, config: HardenConfig, progress: Progress
) -> tuple[Kept, str | None]:
    """The model after a method, and why the method ended early, if it did."""
    return _METHODS[method](bench, kept, config, progress)


def _better(one: Kept, other: Kept, floor: float) -> bool:
    """More robust, or as robust and more often right; never below the floor."""
    return one.clean >= floor and (one.robust, one.clean) > (other.robust, other.clean)


def _retrain(bench: Bench, kept: Kept, config: HardenConfig, progress: Progress) -> tuple[Kept, str | None]:
    """Rounds of adding rows that mislead the model, with their right answers, and fitting it again.

    The first round also adds rows at random corners of what the threat allows. Rows that mislead one model all lie in the same
    direction from their class: fitted anew on these alone, the next model learns the direction, backwards, and falls to its opposite.
    """
    best, current, most = kept, kept, min(config.epochs, MOST_ROUNDS)
    idle = 0
    for index in range(most):
        number = len(bench.rounds) + 1
        progress(index / most, f"round {index + 1} of {most}, robust accuracy {100 * best.robust:.1f} %")
        began = time.process_time()
        seen = bench.attacked(current.fitted, current.recipe, number)
        if not len(seen.found):
            return best, f"nothing more was found in round {number}"
        rows = (current.rows.with_more(seen.around) if current is kept else current.rows).with_more(seen.found)
        spent = time.process_time() - began
        current = bench.tried(
            current.recipe, rows, number, note=f"{len(seen.found)} rows that mislead, {len(rows)} in all", seconds=spent
        )
        idle = 0 if _better(current, best, bench.floor) else idle + 1
        best = current if idle == 0 else best
        if idle == PATIENCE and index + 1 < most:
            return best, f"no gain on the validation part in {PATIENCE} rounds"
    return best, None


def _monotone(bench: Bench, kept: Kept, config: HardenConfig, progress: Progress) -> tuple[Kept, str | None]:
    signs = signs_of(bench.opened, config.guarded)
    progress(0.0, f"{len(signs)} directions")
    said = ", ".join(
        f"{name} {'never lowers' if sign > 0 else 'never raises'} the score" for name, sign in signs.items()
    )
    return _changed(bench, kept, kept.recipe.monotone(signs), said)


def _regularise(bench: Bench, kept: Kept, config: HardenConfig, progress: Progress) -> tuple[Kept, str | None]:
    del config
    assert bench.opened.parameters.threat is not None
    grid = kept.recipe.stricter(bench.opened.parameters.threat.norm)
    best = kept
    for index, (said, recipe) in enumerate(grid):
        progress(index / len(grid), said)
        one = bench.tried(recipe, kept.rows, len(bench.rounds) + 1, note=said, seconds=0.0)
        best = one if _better(one, best, bench.floor) else best
    return best, None if best is not kept else "no stricter setting was more robust on the validation part"


def _clip(bench: Bench, kept: Kept, config: HardenConfig, progress: Progress) -> tuple[Kept, str | None]:
    """To what the training part holds, not what was added to it."""
    import numpy as np

    del config
    progress(0.0, "")
    names, values = _numbers(bench, bench.training_rows())
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    front = Front("clip", names, tuple(low.tolist()), tuple(high.tolist()))
    return _changed(bench, kept, kept.recipe.behind(front), f"{values.shape[1]} numbers clipped")


def _quantise(bench: Bench, kept: Kept, config: HardenConfig, progress: Progress) -> tuple[Kept, str | None]:
    import numpy as np

    del config
    progress(0.0, "")
    names, values = _numbers(bench, bench.training_rows())
    if names:
        columns = {column.name: column for column in bench.train.columns}
        spread = np.array([columns[name].spread or 0.0 for name in names])
        spread = np.where(spread > 0, spread, np.nanstd(values, axis=0))
        whole = np.array([columns[name].type == "integer" for name in names])
    else:
        spread, whole = np.ones(values.shape[1]), np.zeros(values.shape[1], dtype=bool)
    step = _PART_OF_EPS * bench.eps * spread
    step = np.where(whole, np.maximum(np.rint(step), 1.0), step)
    front = Front("quantise", names, step=tuple(step.tolist()))
    return _changed(
        bench, kept, kept.recipe.behind(front), f"{values.shape[1]} numbers in steps of {_PART_OF_EPS:g} eps"
    )


def _round(bench: Bench, kept: Kept, config: HardenConfig, progress: Progress) -> tuple[Kept, str | None]:
    del config
    progress(0.0, "")
    return _changed(bench, kept, kept.recipe.rounded(), "scores to two digits")


def _changed(bench: Bench, kept: Kept, recipe: Recipe, note: str) -> tuple[Kept, None]:
    """What the user asked for is done, whatever the validation part says of it; the judgement says what it is worth."""
    return bench.tried(recipe, kept.rows, len(bench.rounds) + 1, note=note, seconds=0.0), None


def _numbers(bench: Bench, rows: Rows) -> "tuple[tuple[str, ...], NDArray[np.float64]]":
    """Columns that are numbers, and their values; of arrays no names and every value."""
    import numpy as np

    if not bench.train.columns:
        flat = as_array(rows.inputs).reshape(len(rows), -1)
        return (), flat.astype(np.float64)
    names = tuple(column.name for column in bench.train.columns if column.type in ("number", "integer"))
    return names, as_table(rows.inputs)[list(names)].to_numpy(dtype=np.float64, na_value=np.nan)


_METHODS: dict[TableMethod, Method] = {
    "retrain": _retrain,
    "monotone": _monotone,
    "regularise": _regularise,
    "clip": _clip,
    "quantise": _quantise,
    "round": _round,
}
