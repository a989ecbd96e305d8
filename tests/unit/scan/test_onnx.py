"""ONNX models: walked to the last byte, tensors passed over, references and operators judged."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import onnx_model, onnx_node, onnx_tensor, protobuf, rules, scan_bytes

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits, scan_paths
from heliotrope.scan.interface import LimitReachedError
from heliotrope.scan.sources import BytesSource
from heliotrope.scan.wire.protobuf import DamagedError, Wire


def assert_clean(report: FileReport) -> None:
    assert (report.format, report.verdict, report.findings, report.incomplete) == ("onnx", "clean", (), ())


def inside(node: bytes, depth: int) -> bytes:
    """The node in graphs within graphs."""
    for _ in range(depth):
        node = onnx_node("If", "", protobuf((1, "then"), (6, protobuf((1, node), (2, "g"))), (20, 5)))
    return node


SAMPLE = onnx_model(
    onnx_node("Relu"),
    inside(onnx_node("Add", "", protobuf((1, "value"), (5, onnx_tensor(raw=bytes(8))), (20, 4))), 3),
    onnx_node("Own", "local"),
    tensors=(onnx_tensor(raw=bytes(8)), onnx_tensor(raw=bytes(40), dims=(10,))),
    more=(
        (14, protobuf((1, "author"), (2, "somebody"))),
        (25, protobuf((1, "Own"), (7, onnx_node("Mul")), (10, "local"))),
    ),
)

# ordinary models


@pytest.mark.torch
def test_models_exported_by_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 10)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = tmp_path / "external.onnx"
        torch.onnx.export(network.eval(), (torch.zeros(1, 1, 8, 8),), path, external_data=True, verbose=False)
    assert (tmp_path / "external.onnx.data").exists()
    document = scan_paths([tmp_path])
    assert [report.path.rpartition("/")[2] for report in document.files] == ["external.onnx"]
    for report in document.files:
        assert_clean(report)
    (tmp_path / "external.onnx.data").unlink()
    (report,) = scan_paths([tmp_path / "external.onnx"]).files
    assert (report.verdict, report.findings) == ("incomplete", ())
    assert "external.onnx.data" in report.incomplete[0].reason


def test_models_of_classical_learning(tmp_path: Path) -> None:
    """As converters of scikit-learn write them: trees as long unpacked lists, scalers, a label that looks like code."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    count = 3000
    nodes = [
        helper.make_node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[0.0] * 4, scale=[1.0] * 4),
        helper.make_node(
            "TreeEnsembleClassifier", ["s"], ["label", "p"], domain="ai.onnx.ml",
            nodes_values=[float(index) for index in range(count)], nodes_featureids=list(range(count)),
            nodes_modes=["BRANCH_LEQ"] * count, classlabels_strings=["exec", "eval"],
        ),
        helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_strings=["exec", "eval"]),
    ]  # fmt: skip
    value = helper.make_tensor_value_info("x", 1, [None, 4])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [value], [value]),
        opset_imports=[helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 18)],
        producer_name="skl2onnx",
    )
    assert_clean(scan_bytes(tmp_path, model.SerializeToString(), "m.onnx", limits=ScanLimits(max_protobuf_fields=9000)))


@pytest.mark.parametrize("name", ["m.onnx", "m.bin", "m"])
def test_the_content_decides(name: str, tmp_path: Path) -> None:
    assert_clean(scan_bytes(tmp_path, SAMPLE, name))


def test_other_bytes_are_no_model(tmp_path: Path) -> None:
    for data in (b"\x08\x08", protobuf((1, 8), (7, "")) + b"\x50\x01", b"(hello)\n" * 9, protobuf((1, 8), (2, "x"))):
        assert scan_bytes(tmp_path, data, "m.bin").format != "onnx"


def test_domains_that_the_model_defines_itself_are_its_own(tmp_path: Path) -> None:
    function = protobuf((1, "aten_add"), (7, onnx_node("Add")), (10, "pkg.onnxscript.torch_lib"))
    used = onnx_node("aten_add", "pkg.onnxscript.torch_lib")
    assert_clean(scan_bytes(tmp_path, onnx_model(used, more=((25, function),)), "m.onnx"))
    report = scan_bytes(tmp_path, onnx_model(used), "m.onnx")
    assert (report.verdict, rules(report)) == ("suspicious", {"onnx-custom-operator"})


# what is elsewhere


@pytest.mark.parametrize(
    "location",
    [
        "../weights",
        "a/../../weights",
        "/etc/passwd",
        "\\\\host\\share",
        "C:\\weights",
        "..\\weights",
        "https://example.org/w",
        "file:///etc/passwd",
    ],
)
def test_values_outside_the_folder(location: str, tmp_path: Path) -> None:
    for model in (
        onnx_model(tensors=(onnx_tensor(location=location),)),
        onnx_model(inside(onnx_node("Constant", "", protobuf((5, onnx_tensor(location=location)))), 2)),
        onnx_model(more=((20, protobuf((1, protobuf((5, onnx_tensor(location=location)))))),)),
        onnx_model(onnx_node("C", "", protobuf((22, protobuf((1, onnx_tensor(location=location))))))),
        onnx_model(more=((25, protobuf((7, onnx_node("C", "", protobuf((10, onnx_tensor(location=location))))))),)),
    ):
        report = scan_bytes(tmp_path, model, "m.onnx")
        assert (report.verdict, "onnx-external-path" in rules(report)) == ("suspicious", True)


def test_a_location_counts_also_when_the_tensor_says_that_it_has_its_values(tmp_path: Path) -> None:
    tensor = onnx_tensor(location="../w").removesuffix(b"\x70\x01") + b"\x70\x00"
    assert rules(scan_bytes(tmp_path, onnx_model(tensors=(tensor,)), "m.onnx")) == {"onnx-external-path"}


def test_links_that_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(8))
    (folder / "own").write_bytes(bytes(8))
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "sub/up").symlink_to(tmp_path)
    (folder / "in").symlink_to("own")
    for location, found in (("out", True), ("sub/up/secret", True), ("in", False), ("own", False)):
        report = scan_bytes(folder, onnx_model(tensors=(onnx_tensor(location=location),)), "m.onnx")
        assert ("onnx-external-path" in rules(report)) is found
        assert (report.verdict == "clean") is not found


@pytest.mark.parametrize(
    ("entries", "fits"),
    [
        ({"offset": "0", "length": "8"}, True),
        ({"offset": "92", "length": "8"}, True),
        ({}, True),
        ({"offset": "93", "length": "8"}, False),
        ({"offset": "0", "length": "9"}, False),
        ({"offset": "0", "length": "4"}, False),
        ({"offset": "-8", "length": "8"}, False),
        ({"offset": "0x0", "length": "8"}, False),
        ({"offset": "9" * 30}, False),
        ({"length": "eight"}, False),
        ({"offset": "93"}, False),
    ],
)
def test_the_place_of_values(entries: dict[str, str], fits: bool, tmp_path: Path) -> None:  # noqa: FBT001
    (tmp_path / "w.bin").write_bytes(bytes(100))
    report = scan_bytes(tmp_path, onnx_model(tensors=(onnx_tensor(location="w.bin", **entries),)), "m.onnx")
    assert (report.verdict == "clean") is fits
    assert ("onnx-external-range" in rules(report)) is not fits


@pytest.mark.parametrize("location", ["missing.bin", "", "folder", "a\0b", "x/" * 100 + "y"])
def test_values_that_are_not_there_leave_the_verdict_open(location: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    report = scan_bytes(tmp_path, onnx_model(tensors=(onnx_tensor(location=location),)), "m.onnx")
    assert (report.verdict, report.findings) == ("incomplete", ())


# operators


@pytest.mark.parametrize("operator", ["PyOp", "PythonOp", "PyCustomOpDef", "PyFunc", "PyOperator_1"])
@pytest.mark.parametrize("domain", ["", "com.microsoft", "ai.onnx.contrib"])
def test_python_operators_at_any_depth(operator: str, domain: str, tmp_path: Path) -> None:
    for depth in (0, 5):
        report = scan_bytes(tmp_path, onnx_model(inside(onnx_node(operator, domain), depth)), "m.onnx")
        assert (report.verdict, "onnx-python-operator" in rules(report)) == ("suspicious", True)


def test_operators_are_counted_not_repeated(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, onnx_model(*[onnx_node("Trick", "acme")] * 1000), "m.onnx")
    (finding,) = report.findings
    assert (finding.count, finding.global_, len(finding.locations)) == (1000, "acme.Trick", 1)


def test_compiled_programs_are_named(tmp_path: Path) -> None:
    assert rules(scan_bytes(tmp_path, onnx_model(onnx_node("EPContext", "com.microsoft")), "m.onnx")) == {
        "onnx-custom-operator"
    }


# damage and limits


def test_nothing_is_clean_that_was_cut(tmp_path: Path) -> None:
    assert_clean(scan_bytes(tmp_path, SAMPLE, "m.onnx"))
    for size in range(len(SAMPLE)):
        report = scan_bytes(tmp_path, SAMPLE[:size], "m.onnx")
        assert report.verdict != "clean" or _ends_at_a_field(size), size


def _ends_at_a_field(size: int) -> bool:
    """A model that only lacks its last fields is a whole one: nothing in the format says how many there are."""
    ends = [stop for _, _, _, stop in Wire(BytesSource(SAMPLE), 100).fields(0, len(SAMPLE))]
    return size in ends[3:]


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(SAMPLE) - 1), value=st.integers(0, 255))
def test_damage_never_crashes(place: int, value: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    damaged = SAMPLE[:place] + bytes([value]) + SAMPLE[place + 1 :]
    report = scan_bytes(tmp_path_factory.getbasetemp(), damaged, "damaged.onnx")
    assert report.verdict in ("clean", "suspicious", "incomplete", "unsupported")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_damage(data: bytes) -> None:
    wire = Wire(BytesSource(data), 50)
    try:
        ends = [stop for _, _, _, stop in wire.numbers(0, len(data))]
    except (DamagedError, LimitReachedError):
        return
    assert all(end <= len(data) for end in ends)


@given(
    st.lists(st.tuples(st.integers(1, 15), st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=20))), max_size=30)
)
def test_what_is_written_is_read(fields: list[tuple[int, int | bytes]]) -> None:
    data = protobuf(*fields)
    wire = Wire(BytesSource(data), 1000)
    read = [
        (number, data[value:stop] if kind == 2 else value) for number, kind, value, stop in wire.fields(0, len(data))
    ]
    assert read == fields


def test_limits_are_named(tmp_path: Path) -> None:
    deep = onnx_model(inside(onnx_node("Add"), 60))
    many = onnx_model(*[onnx_node("Add")] * 1000)
    kinds = onnx_model(*[onnx_node(f"Op{index}") for index in range(21_000)])
    for model, limits, limit in (
        (deep, None, "max_onnx_depth"),
        (many, ScanLimits(max_protobuf_fields=500), "max_protobuf_fields"),
        (kinds, None, "max_onnx_kinds"),
    ):
        report = scan_bytes(tmp_path, model, "m.onnx", limits=limits)
        assert (report.verdict, report.incomplete[0].limit) == ("incomplete", limit)


def test_a_large_model_is_passed_over_not_read(tmp_path: Path) -> None:
    """Its tensors are holes in a sparse file; reading them all would take minutes."""
    size = 40 * 2**30
    graph_head = protobuf((1, onnx_node("Relu")))
    tensor_head = protobuf((1, size // 4), (2, 1)) + b"\x4a" + _length(size)
    graph_size = len(graph_head) + 1 + len(_length(len(tensor_head) + size)) + len(tensor_head) + size
    head = protobuf((1, 8)) + b"\x3a" + _length(graph_size) + graph_head
    head += b"\x2a" + _length(len(tensor_head) + size) + tensor_head
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    from heliotrope.scan.collector import Collector
    from heliotrope.scan.dispatch import analyse, analyse_nested
    from heliotrope.scan.interface import Context
    from heliotrope.scan.limits import Budget
    from heliotrope.scan.sources import FileSource

    limits = ScanLimits()
    notes = Collector("large.onnx", limits)
    with path.open("rb") as file:
        source = FileSource(file.fileno(), len(head) + size)
        found = analyse(source, "large.onnx", Context(notes, limits, Budget.of(limits), analyse_nested))
    assert found is not None
    assert (found.format, notes.verdict(supported=True)) == ("onnx", "clean")


def _length(value: int) -> bytes:
    return protobuf((0, value))[1:]


_SEQUENCE = protobuf((1, "s"), (2, 1), (3, onnx_tensor(raw=bytes(8))), (3, onnx_tensor(raw=bytes(4), dims=(1,))))


@pytest.mark.parametrize("value", [onnx_tensor(raw=bytes(8)), _SEQUENCE, protobuf((2, 3), (5, _SEQUENCE))])
def test_single_values_of_test_data_are_data(value: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, value, "input_0.pb")
    assert (report.format, report.verdict, report.findings) == ("onnx-tensor", "clean", ())


@pytest.mark.parametrize("wrap", [bytes, lambda tensor: protobuf((2, 1), (3, tensor))])
def test_single_values_that_lie_elsewhere_are_looked_for(wrap: Callable[[bytes], bytes], tmp_path: Path) -> None:
    away = scan_bytes(tmp_path, wrap(onnx_tensor(location="../../etc/passwd")), "input_0.pb")
    assert rules(away) == {"onnx-external-path"}
    assert scan_bytes(tmp_path, wrap(onnx_tensor(location="missing.bin")), "input_0.pb").verdict == "incomplete"


def test_a_cut_value_is_not_clean(tmp_path: Path) -> None:
    value = onnx_tensor(raw=bytes(8))
    for size in range(1, len(value)):
        report = scan_bytes(tmp_path, value[:size], "input_0.pb")
        assert report.verdict != "clean" or b"\x10\x01" in value[:size]  # at a field's end, it is a shorter value
