"""Gradients on tables: columns of any size move, constraints are kept, and the closed form of a linear model is met."""

import pytest

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")

from heliotrope.attack.search.searching import SearchResult, SearchTarget  # noqa: E402
from heliotrope.attack.search.slopes import ascend  # noqa: E402
from heliotrope.attack.search.tables import table_space  # noqa: E402
from heliotrope.config.constraints import ConstraintsFile  # noqa: E402
from heliotrope.core.predicates.behaviour import ThreatModel  # noqa: E402
from heliotrope.subjects.interface import Column  # noqa: E402
from heliotrope.subjects.torch_model import TorchModel  # noqa: E402

pytestmark = pytest.mark.torch
SCALE = np.array([1.0, 1e6, 1e-3, 1e6])
COLUMNS = tuple(
    Column(name, "number", spread=float(scale), low=-1e9, high=1e9)
    for name, scale in zip(("a", "income", "c", "sum"), SCALE, strict=True)
)
SUM = {"version": 1, "relations": [{"terms": {"sum": 1, "income": -1, "a": -1}, "holds": "=", "tolerance": 1e-3}]}


def run(norm, eps, file=None):
    threat = ThreatModel(
        norm=norm, eps=eps, steps=40, restarts=1, step_size=eps, input_low=None, input_high=None, changed_categories=0
    )
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 2).double()
    with torch.no_grad():
        layer.weight /= torch.from_numpy(SCALE)
        layer.bias.zero_()
    model = TorchModel(layer, lambda rows: layer(rows.double()).float(), 2, ("no", "yes"))
    source = np.random.default_rng(1)
    frame = pd.DataFrame(source.normal(size=(60, 4)) * SCALE, columns=[column.name for column in COLUMNS])
    frame["sum"] = frame["income"] + frame["a"]
    labels = model.scores(frame).argmax(axis=1)
    space = table_space(frame, COLUMNS, threat, file)
    target = SearchTarget(model.scores, space, labels, np.arange(60), 32, 2)
    lead, _ = target.ask(space.centres, np.arange(60))
    result = SearchResult(np.full(60, np.inf), space.centres.copy(), lead, np.zeros(60, dtype=bool), attacked=60)
    misled = ascend(model, target, threat, result, seed=0)
    weights = (layer.weight[0] - layer.weight[1]).detach().numpy() * SCALE
    return space, target, result, misled, lead, weights


@pytest.mark.parametrize(("norm", "dual", "eps"), [("Linf", 1, 0.2), ("L2", 2, 0.3)])
def test_a_linear_model_is_broken_as_the_closed_form_says(norm, dual, eps):
    _, _, result, misled, lead, weights = run(norm, eps)
    reachable = lead < eps * np.linalg.norm(weights, dual) * (1 - 1e-3)
    assert (np.isfinite(result.reach) >= reachable).all()
    assert misled == int(np.isfinite(result.reach).sum())
    assert 5 < misled < 55


def test_constraints_are_kept_and_cost_some_samples():
    """The sum and its large part move together, the small part hardly counts: the closed form adds their weights."""
    free = run("Linf", 0.2)[3]
    space, target, result, misled, lead, weights = run("Linf", 0.2, ConstraintsFile.model_validate(SUM))
    which = result.broken(0.2)
    reachable = lead < 0.2 * (abs(weights[0]) + abs(weights[1] + weights[3]) + abs(weights[2])) * (1 - 1e-2)
    assert (np.isfinite(result.reach) >= reachable).all()
    assert 2 < misled < free
    assert space.feasible(which, result.adversarial[which], 0.2).all()
    assert target.ask(result.adversarial[which], which)[1].all()
