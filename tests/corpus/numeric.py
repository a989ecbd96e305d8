"""Arrays and sparse matrices, in the files of numpy, scipy and joblib."""

import pickle
from pathlib import Path

import joblib
import numpy as np
import scipy
import scipy.interpolate
import scipy.sparse
import scipy.spatial
import scipy.stats

R = np.random.RandomState(0)
OBJECTS = np.array([{"a": 1}, None, "text", [1, 2]], dtype=object)
RECORD = np.array([(1, 2.0, "a")], dtype=[("x", "i4"), ("y", "f8"), ("z", "U5")])


def version():
    return f"numpy{np.__version__}-scipy{scipy.__version__}-joblib{joblib.__version__}"


def _pickle(value, protocol=4):
    return lambda path: Path(path).write_bytes(pickle.dumps(value, protocol))


def _save(array, **options):
    def make(path):
        with Path(path).open("wb") as file:
            np.save(file, array, **options)

    return make


def _savez(saver, **arrays):
    def make(path):
        with Path(path).open("wb") as file:
            saver(file, **arrays)

    return make


def _joblib(value, **options):
    return lambda path: joblib.dump(value, path, **options)


def _sparse(path):
    with Path(path).open("wb") as file:
        scipy.sparse.save_npz(file, scipy.sparse.random(20, 20, 0.2, "csr", random_state=0))


ARRAYS = {
    "floats": R.rand(50, 4),
    "ints": np.arange(10),
    "fortran": np.asfortranarray(R.rand(5, 4)),
    "bools": np.ones(3, bool),
    "half": np.zeros(4, np.float16),
    "complex": np.zeros(4, np.complex64),
    "text": np.array(["a", "bc"]),
    "bytes": np.array([b"a", b"bc"]),
    "objects": OBJECTS,
    "record": RECORD,
    "dates": np.array(["2020-01-01"], "datetime64[D]"),
    "empty": np.empty((0, 3)),
    "scalar": np.array(1.5),
    "bigendian": np.arange(3, dtype=">i4"),
}
SCALARS = [np.float64(1), np.float32(2), np.int64(3), np.bool_(1), np.str_("a"), np.bytes_(b"a"), np.datetime64("2020")]
GENERATORS = [
    np.random.RandomState(1),
    np.random.default_rng(1),
    np.random.Generator(np.random.Philox(1)),
    np.random.SFC64(2),
]

FILES = {f"{name}.npy": _save(array) for name, array in ARRAYS.items()}
FILES.update({f"{name}-p{p}.pkl": _pickle(array, p) for name, array in ARRAYS.items() for p in (2, 4)})
FILES.update(
    {
        "scalars.pkl": _pickle(SCALARS),
        "scalars-p0.pkl": _pickle(SCALARS, 0),
        "generators.pkl": _pickle(GENERATORS),
        "state.pkl": _pickle(np.random.RandomState(1).get_state()),
        "masked.pkl": _pickle(np.ma.array([1, 2, 3], mask=[0, 1, 0])),
        "matrix.pkl": _pickle(np.matrix([[1, 2]])),
        "recarray.pkl": _pickle(np.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)])),
        "types.pkl": _pickle([np.float32, np.dtype("f4"), np.dtype("U3"), RECORD.dtype, np.int8, np.dtype("O")]),
        "several.npz": _savez(np.savez, a=ARRAYS["floats"], b=ARRAYS["ints"], c=OBJECTS),
        "packed.npz": _savez(np.savez_compressed, zeros=np.zeros((1000, 1000)), b=ARRAYS["text"]),
        "sparse.npz": _sparse,
        "csr.pkl": _pickle(scipy.sparse.random(10, 10, 0.3, "csr", random_state=0)),
        "coo.pkl": _pickle(scipy.sparse.random(10, 10, 0.3, "coo", random_state=0)),
        "lil.pkl": _pickle(scipy.sparse.lil_matrix(np.eye(3))),
        "dok.pkl": _pickle(scipy.sparse.dok_matrix(np.eye(3))),
        "spline.pkl": _pickle(scipy.interpolate.CubicSpline([0, 1, 2], [0, 1, 4])),
        "interp1d.pkl": _pickle(scipy.interpolate.interp1d([0, 1, 2], [0, 1, 4])),
        "kdtree.pkl": _pickle(scipy.spatial.cKDTree(R.rand(20, 2))),
        "arrays.joblib": _joblib({"w": ARRAYS["floats"], "o": OBJECTS, "f": ARRAYS["fortran"], "t": ARRAYS["text"]}),
        "arrays.joblib.z": _joblib(ARRAYS, compress=3),
        "arrays-gzip.joblib": _joblib(ARRAYS, compress=("gzip", 3)),
        "arrays-bz2.joblib": _joblib(ARRAYS, compress=("bz2", 3)),
        "arrays-xz.joblib": _joblib(ARRAYS, compress=("xz", 3)),
        "arrays-lzma.joblib": _joblib(ARRAYS, compress=("lzma", 3)),
        "record.joblib": _joblib([RECORD, ARRAYS["dates"], ARRAYS["bigendian"]]),
        "distribution.pkl": _pickle(scipy.stats.uniform(0, 1)),
        "distribution-loguniform.joblib": _joblib(
            {"C": scipy.stats.loguniform(1e-3, 10), "n": scipy.stats.randint(1, 9)}
        ),
        "kde.pkl": _pickle(scipy.stats.gaussian_kde(R.rand(20))),
    }
)
