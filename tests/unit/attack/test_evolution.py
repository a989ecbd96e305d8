"""Evolution under constraints: rows that single steps cannot reach, always feasible, whatever the batch."""

import pytest

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")

from heliotrope.attack.search.evolution import evolve  # noqa: E402
from heliotrope.attack.search.searching import SearchResult, SearchTarget  # noqa: E402
from heliotrope.attack.search.tables import table_space  # noqa: E402
from heliotrope.config.constraints import ConstraintsFile  # noqa: E402
from heliotrope.core.predicates.behaviour import ThreatModel  # noqa: E402
from heliotrope.subjects.interface import Column  # noqa: E402

THREAT = ThreatModel(
    norm="Linf", eps=1.0, steps=200, restarts=1, step_size=1.0, input_low=None, input_high=None, changed_categories=1
)
COLUMNS = tuple(Column(name, "number", spread=1.0, low=0.0, high=10.0) for name in ("a", "b", "total", "c"))
FILE = ConstraintsFile.model_validate(
    {"version": 1, "relations": [{"terms": {"total": 1, "a": -1, "b": -1}, "holds": "="}]}
)


def plateau(frame):
    """Wrong only where two columns have moved together: no single step says anything."""
    hit = (frame["a"] > 3.4) & (frame["c"] > 3.4)
    return np.stack([np.where(hit, 0.2, 0.8), np.where(hit, 0.8, 0.2)], axis=1)


def run(batch, samples=12, file=FILE):
    frame = pd.DataFrame({"a": [3.0] * samples, "b": [3.0] * samples, "total": [6.0] * samples, "c": [3.0] * samples})
    space = table_space(frame, COLUMNS, THREAT, file)
    target = SearchTarget(plateau, space, np.zeros(samples, dtype=np.int64), np.arange(samples), batch, 2)
    lead, _ = target.ask(space.centres, np.arange(samples))
    result = SearchResult(
        reach=np.full(samples, np.inf), adversarial=space.centres.copy(), lead=lead, felt=np.zeros(samples, bool),
        attacked=samples,
    )  # fmt: skip
    misled = evolve(target, THREAT, result, seed=3)
    return space, target, result, misled


def test_rows_that_single_steps_miss_are_found_and_keep_the_constraints():
    space, target, result, misled = run(1000)
    which = result.broken(1.0)
    assert misled == len(which) >= 10
    assert space.feasible(which, result.adversarial[which], 1.0).all()
    assert target.ask(result.adversarial[which], which)[1].all()
    assert target.asked <= 12 * (THREAT.steps + 2)


def test_batches_change_nothing():
    one, other = run(1000)[2], run(25)[2]
    assert (one.reach == other.reach).all()
    assert (one.adversarial == other.adversarial).all()


def test_nothing_is_found_where_the_constraints_leave_nothing():
    file = ConstraintsFile.model_validate({**FILE.document(), "features": {"c": {"immutable": True}}})
    assert run(1000, file=file)[3] == 0
