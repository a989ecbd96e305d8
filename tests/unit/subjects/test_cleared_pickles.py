"""Objects under a clearance: what is named in it loads as its library would load it, anything else is refused."""

import copyreg
import io
import os
import pickle
import struct
import warnings

import pytest

from heliotrope.core.clearances import Clearance
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.records import sha256_hex
from heliotrope.engine.clearance import clear
from heliotrope.subjects import _pickles
from heliotrope.subjects._pickles import load_cleared

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")


def forged(data, *names, kind="pickle"):
    """A clearance that no scanner gave: what the loader does when everything before it was fooled."""
    return Clearance(
        sha256=sha256_hex(data),
        size=len(data),
        format=kind,
        scanner_version="0",
        policy_digest="0" * 64,
        globals=tuple(sorted(names)),
    )


@pytest.fixture
def canary(tmp_path):
    """A path that only a payload would create."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


VALUES = {"floats": np.arange(12.0).reshape(3, 4), "objects": np.array([1, "a", None], object), "n": np.float32(2)}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_and_arrays(protocol):
    data = pickle.dumps({**VALUES, "set": {1}, "range": range(3)}, protocol)
    loaded = load_cleared(data, clear(data, "values.pkl"))
    assert loaded["floats"].tolist() == VALUES["floats"].tolist()
    assert loaded["objects"].tolist() == [1, "a", None]
    assert (loaded["n"], loaded["set"], loaded["range"]) == (2, {1}, range(3))


def test_other_bytes_than_those_cleared_are_refused(canary):
    clearance = clear(pickle.dumps([1]), "m.pkl")
    for data in (pickle.dumps(Payload(canary)), pickle.dumps([2]), pickle.dumps([1]) + b"\0"):
        with pytest.raises(InputError, match="not the bytes"):
            load_cleared(data, clearance)


def test_a_format_that_holds_no_object_is_refused():
    for kind in ("safetensors", "idx-gz", "pickle-lz4", "torch-zip"):
        with pytest.raises(InputError, match="holds no object") as caught:
            load_cleared(b"x", forged(b"x", kind=kind))
        assert caught.value.hint


@pytest.mark.parametrize("kind", ["pickle", "joblib"])
@pytest.mark.parametrize("protocol", range(6))
def test_a_global_that_the_clearance_does_not_name_is_refused(kind, protocol, canary):
    data = pickle.dumps(Payload(canary), protocol)
    for names in ((), ("numpy.dtype",), ("mkdir",), ("posix",), ("os.mkdir",)):
        with pytest.raises(InputError, match=r"asks for (posix|nt|os)\.mkdir"):
            load_cleared(data, forged(data, *names, kind=kind))


def stack_global(module, name):
    return b"".join(b"X" + struct.pack("<I", len(part)) + part.encode() for part in (module, name)) + b"\x93"


@pytest.mark.parametrize("kind", ["pickle", "joblib"])
@pytest.mark.parametrize(("module", "name"), [("sklearn", "os.mkdir"), ("collections", "_sys.modules"), ("", "a")])
def test_a_dotted_name_does_not_walk_to_something_else(kind, module, name, canary):
    path = str(canary).encode()
    data = b"\x80\x04" + stack_global(module, name) + b"(X" + struct.pack("<I", len(path)) + path + b"tR."
    with pytest.raises(InputError, match="asks for"):
        load_cleared(data, forged(data, "sklearn", "sklearn.os", "collections", "collections.OrderedDict", kind=kind))
    with pytest.raises(InputError, match=r"verdict is (malicious|suspicious)"):
        clear(data, "m.pkl")


@pytest.mark.parametrize("kind", ["pickle", "joblib"])
@pytest.mark.parametrize("warm", [False, True])
def test_extension_codes_are_no_way_around(kind, warm, canary):
    path = str(canary).encode()
    data = b"\x80\x02\x82\xf7(X" + struct.pack("<I", len(path)) + path + b"tR."
    copyreg.add_extension("posix", "mkdir", 0xF7)
    try:
        if warm:
            pickle.loads(b"\x80\x02\x82\xf7.")  # the registry's cache now holds the function itself
        with pytest.raises(InputError, match=r"asks for posix\.mkdir|extension code"):
            load_cleared(data, forged(data, kind=kind))
    finally:
        copyreg.remove_extension("posix", "mkdir", 0xF7)
    with pytest.raises(InputError, match=r"verdict is (malicious|suspicious)"):
        clear(data, "m.pkl")


@pytest.mark.parametrize("kind", ["pickle", "joblib"])
@pytest.mark.parametrize("data", [b"Pid\n.", b"\x80\x02X\x01\0\0\0aQ."])
def test_objects_outside_the_file_are_refused(kind, data):
    with pytest.raises(InputError, match="outside itself"):
        load_cleared(data, forged(data, kind=kind))


def test_names_of_python_2_mean_what_python_3_makes_of_them():
    data = b"\x80\x02c__builtin__\nset\n]\x85R."
    assert load_cleared(data, clear(data, "m.pkl")) == set()
    assert clear(data, "m.pkl").globals == ("builtins.set",)


def test_a_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setattr(_pickles.importlib, "import_module", _not_installed)
    monkeypatch.setattr(_pickles, "find_spec", lambda root: None)
    data = b"\x80\x02csklearn.svm._classes\nSVC\n."
    with pytest.raises(MissingExtraError) as caught:
        load_cleared(data, clear(data, "m.pkl"))
    assert caught.value.extra == "sklearn"


def _not_installed(module):
    raise ModuleNotFoundError(f"No module named {module!r}", name=module)


@pytest.mark.parametrize("data", [b"\x80\x02cnumpy\nno_such_thing\n.", b"\x80\x02cnumpy\ndtype\nK\x01\x85R."])
def test_what_cannot_be_made_here_says_why(data):
    with pytest.raises(InputError, match="cannot be loaded here") as caught:
        load_cleared(data, forged(data, "numpy.no_such_thing", "numpy.dtype"))
    assert caught.value.hint


# joblib


def joblib_bytes(value, compress=0):
    joblib = pytest.importorskip("joblib", reason="needs joblib (extra 'sklearn')")
    buffer = io.BytesIO()
    joblib.dump(value, buffer, compress=compress)
    return buffer.getvalue()


WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
FOR_ARRAYS = (WRAPPER, "numpy.ndarray", "numpy.dtype", "numpy._core.multiarray._reconstruct")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(5, dtype=">i2"),
        np.zeros(2, dtype=[("a", "i4"), ("b", "U3")]),
        np.array(["ab", "c"]),
        np.zeros((0, 3)),
        np.zeros(2, "U0"),
        np.array(3),
        np.array([1, "a", None, [2]], object),
        np.array(["2020-01-01"], "M8[D]"),
    ],
    ids=lambda array: str(array.dtype),
)
@pytest.mark.parametrize("cut", [False, True])
def test_arrays_of_joblib_files(array, cut):
    data = joblib_bytes([array, array, "end"])
    if cut:
        data = data[:-4] if array.nbytes else data[:-20]
        with pytest.raises(InputError):
            load_cleared(data, forged(data, *FOR_ARRAYS, kind="joblib"))
        return
    first, second, end = load_cleared(data, forged(data, *FOR_ARRAYS, kind="joblib"))
    assert (first.dtype.newbyteorder("="), first.shape, end) == (array.dtype.newbyteorder("="), array.shape, "end")
    assert first.tolist() == second.tolist() == array.tolist()
    assert first.flags.writeable


def test_objects_inside_an_array_of_a_joblib_file_are_held_to_the_same_names(canary):
    data = joblib_bytes(np.array([Payload(canary)], object))
    with pytest.raises(InputError, match=r"asks for posix\.mkdir"):
        load_cleared(data, forged(data, *FOR_ARRAYS, kind="joblib"))


@pytest.mark.parametrize(
    ("method", "kind"),
    [("zlib", "zlib"), ("gzip", "gzip"), ("bz2", "bzip2"), ("xz", "xz"), ("lzma", "lzma")],
)
def test_compressed_joblib_files(method, kind):
    data = joblib_bytes([np.arange(1000.0), "end"], compress=(method, 3))
    array, end = load_cleared(data, forged(data, *FOR_ARRAYS, kind=f"joblib-{kind}"))
    assert (array.sum(), end) == (499500.0, "end")
    for damaged in (data[:-3], data + b"more"):
        with pytest.raises(InputError):
            load_cleared(damaged, forged(damaged, *FOR_ARRAYS, kind=f"joblib-{kind}"))


def test_what_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(_pickles, "MAX_UNPACKED_BYTES", 1000)
    data = joblib_bytes("a" * 2000, compress=3)
    with pytest.raises(InputError, match="more than 1000 bytes"):
        load_cleared(data, forged(data, kind="joblib-zlib"))


# scikit-learn


@pytest.fixture(scope="module")
def fitted():
    pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    samples = np.random.default_rng(0).normal(size=(60, 4))
    model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0))
    return model.fit(samples, samples[:, 0] > 0), samples


def test_a_pickled_pipeline_predicts_as_before(fitted):
    model, samples = fitted
    data = pickle.dumps(model)
    clearance = clear(data, "model.pkl")
    assert "sklearn.pipeline.Pipeline" in clearance.globals
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load_cleared(data, clearance)
    assert loaded.predict_proba(samples).tolist() == model.predict_proba(samples).tolist()


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_a_joblib_pipeline_predicts_as_before(fitted, compress):
    model, samples = fitted
    data = joblib_bytes(model, compress)
    clearance = clear(data, "model.joblib")
    assert clearance.format.startswith("joblib")
    loaded = load_cleared(data, clearance)
    assert loaded.predict_proba(samples).tolist() == model.predict_proba(samples).tolist()


def test_a_joblib_file_with_a_payload_is_not_cleared(fitted, canary):
    for value in ([fitted[0], Payload(canary)], np.array([Payload(canary)], object)):
        for compress in (0, 3):
            with pytest.raises(InputError, match="verdict is malicious"):
                clear(joblib_bytes(value, compress), "model.joblib")


def test_a_skops_pipeline_predicts_as_before(fitted):
    skops_io = pytest.importorskip("skops.io", reason="needs skops (extra 'sklearn')")
    model, samples = fitted
    data = skops_io.dumps(model)
    clearance = clear(data, "model.skops")
    assert clearance.format == "skops"
    assert load_cleared(data, clearance).predict_proba(samples).tolist() == model.predict_proba(samples).tolist()
    rest = tuple(name for name in clearance.globals if name != "sklearn.tree._tree.Tree")
    with pytest.raises(InputError, match=r"asks for sklearn\.tree\._tree\.Tree"):
        load_cleared(data, forged(data, *rest, kind="skops"))


def test_a_pipeline_loads_with_every_name_and_without_any_one_it_does_not(fitted):
    model, _ = fitted
    data = pickle.dumps(model)
    names = clear(data, "model.pkl").globals
    for name in names:
        with pytest.raises(InputError, match="asks for"):
            load_cleared(data, forged(data, *(other for other in names if other != name)))
