"""The shipped policy as data: reviewed, exact, and as strict as it says."""

import datetime as dt
import json
import pickle
import pickletools
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.unit.scan.assembler import SYSTEM, call, glob, rules, scan_bytes, stack_global, text, torch_zip

from heliotrope.core.predicates.scan import ScanAllowance
from heliotrope.scan import scan_paths
from heliotrope.scan.allowing import snippet
from heliotrope.scan.deciding import decide
from heliotrope.scan.policy import Policy, allowed_documents, shipped_policy

USES = frozenset("call new made build items append add".split())  # noqa: SIM905 - reads better
PROTO4 = b"\x80\x04"
ENTRIES = [
    (document, entry)
    for document in allowed_documents()
    for entry in (*document["entries"], *document.get("patterns", ()))
]


def test_every_entry_has_a_reviewed_line() -> None:
    for document, entry in ENTRIES:
        review = entry["review"]
        line = document["reviews"][review[1:]] if review.startswith("@") else review
        assert len(line) >= 12, entry
        assert set(entry["uses"].split()) <= USES, entry
    assert len(ENTRIES) > 300


def test_an_entry_without_a_review_does_not_count() -> None:
    entry = {"in": "acme", "names": "Net", "uses": "new", "review": "Nothing runs."}
    document = {"framework": "acme", "roots": "", "reviews": {}, "entries": [entry]}
    dangerous = {"modules": {}, "names": {}, "modules_in_modules": ""}
    python2: dict[str, dict[str, str]] = {"modules": {}, "names": {}}
    assert Policy([document], dangerous, python2).lookup("acme", "Net").kind == "allowed"
    for missing in ("", "@nowhere"):
        document["entries"] = [{**entry, "review": missing}]
        assert Policy([document], dangerous, python2).lookup("acme", "Net").kind == "unknown"


def test_nothing_is_both_allowed_and_dangerous() -> None:
    policy = shipped_policy()
    for _, entry in ENTRIES:
        if "names" not in entry:
            continue
        for module in entry["in"].split():
            for name in entry["names"].split():
                assert policy.lookup(module, name).kind == "allowed", (module, name)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "runpy.run_path",
        "pydoc.locate",
        "idlelib.pyshell.main",
        "torch.hub.load",
        "numpy.load",
        "numpy.core.memmap.memmap",
        "joblib.disk.mkdirp",
        "joblib._memmapping_reducer.loads",
        "torch._utils._import_dotted_name",
        "pandas.read_csv",
        "scipy.optimize._nonlin._nonlin_wrapper",
        "sklearn.utils.discovery.import_module",
        "__builtin__.exec",
        "__builtins__.eval",
        "_interpreters.run_string",
        "_operator.iadd",
        "uuid._arp_getnode",
        "mlflow.projects.backend.local._run_entry_point",
        "keras.src.saving.saving_api.load_model",
        "tensorflow.python.lib.io.file_io.FileIO",
        "numpy._core.multiarray.fromfile",
        "ray.cloudpickle.loads",
        "torchvision.io.write_file",
        "paddle.utils.cpp_extension.load",
        "PIL.ImageMath.eval",
        "transformers.utils.hub.cached_file",
        "nltk.downloader.download",
        "torch.cuda.memory.CUDAPluggableAllocator",
        "multiprocessing.util.spawnv_passfds",
        "smtplib.SMTP",
        "webbrowser.open",
        "types.MethodType",
        "distutils.spawn.spawn",
        "cloudpickle.loads",
        "requests.get",
        "aiohttp.request",
        "huggingface_hub.hf_hub_download",
        "keras.saving.load_model",
        "xgboost.callback.TrainingCheckPoint",
        "lightgbm.basic._TempFile",
        "dateutil.tz.tz.tzfile",
    ],
)
def test_what_is_dangerous_is_malicious_when_only_referred_to(name: str, tmp_path: Path) -> None:
    module, _, attribute = name.rpartition(".")
    report = scan_bytes(tmp_path, PROTO4 + b"]" + stack_global(module, attribute) + b"a.")
    assert (report.verdict, rules(report)) == ("malicious", {"pickle-dangerous-import"})


@pytest.mark.parametrize(
    "name",
    ["numpy.unlisted", "torch.nn.modules.linear.Unlisted", "sklearn.base.clone", "pandas.core.generic.DataFrameFormatter",
     "sklearn.utils._available_if.MethodType", "sklearn.ensemble._forest.Parallel", "acme.Net", "statistics.mean"],
)  # fmt: skip
def test_what_nobody_reviewed_is_suspicious_when_only_referred_to(name: str, tmp_path: Path) -> None:
    module, _, attribute = name.rpartition(".")
    report = scan_bytes(tmp_path, PROTO4 + b"]" + stack_global(module, attribute) + b"a.")
    assert report.verdict in ("suspicious", "malicious")


class Net:
    """A user's own class."""


def test_a_users_own_class_comes_with_what_would_allow_it(tmp_path: Path) -> None:
    net = Net()
    net.width = 3  # type: ignore[attr-defined]
    report = scan_bytes(tmp_path, pickle.dumps(net))
    (finding,) = report.findings
    assert report.verdict == "suspicious"
    assert snippet(f"{__name__}.Net", ["new", "build"]) in finding.fix.text
    ((allowed,),) = yaml.safe_load(snippet(f"{__name__}.Net", ["new", "build"]))["scan"].values()
    assert allowed == {"global": f"{__name__}.Net", "uses": ["build", "new"], "reason": "", "expires": "YYYY-MM-DD"}


def test_the_snippet_allows_what_it_stands_for(tmp_path: Path) -> None:
    for body, uses in ((b")\x81}b", {"new", "build"}), (b"0]", set()), (b")R", {"call"})):
        data = PROTO4 + glob("acme.nets", "Net") + body + b"."
        (finding,) = scan_bytes(tmp_path, data).findings
        filled = snippet("acme.nets.Net", uses).replace('""', "our own class").replace("YYYY-MM-DD", '"2027-01-31"')
        assert snippet("acme.nets.Net", uses) in finding.fix.text
        allowance = ScanAllowance.model_validate(yaml.safe_load(filled)["scan"]["allow"][0])
        document = decide(scan_paths([tmp_path / "model.pkl"]), (allowance,), dt.date(2026, 12, 1))
        assert document.decision is not None
        assert [item.verdict for item in document.decision.files] == ["clean"]


def test_a_name_cannot_write_into_the_snippet() -> None:
    name = 'a"\n    - global: os.system'
    (entry,) = yaml.safe_load(snippet(name, []))["scan"]["allow"]
    assert (entry["global"], entry["uses"]) == (name, ["new"])


def distribution(template: str) -> bytes:
    frozen = glob("scipy.stats._continuous_distns", "norm_gen") + b")\x81}("
    return PROTO4 + frozen + text("name") + text("norm") + text("_parse_arg_template") + text(template) + b"ub."


TEMPLATE = """
def _parse_args(self, a, b,  loc=0, scale=1):
    return (a, b, ), loc, scale

def _parse_args_rvs(self, a, b,  loc=0, scale=1, size=None):
    return self._argcheck_rvs(a, b,  loc, scale, size=size)

def _parse_args_stats(self, a, b,  loc=0, scale=1, moments='mv'):
    return (a, b, ), loc, scale, moments
"""


def test_the_text_that_a_distribution_runs_must_be_scipys(tmp_path: Path) -> None:
    good = TEMPLATE.replace("a, b,  loc", "a, b,  loc")
    assert scan_bytes(tmp_path, distribution(good)).verdict == "clean"
    for bad in (
        good + "import os\n",
        good.replace("scale=1)", "scale=print(1))"),
        "",
        good.replace("a, b, ", "a, b=c, "),
    ):
        assert scan_bytes(tmp_path, distribution(bad)).verdict == "suspicious", bad
    late = distribution(good)[:-2] + b"b" + text("_parse_arg_template") + text("import os") + b"s."
    assert scan_bytes(tmp_path, late).verdict == "suspicious"
    before = PROTO4 + text("_parse_arg_template") + b"q\x000" + distribution(good)[2:-3]
    again = before + b"h\x00" + text("import os") + b"ub."
    assert scan_bytes(tmp_path, again).verdict == "suspicious"


@pytest.mark.parametrize(
    "body",
    [
        call(glob("builtins", "bytearray"), b"\x8a\x06" + (2**40).to_bytes(6, "little")),
        call(glob("builtins", "bytes"), b"J\xff\xff\xff\x7f"),
        call(glob("builtins", "list"), call(glob("builtins", "range"), b"K\x00", b"J\xff\xff\xff\x7f")),
        call(glob("itertools", "repeat"), text("x")),
        call(glob("array", "array"), text("d"), b"J\xff\xff\xff\x7f"),
        call(glob("numpy.core.multiarray", "_reconstruct"), glob("numpy", "ndarray"), b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85", b"C\x01b"),
        call(glob("numpy.core.multiarray", "_reconstruct"), glob("numpy", "ndarray"), b"K\x01K\x01\x86", b"C\x01b"),
        glob("numpy", "ndarray") + b"K\x05\x85\x81",
        call(glob("zoneinfo", "ZoneInfo._unpickle"), text("../../etc/passwd"), b"K\x01"),
        call(glob("pytz", "_p"), text("/etc/passwd")),
        glob("collections", "OrderedDict") + b")}\x92",
    ],
)  # fmt: skip
def test_arguments_that_allocate_or_open_are_not_clean(body: bytes, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, PROTO4 + body + b".").verdict in ("suspicious", "malicious")


@pytest.mark.parametrize("protocol", range(6))
def test_ordinary_relatives_are_clean(protocol: int, tmp_path: Path) -> None:
    from array import array
    from zoneinfo import ZoneInfo

    values = [bytearray(b"x"), b"", array("d", [1.0]), str.lower, range(3), ZoneInfo("UTC"), {1}, frozenset("a")]
    data = pickle.dumps(values, protocol)
    assert pickletools.genops(data)
    report = scan_bytes(tmp_path, data)
    assert (report.verdict, [item.message for item in report.findings if item.severity != "info"]) == ("clean", [])


def test_the_policy_is_read_without_any_framework(tmp_path: Path) -> None:
    code = "import sys; from heliotrope.scan.policy import shipped_policy; shipped_policy(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert not {"torch", "numpy", "sklearn", "pandas"} & set(json.loads(done.stdout.replace("'", '"')))


def test_harmless_findings_do_not_crowd_out_the_others(tmp_path: Path) -> None:
    names = [
        (entry["in"].split()[0], name)
        for document, entry in ENTRIES
        if entry.get("code") and "new" in entry["uses"] and "names" in entry and document["framework"] != "scipy"
        for name in entry["names"].split()
    ]
    flood = b"](" + b"".join(glob(*name) + b")\x81" for name in names[:1100])
    assert len(names) > 700
    report = scan_bytes(tmp_path, PROTO4 + flood + SYSTEM + b"e.")
    assert (report.verdict, "pickle-dangerous-call" in rules(report)) == ("malicious", True)


def test_more_names_than_any_model_needs_are_not_merely_incomplete(tmp_path: Path) -> None:
    flood = b"](" + b"".join(glob("numpy", f"name{number}") for number in range(6000))
    report = scan_bytes(tmp_path, PROTO4 + flood + SYSTEM + b"e.")
    assert report.verdict in ("suspicious", "malicious")


OLDER = {
    "torch 0.4, a module": glob("torch.nn.modules.linear", "Linear")
    + b")\x81}("
    + text("_backend")
    + call(glob("torch.nn.backends.thnn", "_get_thnn_function_backend"))
    + b"ub",
    "torch 1.11, a storage": b"]" + glob("torch.storage", "_TypedStorage") + b"a",
    "torch 1.3 to 1.13, quantised": glob("torch.nn.quantized.modules.linear", "Linear") + b")\x81}b",
    "torch 1.3 to 1.13, fused": glob("torch.nn.intrinsic.modules.fused", "ConvReLU2d") + b")\x81}b",
    "torch 1.3 to 1.12, an observer": glob("torch.quantization.observer", "MinMaxObserver") + b")\x81}b",
    "torch 1.3 to 1.12, a stub": glob("torch.quantization.stubs", "QuantStub") + b")\x81}b",
    "torch 0.4, an optimizer": glob("torch.optim.adam", "Adam") + b")\x81}b",
    "torch 1.x, a scheduler": glob("torch.optim.lr_scheduler", "StepLR") + b")\x81}b",
    "scikit-learn 0.19, a forest": glob("sklearn.ensemble.forest", "RandomForestClassifier") + b")\x81}b",
    "scikit-learn 0.19, a tree": glob("sklearn.tree.tree", "DecisionTreeClassifier") + b")\x81}b",
    "scikit-learn 0.19, vectors": glob("sklearn.svm.classes", "SVC") + b")\x81}b",
    "scikit-learn 0.19, scaling": glob("sklearn.preprocessing.data", "StandardScaler") + b")\x81}b",
    "scikit-learn 0.21, clusters": glob("sklearn.cluster.k_means_", "KMeans") + b")\x81}b",
    "pandas 1.x, an index": call(
        glob("pandas.core.indexes.base", "_new_Index"), glob("pandas.core.indexes.numeric", "Int64Index"), b"}"
    ),
    "numpy 1.x, an array": call(
        glob("numpy.core.multiarray", "_reconstruct"), glob("numpy", "ndarray"), b"K\x00\x85", b"C\x01b"
    ),
}
"""As the published source of each release writes them."""


@pytest.mark.parametrize("release", OLDER)
def test_what_earlier_releases_wrote_is_clean(release: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, PROTO4 + OLDER[release] + b".")
    assert (report.verdict, [item.message for item in report.findings if item.severity != "info"]) == ("clean", [])


def test_classes_of_an_archive_mean_nothing_outside_one(tmp_path: Path) -> None:
    body = b"\x80\x02" + glob("__torch__", "Net") + b")\x81}b."
    assert scan_bytes(tmp_path, body).verdict == "suspicious"
    assert "pickle-unknown-import" not in rules(scan_bytes(tmp_path, torch_zip(body), "m.pt"))


@pytest.mark.parametrize(
    "name",
    ["idlelib.pyshell:ModifiedInterpreter.runcode", "lib2to3.pgen2.grammar:Grammar.loads",
     "asyncio.unix_events:_UnixSubprocessTransport._start", "importlib.machinery:SourceFileLoader.load_module"],
)  # fmt: skip
def test_a_method_below_a_dangerous_package_is_malicious(name: str, tmp_path: Path) -> None:
    module, _, attribute = name.partition(":")
    report = scan_bytes(tmp_path, PROTO4 + call(stack_global(module, attribute), text("x")) + b".")
    assert (report.verdict, rules(report)) == ("malicious", {"pickle-dotted-name"})


def test_a_method_that_the_allowlist_names_stays_clean(tmp_path: Path) -> None:
    ordinary = PROTO4 + b"]" + stack_global("builtins", "str.lower") + b"a."
    assert scan_bytes(tmp_path, ordinary).verdict == "clean"


@pytest.mark.parametrize("name", ["targets.json", "tensorflow_operators.txt", "dangerous.json", "allowed/torch.json"])
def test_the_digest_covers_every_list_of_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from heliotrope.scan import policy

    before = policy.policy_digest.__wrapped__()
    documents = policy._documents()
    monkeypatch.setattr(policy, "_documents", lambda: documents | {name: documents[name] + b" "})
    assert policy.policy_digest.__wrapped__() != before


def test_the_digest_covers_all_files_beside_the_policy() -> None:
    from heliotrope.scan import policy

    folder = Path(policy.__file__).parent / "data"
    assert set(policy._documents()) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}


@pytest.mark.parametrize(
    "body",
    [
        call(glob("numpy.random", "__RandomState_ctor")),
        glob("numpy.matrixlib.defmatrix", "matrix"),
        glob("builtins", "hash"),
        glob("lightning.fabric.utilities.data", "AttributeDict") + b")\x81" + text("lr") + b"K\x01s0N",
    ],
)
def test_old_and_new_places_of_known_names_are_clean(body: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, b"\x80\x04" + body + b".")
    assert [item.message for item in report.findings if item.severity != "info"] == []


def test_what_an_item_could_stand_in_for_is_not_vouched_for(tmp_path: Path) -> None:
    """The items of an AttributeDict are its attributes: __setstate__ and append, too."""
    made = glob("lightning.fabric.utilities.data", "AttributeDict") + b")\x81"
    for change in (text("__setstate__") + glob("builtins", "len") + b"s}b", text("x") + b"a"):
        report = scan_bytes(tmp_path, b"\x80\x04" + made + change + b".")
        assert report.verdict == "suspicious"


def test_storages_of_torch_are_no_finding_in_its_archives(tmp_path: Path) -> None:
    def data(first: str) -> bytes:
        storage = glob("torch", "FloatStorage")
        return b"\x80\x02(" + text(first) + storage + text("0") + text("cpu") + b"K\x04tQ."

    assert scan_bytes(tmp_path, torch_zip(data("storage")), "m.pt").findings == ()
    assert rules(scan_bytes(tmp_path, torch_zip(data("other")), "m.pt")) == {"pickle-persistent-id"}
    assert rules(scan_bytes(tmp_path, data("storage"), "m.pkl")) == {"pickle-persistent-id"}
