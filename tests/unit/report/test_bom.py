"""The bill of materials: strict-valid whatever the facts, a real graph, and nothing said that is not known."""

import json
import os
import string
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliotrope.core.measurements import Interval, Measurement
from heliotrope.core.predicates.dependencies import (
    DependenciesPredicate,
    DependencyFile,
    Package,
    PackageHash,
    PackageSource,
)
from heliotrope.report import BomAssessment, BomData, BomEvidence, BomFacts, BomFile, BomModel, render_bom
from heliotrope.supply.dependencies.conda import parse_conda_lock
from heliotrope.supply.dependencies.interface import purl_of

GOLDEN = Path(__file__).parents[2] / "golden" / "bom"
SERIAL, MOMENT = "00000000-0000-5000-8000-000000000001", "2026-11-24T08:15:00.000Z"
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_7)
A, B, C = "a" * 64, "b" * 64, "c" * 64


def rendered(facts: BomFacts) -> dict[str, Any]:
    """The document, held against the schema and against what the schema cannot say."""
    text = render_bom(facts, serial=SERIAL, moment=MOMENT)
    assert text == render_bom(facts, serial=SERIAL, moment=MOMENT)
    assert VALIDATOR.validate_str(text) is None
    assert text.isascii()
    document: dict[str, Any] = json.loads(text)
    refs = Counter(_refs(document))
    assert not [ref for ref, count in refs.items() if count > 1]
    for edge in document["dependencies"]:
        assert {edge["ref"], *edge.get("dependsOn", ())} <= refs.keys()
    listed = [edge["ref"] for edge in document["dependencies"]]
    assert len(listed) == len(set(listed))
    assert {"project", *(component["bom-ref"] for component in document.get("components", ()))} == set(listed)
    return document


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["bom-ref"]] if "bom-ref" in value else []
        return own + [ref for inner in value.values() for ref in _refs(inner)]
    return [ref for inner in value for ref in _refs(inner)] if isinstance(value, list) else []


def package(name: str, version: str | None = None, **more: Any) -> Package:
    source = more.pop("source", PackageSource(kind="index"))
    return Package(
        name=name,
        ecosystem="pypi",
        version=version,
        source=source,
        purl=purl_of("pypi", name, version, source),
        **more,
    )


def packages(*files: DependencyFile) -> DependenciesPredicate:
    return DependenciesPredicate(files=files, problems=(), python_code=True)


LOCK = DependencyFile(
    path="uv.lock",
    format="uv-lock",
    role="pins",
    sha256=C,
    packages=(
        package("rich", "14.0", requires=("pygments", "absent"), relation="direct", line=3),
        package("pygments", "2.19", hashes=(PackageHash(algorithm="sha256", value=A),), relation="transitive"),
        package(
            "tool",
            "1",
            source=PackageSource(kind="vcs", address="https://e.org/t.git", vcs="git", revision="1" * 40),
            relation="direct",
        ),
    ),
)
DECLARED = DependencyFile(
    path="pyproject.toml",
    format="pyproject",
    role="declares",
    sha256=C,
    packages=(package("rich", specifier=">=14"), package("loose", specifier=">=1", groups=("extra",))),
)
INSTALLED = DependencyFile(
    path="environment",
    format="installed",
    role="installed",
    sha256=None,
    packages=(
        package("pygments", "2.19", licence="BSD-2-Clause", licence_is_spdx=True, record_sha256=B),
        package("rich", "14.0", licence="Some text", requires=("pygments",)),
    ),
)
MODEL = BomModel(
    name="classifier",
    declared=True,
    files=(BomFile("weights.onnx", A, 10),),
    format="onnx",
    task="image-classification",
    inputs=("shape [1, 8, 8]",),
    outputs=("logits",),
    data=(("train", "train.npz"), ("evaluate", "test.npz")),
    measurements=(
        Measurement(
            metric="robust_accuracy",
            value=0.75,
            n=400,
            interval=Interval(low=0.7, high=0.8, method="clopper-pearson"),
            direction="higher",
            subject="urn:x",
            conditions={"norm": "Linf", "eps": 0.1},
        ),
        Measurement(metric="latency", value=1.5, n=10, direction="lower", unit="ms", subject="urn:x"),
        Measurement(
            metric="clean_accuracy", value=None, undefined_reason="no sample", n=0, direction="higher", subject="urn:x"
        ),
    ),
    evidence=(BomEvidence(B, "attestation", "Accuracy under attack"),),
)
FACTS = BomFacts(
    project="demo",
    tool_version="1.2.3",
    tree=C,
    models=(MODEL, BomModel(name="other.pt", declared=False, files=(BomFile("other.pt", B, 3),))),
    data=(
        BomData("train.npz", declared=True, files=(BomFile("train.npz", A, 5),)),
        BomData("test.npz", declared=True, files=(BomFile("images.idx", A, 5), BomFile("labels.idx", B, 6))),
        BomData("stray.csv", declared=False, files=(BomFile("stray.csv", C, 7),)),
        BomData("pictures", declared=True, files=tuple(BomFile(f"p/{n}.png", A, 1) for n in range(60)), tree=B),
    ),
    dependencies=packages(LOCK, DECLARED, INSTALLED),
    evidence=(BomEvidence(A, "static-analysis-report", "Packages"),),
    assessment=BomAssessment("01ASSESS", MOMENT, "allow", f"7:{A}"),
    missing=("model classifier: heliotrope.yaml does not name x",),
)
EMPTY = BomFacts(
    project="p", tool_version="1", tree=None, models=(), data=(), dependencies=None, missing=("all",), complete=False
)


@pytest.mark.parametrize(("name", "facts"), [("full", FACTS), ("empty", EMPTY)])
def test_the_document_is_as_it_was_agreed(name, facts):
    rendered(facts)
    path = GOLDEN / f"{name}.cdx.json"
    text = render_bom(facts, serial=SERIAL, moment=MOMENT)
    if os.environ.get("HELIOTROPE_UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text("utf-8")


def by_ref(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {component["bom-ref"]: component for component in document["components"]}


def told(component: dict[str, Any]) -> dict[str, str]:
    return {item["name"].removeprefix("heliotrope:"): item["value"] for item in component.get("properties", ())}


def test_the_graph_goes_from_project_to_models_data_and_packages():
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in rendered(FACTS)["dependencies"]}
    tool = FACTS.dependencies.files[0].packages[2].purl  # type: ignore[union-attr]
    assert edges["project"] == sorted(
        [
            *("model:classifier", "model-file:other.pt", "data:stray.csv", "data:pictures"),
            *("pkg:pypi/rich@14.0", "pkg:pypi/loose", tool),
        ]
    )
    assert edges["model:classifier"] == ["data:test.npz", "data:train.npz"]
    assert edges["pkg:pypi/rich@14.0"] == ["pkg:pypi/pygments@2.19"]
    assert edges["pkg:pypi/pygments@2.19"] == []


def test_digests_are_those_of_the_bytes():
    components = by_ref(rendered(FACTS))
    assert components["model:classifier"]["hashes"] == [{"alg": "SHA-256", "content": A}]
    assert [item["hashes"][0]["content"] for item in components["data:test.npz"]["components"]] == [A, B]
    assert told(components["data:pictures"])["tree-sha256"] == B
    assert told(components["data:pictures"])["files"] == "60"
    assert "components" not in components["data:pictures"]


def test_the_model_card_holds_what_was_declared_and_measured():
    card = by_ref(rendered(FACTS))["model:classifier"]["modelCard"]
    assert card["modelParameters"]["task"] == "image-classification"
    assert card["modelParameters"]["datasets"] == [{"ref": "data:train.npz"}, {"ref": "data:test.npz"}]
    robust, latency, undefined = card["quantitativeAnalysis"]["performanceMetrics"]
    assert (robust["type"], robust["value"]) == ("robust_accuracy", "0.75")
    assert robust["confidenceInterval"] == {"lowerBound": "0.7", "upperBound": "0.8"}
    assert robust["slice"] == "norm Linf, eps 0.1, n 400, 95 % interval, clopper-pearson"
    assert latency["slice"] == "n 10, unit ms"
    assert undefined["value"] == "undefined"
    assert told(card)["undefined:clean_accuracy"] == "no sample"
    assert "considerations" not in card


def test_every_field_says_where_it_comes_from():
    components = by_ref(rendered(FACTS))
    assert told(components["model:classifier"])["basis:hashes"] == "observed"
    assert told(components["model:classifier"]["modelCard"])["basis:modelParameters.task"] == "declared"
    assert told(components["model-file:other.pt"])["basis:name"] == "observed"
    assert told(components["pkg:pypi/pygments@2.19"])["basis:version"] == "observed"
    assert told(components["pkg:pypi/loose"])["basis:version"] == "declared"
    assert told(components["pkg:pypi/loose"])["specifier"] == ">=1"
    assert told(components["pkg:pypi/loose"])["basis:purl"] == "derived"


def test_licences_come_from_installed_metadata_alone():
    components = by_ref(rendered(FACTS))
    assert components["pkg:pypi/pygments@2.19"]["licenses"][0]["expression"] == "BSD-2-Clause"
    assert components["pkg:pypi/rich@14.0"]["licenses"][0]["license"]["name"] == "Some text"
    assert "licenses" not in components["pkg:pypi/loose"]
    assert components["pkg:pypi/loose"]["scope"] == "optional"


def test_what_is_missing_is_said():
    document = rendered(EMPTY)
    assert document["metadata"]["properties"] == [{"name": "heliotrope:missing", "value": "all"}]
    assert document["compositions"] == [{"aggregate": "incomplete", "assemblies": ["project"]}]
    assert "components" not in document or document["components"] == []


def test_packages_of_a_format_without_edges_are_told():
    file = DependencyFile(
        path="requirements.txt",
        format="requirements",
        role="pins",
        sha256=A,
        packages=(package("x", "1"), package("y")),
    )
    document = rendered(BomFacts(**{**facts_of(EMPTY), "dependencies": packages(file)}))
    assert {"aggregate": "unknown", "dependencies": ["pkg:pypi/x@1", "pkg:pypi/y"]} in document["compositions"]
    edges = {edge["ref"]: edge.get("dependsOn") for edge in document["dependencies"]}
    assert edges["project"] == ["pkg:pypi/x@1", "pkg:pypi/y"]


def facts_of(facts: BomFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in BomFacts.__dataclass_fields__}


def test_several_digests_belong_to_files_and_not_to_the_package():
    hashes = (PackageHash(algorithm="sha256", value=A), PackageHash(algorithm="sha224", value="e" * 56))
    more = (*hashes, PackageHash(algorithm="sha256", value=B))
    file = LOCK.model_copy(update={"packages": (package("x", "1", hashes=more), package("y", "1", hashes=hashes))})
    components = by_ref(rendered(BomFacts(**{**facts_of(EMPTY), "dependencies": packages(file)})))
    assert [item["content"] for item in components["pkg:pypi/x@1"]["externalReferences"][0]["hashes"]] == [A, B]
    assert "hashes" not in components["pkg:pypi/x@1"]
    assert components["pkg:pypi/y@1"]["hashes"] == [{"alg": "SHA-256", "content": A}]


def test_conda_packages_depend_on_those_of_their_platform():
    entry = "- {{name: {n}, version: '1', manager: conda, platform: {p}, dependencies: {d}, url: 'https://c.org/m/{s}/{n}-1-{b}.conda'}}\n"
    text = "package:\n"
    for platform in ("linux-64", "osx-64"):
        text += entry.format(n="app", p=platform, d="{lib: '1', any: '1'}", s=platform, b="h0")
        text += entry.format(n="lib", p=platform, d="{}", s=platform, b="h1")
        text += entry.format(n="any", p=platform, d="{}", s="noarch", b="py_0")
    parsed = parse_conda_lock(text.encode())
    assert not parsed.problems
    file = DependencyFile(path="c", format="conda-lock", role="pins", sha256=A, packages=parsed.packages)
    document = rendered(BomFacts(**{**facts_of(EMPTY), "dependencies": packages(file)}))
    assert len(document["components"]) == 5
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in document["dependencies"]}
    assert edges["pkg:conda/app@1?build=h0&subdir=osx-64"] == [
        "pkg:conda/any@1?build=py_0&subdir=noarch",
        "pkg:conda/lib@1?build=h1&subdir=osx-64",
    ]


NAMES = st.one_of(
    st.text(min_size=1, max_size=30),
    st.text(alphabet="\x00\x1b\x7f\u202e\ud800/\\%#:? é", min_size=1, max_size=12),
    st.just("x" * 200),
    st.sampled_from(["project", "model:x", "../x", "a/b", "-", ".", "\\xff"]),
)
DIGESTS = st.sampled_from([A, B, C])
FILES = st.builds(BomFile, NAMES, DIGESTS, st.integers(0, 2**53))
PACKAGE_NAMES = st.text(alphabet=string.ascii_lowercase + "-", min_size=1, max_size=3).filter(
    lambda text: text.strip("-")
)
VERSIONS = st.none() | st.sampled_from(["1", "1.0+cpu", "1!2", "2.0.dev0", "é", "\x1b"])
SOURCES = st.sampled_from(
    [
        PackageSource(kind="index"),
        PackageSource(kind="index", address="https://e.org/\x1b[1m"),
        PackageSource(kind="vcs", address="https://e.org/ü", vcs="git", revision="m a\nin"),
        PackageSource(kind="url", address="https://e.org/x.whl", fixed=False),
        PackageSource(kind="path", address="../x"),
    ]
)
HASHES = st.sampled_from(
    [
        (),
        (PackageHash(algorithm="sha256", value=A),),
        (PackageHash(algorithm="md5", value="d" * 32), PackageHash(algorithm="sha224", value="e" * 56)),
    ]
)
PACKAGES = st.builds(
    package,
    PACKAGE_NAMES,
    VERSIONS,
    source=SOURCES,
    hashes=HASHES,
    requires=st.lists(PACKAGE_NAMES, max_size=3).map(tuple),
    groups=st.lists(NAMES, max_size=1).map(tuple),
    licence=st.none() | NAMES,
    licence_is_spdx=st.booleans(),
    marker=st.none() | NAMES,
    relation=st.sampled_from(["direct", "transitive", "unknown"]),
)
DEPENDENCY_FILES = st.builds(
    DependencyFile,
    path=NAMES,
    format=st.sampled_from(["uv-lock", "requirements", "installed", "pyproject"]),
    role=st.sampled_from(["pins", "declares", "limits", "installed"]),
    sha256=st.just(A),
    packages=st.lists(PACKAGES, max_size=6).map(tuple),
)


@st.composite
def any_facts(draw: st.DrawFn) -> BomFacts:
    data = draw(
        st.lists(
            st.builds(
                BomData, NAMES, st.booleans(), st.lists(FILES, max_size=3, unique_by=lambda f: f.path).map(tuple)
            ),
            max_size=4,
            unique_by=lambda item: item.name,
        )
    )
    roles = st.sampled_from(["train", "evaluate"])
    used = (
        st.lists(st.tuples(roles, st.sampled_from([item.name for item in data])), max_size=2) if data else st.just([])
    )
    measurement = st.builds(
        Measurement,
        metric=NAMES,
        value=st.floats(allow_nan=False, allow_infinity=False),
        n=st.integers(0, 10**6),
        direction=st.just("higher"),
        unit=st.sampled_from(["1", "ms"]),
        subject=NAMES,
        conditions=st.dictionaries(
            NAMES, st.one_of(NAMES, st.integers(), st.floats(allow_nan=False, allow_infinity=False)), max_size=2
        ),
    )
    model = st.builds(
        BomModel,
        name=NAMES,
        declared=st.booleans(),
        files=st.lists(FILES, max_size=3, unique_by=lambda f: f.path).map(tuple),
        tree=st.none() | DIGESTS,
        format=st.none() | NAMES,
        task=st.none() | NAMES,
        inputs=st.lists(NAMES, max_size=2).map(tuple),
        data=used.map(tuple),
        measurements=st.lists(measurement, max_size=2).map(tuple),
    )
    models = draw(st.lists(model, max_size=4, unique_by=lambda item: (item.declared, item.name)))
    files = draw(st.lists(DEPENDENCY_FILES, max_size=4))
    return BomFacts(
        project=draw(NAMES),
        tool_version="1",
        tree=draw(st.none() | DIGESTS),
        models=tuple(models),
        data=tuple(data),
        dependencies=draw(st.just(packages(*files)) | st.none()),
        missing=tuple(draw(st.lists(NAMES, max_size=2))),
        complete=draw(st.booleans()),
    )


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(any_facts())
def test_any_facts_give_a_strict_valid_document(facts: BomFacts) -> None:
    rendered(facts)
