"""Constraints of tables: what may change, how rows are brought back to it, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.attack.search.tables import table_space
from heliotrope.config.constraints import ConstraintsFile, load_constraints
from heliotrope.core.errors import ConfigError, InputError
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.subjects.interface import Column

THREAT = ThreatModel(
    norm="Linf", eps=1.0, steps=10, restarts=1, step_size=1.0, input_low=None, input_high=None, changed_categories=1
)
COLUMNS = (
    Column("a", "number", spread=1.0, low=0.0, high=10.0),
    Column("b", "number", spread=1.0, low=0.0, high=10.0),
    Column("total", "number", spread=2.0, low=0.0, high=20.0),
    Column("red", "integer", spread=0.5, low=0.0, high=1.0),
    Column("blue", "integer", spread=0.5, low=0.0, high=1.0),
    Column("age", "integer", spread=3.0, low=0.0, high=99.0),
)
FRAME = pd.DataFrame(
    {"a": [1.0, 4.0], "b": [2.0, 5.0], "total": [3.0, 9.0], "red": [1, 0], "blue": [0, 1], "age": [30, 40]}
)
FILE = ConstraintsFile.model_validate(
    {
        "version": 1,
        "features": {"age": {"direction": "increase", "max_change": 2.0}, "b": {"step": 0.25}},
        "one_hot": [["red", "blue"]],
        "relations": [{"terms": {"total": 1, "a": -1, "b": -1}, "holds": "="}],
    }
)
BOTH = np.arange(2)


def space(file=FILE, frame=FRAME, columns=COLUMNS):
    return table_space(frame, columns, THREAT, file)


def changed(**values):
    points = space().centres.copy()
    for name, value in values.items():
        points[:, [column.name for column in COLUMNS].index(name)] += value
    return points


@pytest.mark.parametrize(
    ("change", "fine"),
    [
        ({}, True),
        ({"a": 0.5}, False),  # the sum no longer holds
        ({"a": 0.5, "total": 0.5}, True),
        ({"b": 0.25, "total": 0.25}, True),
        ({"b": 0.3, "total": 0.3}, False),  # no whole number of steps
        ({"age": 1}, True),
        ({"age": -1}, False),  # the wrong direction
        ({"age": 3}, False),  # too far
    ],
)
def test_a_row_that_breaks_one_constraint_is_not_feasible(change, fine):
    assert space().feasible(BOTH, changed(**change), 1.0).tolist() == [fine, fine]


def test_a_group_keeps_exactly_one_and_counts_as_one_choice():
    swapped, none = space().centres.copy(), space().centres.copy()
    swapped[:, [3, 4]] = swapped[:, [4, 3]]
    none[:, [3, 4]] = 0
    assert space().feasible(BOTH, swapped, 1.0).all()
    assert not space().feasible(BOTH, none, 1.0).any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_repaired_row_is_feasible_or_refused_and_the_move_is_not_lost(seed):
    one = space()
    generator = np.random.default_rng(seed)
    points = one.centres + generator.normal(size=one.centres.shape) * [1, 1, 1, 0, 0, 3]
    box = one.box(BOTH, 1.0)
    repaired = one.project(BOTH, points, box, 1.0)
    kept = one.feasible(BOTH, repaired, 1.0)
    assert (one.permitted(BOTH, repaired) | ~kept).all()
    assert kept.all()  # each of these can be repaired
    assert (repaired != one.centres).any()


def test_one_moved_column_takes_another_with_it():
    one = space()
    points = one.centres.copy()
    points[:, 0] += 0.5
    repaired = one.project(BOTH, points, one.box(BOTH, 1.0), 1.0)
    assert (repaired[:, 0] == points[:, 0]).all()
    assert one.feasible(BOTH, repaired, 1.0).all()


def test_a_value_may_go_missing_only_where_the_file_says_so():
    file = ConstraintsFile.model_validate({"version": 1, "features": {"a": {"missing": True}}})
    one = space(file)
    points = one.centres.copy()
    points[:, 0] = np.nan
    assert one.feasible(BOTH, points, 1.0).all()
    assert not space(ConstraintsFile(version=1)).feasible(BOTH, points, 1.0).any()


def test_missing_values_are_refused_where_the_type_has_none_or_a_relation_needs_them():
    for features in ({"age": {"missing": True}},):
        with pytest.raises(InputError, match="cannot go missing"):
            space(ConstraintsFile.model_validate({"version": 1, "features": features}))
    with pytest.raises(InputError, match="cannot go missing"):
        space(FILE.model_copy(update={"features": {"a": FILE.features["b"].model_copy(update={"missing": True})}}))


def test_the_budget_bounds_the_sum_of_costs():
    file = ConstraintsFile.model_validate({"version": 1, "features": {"a": {"cost": 4.0}}, "budget": 1.0})
    one = space(file)
    points = one.centres.copy()
    points[0, 0] += 0.2  # costs 0.8
    points[1, 0] += 0.3  # costs 1.2
    assert one.feasible(BOTH, points, 1.0).tolist() == [True, False]


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(InputError, match="no feature: wages"):
        space(ConstraintsFile.model_validate({"version": 1, "features": {"wages": {"immutable": True}}}))


def test_rows_that_break_the_constraints_themselves_are_seen():
    frame = FRAME.assign(total=[3.0, 12.0])
    one = space(frame=frame)
    broken = one.constraints.broken_by(BOTH, one.centres)
    assert [mask.tolist() for text, mask in broken.items() if text.startswith("1 total")] == [[False, True]]


def test_a_wrong_key_is_told_with_its_line(tmp_path):
    path = tmp_path / "constraints.yaml"
    path.write_text("version: 1\nfeatures:\n  age:\n    directoin: increase\n")
    with pytest.raises(ConfigError, match=r":4:5: .*directoin"):
        load_constraints(path)
