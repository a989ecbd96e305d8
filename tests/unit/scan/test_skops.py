"""skops files: every node's type is judged, wherever it hides."""

import json
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import call, glob, npy, rules, scan_bytes, skops, skops_node, text, zipped

from heliotrope.scan import ScanLimits

SVC = "sklearn.svm._classes.SVC"
SYSTEM = skops_node("FunctionNode", "posix.system")


def state(**attributes: object) -> dict[str, object]:
    """An estimator's attributes."""
    types = skops_node("ListNode", "builtins.list", [skops_node("TypeNode", "builtins.str")] * len(attributes))
    return skops_node("DictNode", "builtins.dict", attributes, key_types=types)


def test_models_of_scikit_learn(tmp_path: Path) -> None:
    skops_io = pytest.importorskip("skops.io")
    numpy = pytest.importorskip("numpy")
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
        StackingClassifier,
    )
    from sklearn.feature_selection import SelectKBest
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    samples = numpy.random.default_rng(0).normal(size=(60, 4))
    labels = (samples[:, 0] > 0).astype(int)
    for model in (
        make_pipeline(
            ColumnTransformer([("a", StandardScaler(), [0]), ("b", OneHotEncoder(), [1])]), LogisticRegression()
        ),
        RandomForestClassifier(3, random_state=numpy.random.RandomState(0)),
        GradientBoostingClassifier(n_estimators=2),
        HistGradientBoostingClassifier(max_iter=2),
        GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2, scoring="f1"),
        StackingClassifier([("a", LogisticRegression())], cv=2),
        make_pipeline(FunctionTransformer(numpy.tanh), SelectKBest(k=2)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = skops_io.dumps(model.fit(samples, labels), compression=8)
        report = scan_bytes(tmp_path, data, "m.skops")
        assert (report.format, report.verdict, report.findings) == ("skops", "clean", ())


HIDING = {
    "the root": SYSTEM,
    "an attribute": skops_node("ObjectNode", SVC, state(kernel=SYSTEM)),
    "a list in a list": skops_node("ListNode", "builtins.list", [skops_node("ListNode", "builtins.list", [SYSTEM])]),
    "a partial": skops_node("PartialNode", "functools.partial", {"func": SYSTEM, "args": None}),
    "what a method is bound to": skops_node("MethodNode", SVC, {"func": "fit", "obj": SYSTEM}),
    "an operator": skops_node("OperatorFuncNode", "operator.methodcaller", None, attrs=SYSTEM),
    "an operator's name": skops_node("OperatorFuncNode", "operator.call"),
    "the class": skops_node("ObjectNode", "subprocess.Popen", state()),
    "a constructor": skops_node("ConstructorFromReduceNode", "os.popen", skops_node("TupleNode", "builtins.tuple", [])),
    "a container": skops_node("ListNode", "os.system", []),
    "a loss": skops_node("LossNode", "os.system", None, __reduce__={"args": None}),
    "an array's type": skops_node("NdArrayNode", "os.system", None, type="numpy", file="a.npy"),
    "an array's item": skops_node("NdArrayNode", "numpy.ndarray", [SYSTEM], type="json"),
    "the types of keys": skops_node("DictNode", "builtins.dict", {"id": None}, key_types=skops_node("ListNode", "builtins.list", [SYSTEM])),
    "a factory": skops_node("DefaultDictNode", "collections.defaultdict", {"main": None, "default_factory": SYSTEM}),
    "a function of protocol 0": {**skops_node("FunctionNode", "builtins.len"), "content": {"module_path": "os", "function": "system"}},
    "a key nobody reads": {**skops_node("JsonNode", "builtins.str", "1"), "more": {"deep": [SYSTEM]}},
}  # fmt: skip


@pytest.mark.parametrize("place", HIDING)
@pytest.mark.parametrize("name", ["m.skops", "m.zip"])
def test_what_can_harm_is_found_everywhere(place: str, name: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, skops(HIDING[place]), name)
    assert (report.format, report.verdict, "skops-dangerous-type" in rules(report)) == ("skops", "malicious", True)


SUSPICIOUS = {
    "a dotted way out": {**skops_node("TypeNode", "sklearn.x"), "__class__": "utils.os"},
    "a method": skops_node("MethodNode", SVC, {"func": "fit", "obj": skops_node("ObjectNode", SVC, state())}),
    "a function of one's own": skops_node("FunctionNode", "__main__.f"),
    "a class that is called": skops_node("ConstructorFromReduceNode", SVC),
    "a container of another kind": skops_node("ListNode", "sklearn.svm._classes.SVC", []),
    "a state of its own": skops_node("RandomStateNode", "numpy.random.seed"),
    "another generator": skops_node(
        "RandomGeneratorNode", "numpy.random._generator.Generator", {"bit_generator": {"bit_generator": "seed"}}
    ),
    "getattr by reference": skops_node("FunctionNode", "builtins.getattr"),
    "an unknown loader": skops_node("CurlNode", "builtins.str"),
    "a loader of another kind": {
        **skops_node("JsonNode", "builtins.str"),
        "more": {"__loader__": [], "__class__": None},
    },
    "a generator of another kind": skops_node(
        "RandomGeneratorNode", "numpy.random._generator.Generator", {"bit_generator": {"bit_generator": []}}
    ),
    "a page of its own": skops_node(
        "ObjectNode", SVC, state(__doc_link_template=skops_node("JsonNode", "builtins.str", '"x"'))
    ),
    "a method by its name": skops_node(
        "ObjectNode",
        "sklearn.ensemble._stacking.StackingClassifier",
        state(
            stack_method_=skops_node(
                "ListNode", "builtins.list", [skops_node("JsonNode", "builtins.str", '"write_bytes"')]
            )
        ),
    ),
    "methods by names that cannot be read": skops_node(
        "ObjectNode",
        "sklearn.multioutput.ClassifierChain",
        state(chain_method_=skops_node("NdArrayNode", "numpy.ndarray", None, type="numpy", file="a.npy")),
    ),
    "a name that is none": skops_node("TypeNode", "sklearn.\ud800"),
    "a loader that is none": {**skops_node("JsonNode", "builtins.str"), "more": {"__class__": "x", "__module__": "y"}},
    "keys made by a class": skops_node(
        "DictNode",
        "builtins.dict",
        {"a": None},
        key_types=skops_node("ListNode", "builtins.list", [skops_node("TypeNode", SVC)]),
    ),
}


@pytest.mark.parametrize("place", SUSPICIOUS)
def test_what_nobody_vouches_for_is_not_clean(place: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, skops(SUSPICIOUS[place]), "m.skops").verdict in ("suspicious", "malicious")


def test_members_are_inspected_as_well(tmp_path: Path) -> None:
    evil = npy(
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        b"\x80\x02" + call(glob("posix", "system"), text("x")) + b".",
    )
    node = skops_node("NdArrayNode", "numpy.ndarray", None, type="numpy", file="a.npy")
    assert scan_bytes(tmp_path, skops(node, **{"a.npy": evil}), "m.skops").verdict == "malicious"


@pytest.mark.parametrize("protocol", [3, -1, True, "2", None])
def test_protocols_that_are_not_known_leave_the_verdict_open(protocol: object, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, skops(skops_node("JsonNode", "builtins.str", "1"), protocol=protocol), "m.skops")
    assert report.verdict == "incomplete"


def test_other_archives_are_none(tmp_path: Path) -> None:
    for schema in (b"{}", b"[1]", b"no json", b"[" * 100_000, json.dumps({"__loader__": 1, "protocol": 1}).encode()):
        report = scan_bytes(tmp_path, zipped({"schema.json": schema}), "m.skops")
        assert (report.format, report.verdict == "clean") == ("zip", False)


def test_a_schema_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    data = skops(skops_node("JsonNode", "builtins.str", "x" * 5000))
    report = scan_bytes(tmp_path, data, "m.skops", limits=ScanLimits(max_skops_schema=1000))
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_skops_schema")


SAMPLE = skops(skops_node("ObjectNode", SVC, state(C=skops_node("JsonNode", "builtins.str", "1"))))


def test_nothing_is_clean_that_was_cut(tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, SAMPLE, "m.skops").verdict == "clean"
    for size in range(len(SAMPLE)):
        assert scan_bytes(tmp_path, SAMPLE[:size], "m.skops").verdict != "clean", size


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["ListNode", "DictNode", "os", "system", "builtins", "list"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "__loader__",
                    "__class__",
                    "__module__",
                    "content",
                    "key_types",
                    "func",
                    "module_path",
                    "function",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_any_tree_is_judged(tree: object) -> None:
    from heliotrope.scan.collector import Collector
    from heliotrope.scan.dispatch import analyse_nested
    from heliotrope.scan.frameworks.skops_schema import check_schema
    from heliotrope.scan.interface import Context
    from heliotrope.scan.limits import Budget

    limits = ScanLimits()
    notes = Collector("m.skops", limits)
    root = {"__loader__": "JsonNode", "__class__": "str", "__module__": "builtins", "protocol": 2, "content": tree}
    assert check_schema(json.dumps(root).encode(), Context(notes, limits, Budget.of(limits), analyse_nested))
