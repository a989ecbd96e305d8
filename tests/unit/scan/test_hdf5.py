"""HDF5 files: whatever way a group or an attribute is stored, what is in it is found; ordinary files are clean."""

import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import hdf5, keras_archive, ordinary, rules, scan_bytes, zipped

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits

h5py = pytest.importorskip("h5py")
np = pytest.importorskip("numpy")

CONFIGURATIONS = json.loads(ordinary("keras.json"))
LAMBDA = json.dumps({"class_name": "Lambda", "config": {"function": ["eA==", None, None], "function_type": "lambda"}})
KINDS = [
    {"libver": version, "userblock_size": block} for version in ("earliest", "v108", "latest") for block in (0, 512)
]


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


def assert_clean(report: FileReport, kind: str = "hdf5") -> None:
    assert (report.format, report.verdict, report.findings, report.incomplete) == (kind, "clean", (), ())


def everything(file) -> None:
    """What programs leave in such files."""
    group = file.create_group("g")
    for index in range(120):
        group.create_dataset(f"d{index}", data=np.arange(3.0))
        group.attrs[f"a{index}"] = f"text {index}"
        file.create_group(f"x/{index}/y").attrs["names"] = [b"a", b"bc"]
    file.create_dataset(
        "c", data=np.zeros((50, 50)), chunks=(10, 10), compression="gzip", shuffle=True, fletcher32=True
    )
    file.create_dataset("lzf", data=np.zeros((50, 50)), compression="lzf")
    file["soft"] = h5py.SoftLink("/g/d1")
    file["hard"] = group
    file["kind"] = np.dtype("f4")
    file.create_dataset("text", data=["a", "exec('x')."], dtype=h5py.string_dtype())
    file.create_dataset("reference", data=file["c"].ref, dtype=h5py.ref_dtype)
    file.create_dataset("empty", shape=(0,), dtype="f4")
    file.create_dataset("unwritten", shape=(1000, 1000), dtype="f8")
    file.create_dataset("compact", data=np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]))
    group.attrs["many"] = [f"a name {index}" for index in range(3000)] if file.libver[0] == "latest" else ["a"]
    group.attrs["opaque"] = np.void(b"\x01\x02")
    group.attrs["nothing"] = h5py.Empty("f")
    group.attrs["sides"] = np.arange(12).reshape(3, 4)
    group.attrs.create("committed", np.float32(1), dtype=file["kind"])


@pytest.mark.parametrize("options", KINDS)
def test_ordinary_files(options: dict[str, object], tmp_path: Path) -> None:
    assert_clean(scan_bytes(tmp_path, hdf5(everything, **options), "m.h5"))
    assert_clean(scan_bytes(tmp_path, hdf5(everything, **options), "m"))


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if "legacy" in name])
def test_models_of_keras(name: str, tmp_path: Path) -> None:
    def fill(file) -> None:
        file.attrs["model_config"] = json.dumps(CONFIGURATIONS[name]).encode()
        file.attrs["keras_version"] = "3.15.1"
        file.attrs["training_config"] = json.dumps(CONFIGURATIONS["image (training)"])
        weights = file.create_group("model_weights/dense/dense")
        weights.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
        weights["kernel:0"] = np.random.default_rng(0).normal(size=(20, 20)).astype("f4")

    assert_clean(scan_bytes(tmp_path, hdf5(fill), "m.h5"), "keras-h5")


def test_weights_in_an_archive(tmp_path: Path) -> None:
    data = hdf5(everything, libver="latest")
    assert_clean(
        scan_bytes(tmp_path, keras_archive(CONFIGURATIONS["cells"], **{"model.weights.h5": data}), "m.keras"), "keras"
    )
    linked = hdf5(lambda file: file.__setitem__("w", h5py.ExternalLink("x.h5", "/w")))
    report = scan_bytes(tmp_path, keras_archive(CONFIGURATIONS["cells"], **{"model.weights.h5": linked}), "m.keras")
    assert (report.verdict, rules(report)) == ("suspicious", {"hdf5-external-link"})
    deflated = zipped({"w.h5": linked}, deflate=True)
    assert rules(scan_bytes(tmp_path, deflated, "m.zip")) == {"hdf5-external-link"}


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("others", [0, 5, 9, 300])
@pytest.mark.parametrize("as_bytes", [True, False])
def test_an_attribute_is_found_however_it_is_stored(
    options: dict[str, object],
    others: int,
    as_bytes: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    text = LAMBDA if others < 300 or options["libver"] == "earliest" else LAMBDA[:-1] + f', "x": "{"y" * 70_000}"}}'

    def fill(file) -> None:
        place = file.create_group("a/b/c") if others == 9 else file
        for index in range(others):
            place.attrs[f"n{index}"] = index
        place.attrs["model_config"] = np.bytes_(text.encode()) if as_bytes else text

    report = scan_bytes(tmp_path, hdf5(fill, **options), "m.h5")
    assert (report.format, rules(report), report.incomplete) == ("keras-h5", {"keras-lambda"}, ())


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("others", [0, 7, 9, 2000])
def test_a_link_is_found_however_its_group_is_stored(options: dict[str, object], others: int, tmp_path: Path) -> None:
    def fill(file) -> None:
        group = file.create_group("a/b")
        for index in range(others):
            group[f"n{index}"] = h5py.SoftLink("/a")
        group["m"] = h5py.ExternalLink("../x.h5", "/w")

    report = scan_bytes(tmp_path, hdf5(fill, **options), "m.h5")
    assert (rules(report), report.incomplete) == ({"hdf5-external-link"}, ())
    assert report.findings[0].message == "/a/b/m leads to ../x.h5:/w"


@pytest.mark.parametrize("options", KINDS)
def test_values_that_are_elsewhere(options: dict[str, object], tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("/tmp/x.h5", "d", (4,))
    report = scan_bytes(tmp_path, hdf5(lambda file: file.create_virtual_dataset("v", layout), **options), "m.h5")
    assert [finding.message for finding in report.findings] == ["/v is put together from values in /tmp/x.h5"]
    stored = hdf5(lambda file: file.create_dataset("d", (9,), "u1", external=[("/etc/passwd", 0, 9)]), **options)
    report = scan_bytes(tmp_path, stored, "m.h5")
    assert [finding.message for finding in report.findings] == ["/d keeps its values in /etc/passwd"]


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("options", KINDS[::2])
def test_pickles_in_attributes_and_values(protocol: int, options: dict[str, object], tmp_path: Path) -> None:
    data = pickle.dumps(Evil(), protocol)

    def object_atom(file) -> None:
        rows = file.create_dataset("o", (2,), h5py.vlen_dtype(np.uint8), chunks=(1,), maxshape=(None,))
        rows.attrs["PSEUDOATOM"] = np.bytes_(b"object")
        rows[0], rows[1] = np.frombuffer(pickle.dumps([1], protocol), "u1"), np.frombuffer(data, "u1")

    for fill in (
        lambda file: file.attrs.__setitem__("a", np.bytes_(data)),
        lambda file: file.attrs.__setitem__("a", np.void(data)),
        lambda file: file.create_dataset("a", data=np.frombuffer(data, "u1")),
        object_atom,
    ):
        assert scan_bytes(tmp_path, hdf5(fill, **options), "m.h5").verdict == "malicious"


def test_pickles_in_pieces_leave_the_verdict_open(tmp_path: Path) -> None:
    def fill(file) -> None:
        data = np.frombuffer(pickle.dumps(Evil()), "u1")
        file.create_dataset("a", data=data, chunks=True, compression="gzip").attrs["base_type"] = b"pickle"

    assert scan_bytes(tmp_path, hdf5(fill), "m.h5").verdict == "incomplete"


def sample(file) -> None:
    file.attrs["model_config"] = json.dumps(CONFIGURATIONS["lookup"])
    file["g/d"] = [1.0, 2.0]


@pytest.mark.parametrize("options", [{"libver": "earliest"}, {"libver": "latest"}])
def test_nothing_is_clean_that_was_cut(options: dict[str, object], tmp_path: Path) -> None:
    data = hdf5(sample, **options)
    assert_clean(scan_bytes(tmp_path, data, "m.h5"), "keras-h5")
    for size in range(1, len(data), 7):
        assert scan_bytes(tmp_path, data[:size], "m.h5").verdict != "clean", size


SEEDS = [hdf5(sample, **options) for options in KINDS] + [
    hdf5(lambda file: file.attrs.update({f"a{i}": "x" for i in range(20)}), libver="latest")
]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2**16), st.sampled_from([0, 1, 2, 8, 0x10, 0x7F, 0xFF])), max_size=8),
)
def test_changed_files_are_judged(data: bytes, changes: list[tuple[int, int]]) -> None:
    from heliotrope.scan.collector import Collector
    from heliotrope.scan.dispatch import analyse, analyse_nested
    from heliotrope.scan.interface import Context
    from heliotrope.scan.limits import Budget
    from heliotrope.scan.sources import BytesSource

    changed = bytearray(data)
    for at, value in changes:
        changed[at % len(changed)] = value
    limits = ScanLimits(max_hdf5_steps=20_000)
    notes = Collector("m.h5", limits)
    analyse(BytesSource(bytes(changed)), "m.h5", Context(notes, limits, Budget.of(limits), analyse_nested))
    notes.findings()


@pytest.mark.parametrize(
    "limits", [ScanLimits(max_hdf5_steps=50), ScanLimits(max_hdf5_objects=10), ScanLimits(max_hdf5_attribute=5)]
)
def test_limits_leave_the_verdict_open(limits: ScanLimits, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, hdf5(everything), "m.h5", limits=limits)
    assert (report.verdict, bool(report.incomplete[0].limit)) == ("incomplete", True)


def test_groups_that_hold_each_other(tmp_path: Path) -> None:
    def fill(file) -> None:
        group = file.create_group("a/b")
        group["root"] = file["/"]

    assert_clean(scan_bytes(tmp_path, hdf5(fill), "m.h5"))


def test_an_attribute_that_is_cut_short_is_incomplete_not_a_crash(tmp_path: Path) -> None:
    for number, data in enumerate(SEEDS):
        if len(data) > 616:
            changed = bytearray(data)
            changed[616] = 1
            scan_bytes(tmp_path, bytes(changed), f"{number}.h5")
