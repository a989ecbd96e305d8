import gzip
import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.config.schema import DataSource, InputConfig
from heliotrope.core.errors import InputError
from heliotrope.core.records import sha256_hex
from heliotrope.engine.files import digest_inputs
from heliotrope.subjects import _arrays
from heliotrope.subjects.data import load_images, require_classes

np = pytest.importorskip("numpy", reason="needs numpy (extra 'torch')")
Image = pytest.importorskip("PIL.Image", reason="needs pillow (extra 'torch')")

GREY = InputConfig(shape=(1, 4, 5))
COLOUR = InputConfig(shape=(3, 4, 5))
NPZ = DataSource(path="data.npz")
PAIR = DataSource(images="images", labels="labels")


def idx(array):
    codes = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
    header = bytes([0, 0, codes[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def npy(array, **kwargs):
    buffer = io.BytesIO()
    np.save(buffer, array, **kwargs)
    return buffer.getvalue()


def bytes_images(n=6, shape=(4, 5)):
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)


def float_images(n=6, shape=(1, 4, 5)):
    return np.random.default_rng(0).random((n, *shape), dtype=np.float32)


def save_npz(folder, images, labels=None, **names):
    np.savez(
        folder / "data.npz", images=images, labels=np.arange(len(images)) % 3 if labels is None else labels, **names
    )


def save_pair(folder, images, labels):
    (folder / "images").write_bytes(images)
    (folder / "labels").write_bytes(labels)


def refused(folder, source=NPZ, declared=GREY, match=None, **kwargs):
    with pytest.raises(InputError, match=match) as caught:
        load_images(source, root=folder, declared=declared, **kwargs)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("pack", [idx, npy, lambda array: gzip.compress(idx(array))], ids=["idx", "npy", "idx.gz"])
def test_every_pair_format_gives_the_same_samples(tmp_path, pack):
    images, labels = bytes_images(), np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8)
    save_pair(tmp_path, pack(images), pack(labels))
    data = load_images(PAIR, root=tmp_path, declared=GREY)
    assert data.images.shape == (6, 1, 4, 5)
    assert data.images.dtype == np.float32
    assert data.labels.dtype == np.int64
    np.testing.assert_allclose(data.images[:, 0], images / 255, atol=1e-7)
    assert data.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.digests == {name: sha256_hex((tmp_path / name).read_bytes()) for name in ("images", "labels")}


def test_npz_is_read_under_its_configured_names(tmp_path):
    images = float_images()
    np.savez_compressed(tmp_path / "data.npz", x=images, y=np.zeros((6, 1), dtype=np.int32))
    data = load_images(DataSource(path="data.npz", images_key="x", labels_key="y"), root=tmp_path, declared=GREY)
    np.testing.assert_array_equal(data.images, images)
    assert data.labels.shape == (6,)
    assert data.digests == {"data": sha256_hex((tmp_path / "data.npz").read_bytes())}


@given(st.floats(-100, 100, width=32), st.floats(0.0625, 200, width=32))
@settings(max_examples=50, deadline=None)
def test_bytes_span_the_declared_range(low, length):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    declared = InputConfig(shape=(1, 1, 256), range=(low, low + length))
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_npz(folder, np.arange(256, dtype=np.uint8).reshape(1, 1, 1, 256))
        values = load_images(NPZ, root=folder, declared=declared).images.ravel()
    assert values.min() >= np.float32(low)
    assert values.max() <= np.float32(low + length)
    np.testing.assert_allclose(values, low + np.arange(256) / 255 * length, atol=3e-7 * max(abs(low), length) * 4)
    assert (np.diff(values) > 0).all()


def test_float64_and_fortran_order_are_taken(tmp_path):
    images = np.asfortranarray(float_images().astype(np.float64))
    save_npz(tmp_path, images)
    np.testing.assert_allclose(load_images(NPZ, root=tmp_path, declared=GREY).images, images, atol=1e-7)


def test_image_folder_numbers_classes_in_sorted_order(tmp_path):
    for name, value in (("b", 200), ("a", 100)):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("L", (5, 4), value).save(tmp_path / "set" / name / "one.png")
    (tmp_path / "set" / ".DS_Store").write_bytes(b"x")
    data = load_images(DataSource(path="set"), root=tmp_path, declared=GREY)
    assert data.labels.tolist() == [0, 1]
    np.testing.assert_allclose(data.images[:, 0, 0, 0], np.array([100, 200]) / 255, atol=1e-7)


def test_image_folder_follows_the_models_labels(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (5, 4), (255, 0, 51)).save(tmp_path / "set" / name / "one.png")
    source = DataSource(path="set")
    data = load_images(source, root=tmp_path, declared=COLOUR, names=("dog", "cat"))
    assert sorted(data.labels.tolist()) == [0, 1]
    assert data.labels.tolist() == [1, 0]  # folders are read in sorted order: cat, dog
    np.testing.assert_allclose(data.images[0, :, 0, 0], [1, 0, 0.2], atol=1e-6)
    assert data.digests["data"] == digest_inputs({"data": tmp_path / "set"})["data"]
    refused(tmp_path, source, COLOUR, match="not among the model's labels", names=("dog", "bird"))


def test_image_folder_refuses_what_it_cannot_take(tmp_path):
    source, folder = DataSource(path="set"), tmp_path / "set"
    (folder / "a").mkdir(parents=True)
    refused(tmp_path, source, match="1 class folders")
    (folder / "b").mkdir()
    refused(tmp_path, source, match="holds no image")
    Image.new("L", (6, 4)).save(folder / "a" / "wide.png")
    refused(tmp_path, source, match="6x4 pixels, input.shape says 5x4")
    (folder / "a" / "wide.png").write_bytes(b"not a picture")
    refused(tmp_path, source, match="no readable PNG")
    Image.new("L", (5, 4)).save(folder / "a" / "wide.png")
    whole = (folder / "a" / "wide.png").read_bytes()
    (folder / "a" / "wide.png").write_bytes(whole[:45])
    refused(tmp_path, source, match="damaged image")
    Image.new("I;16", (5, 4)).save(folder / "a" / "wide.png")
    refused(tmp_path, source, match="pixel mode I;16")
    refused(tmp_path, source, InputConfig(shape=(2, 4, 5)), match="2 channels")


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "bomb.png").write_bytes(bomb)
    refused(tmp_path, DataSource(path="set"), match=r"bomb\.png")


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (np.full((2, 1, 4, 5), np.nan, np.float32), "NaN or infinite.*row 0"),
        (np.full((2, 1, 4, 5), np.inf, np.float32), "NaN or infinite"),
        (np.full((2, 1, 4, 5), 255, np.float32), "run from 255 to 255, input.range says 0 to 1"),
        (np.full((2, 1, 4, 5), -0.1, np.float32), "input.range says 0 to 1"),
        (np.zeros((2, 1, 4, 6), np.float32), r"shape \[2, 1, 4, 6\], expected N x 1 x 4 x 5"),
        (np.zeros((2, 4, 5, 1), np.float32), "shape"),
        (np.zeros((2, 20), np.float32), "shape"),
        (np.zeros((2, 1, 4, 5), np.int64), "type int64, expected uint8"),
        (np.zeros((2, 1, 4, 5), bool), "type bool"),
        (np.zeros((0, 1, 4, 5), np.float32), "without values"),
        (np.array(0.5, np.float32), "shape"),
        (np.zeros((2, 1, 4, 5), np.complex64), "expected numbers"),
        (np.array([["a"]]), "expected numbers"),
    ],
)
def test_unusable_images_are_refused(tmp_path, images, match):
    save_npz(tmp_path, images, labels=np.array([0, 1]))
    refused(tmp_path, match=match)


def test_the_hint_says_how_to_rearrange(tmp_path):
    save_npz(tmp_path, np.zeros((2, 4, 5, 3), np.float32))
    assert "transpose(0, 3, 1, 2)" in refused(tmp_path, declared=COLOUR).hint
    save_npz(tmp_path, np.zeros((2, 60), np.float32))
    assert "reshape(-1, 3, 4, 5)" in refused(tmp_path, declared=COLOUR).hint


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.array([0, 1, -1, 0, 0, 0]), "row 2 has the label -1"),
        (np.array([0.0, 1, 2, 0, 0, 0]), "type float64, expected integers"),
        (np.array([0, 1]), "6 images and 2 labels"),
        (np.eye(6, dtype=np.int64), "shape"),
        (np.array([2**63, 0, 0, 0, 0, 0], dtype=np.uint64), "row 0 has the label 9223372036854775808"),
        (np.array(["a"] * 6), "expected numbers"),
    ],
)
def test_unusable_labels_are_refused(tmp_path, labels, match):
    save_npz(tmp_path, float_images(), labels=labels)
    refused(tmp_path, match=match)


def test_labels_beyond_the_models_outputs_are_refused(tmp_path):
    save_npz(tmp_path, float_images())
    data = load_images(NPZ, root=tmp_path, declared=GREY)
    require_classes(data.labels, 3)
    with pytest.raises(InputError, match=r"row 2 has the label 2, but the model has 2 outputs"):
        require_classes(data.labels, 2)


def test_objects_are_never_unpickled(tmp_path):
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    np.savez(tmp_path / "data.npz", images=np.array([Payload()], dtype=object), labels=np.array([0]))
    refused(tmp_path, match="holds Python objects")
    save_pair(tmp_path, npy(np.array([Payload()], dtype=object), allow_pickle=True), npy(np.array([0])))
    refused(tmp_path, PAIR, match="holds Python objects")
    assert not marker.exists()


def test_missing_empty_and_strange_files_are_refused(tmp_path):
    refused(tmp_path, match=r"data: .*data\.npz")
    (tmp_path / "data.npz").write_bytes(b"")
    refused(tmp_path, match="is empty")
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 something else")
    refused(tmp_path, match="not a readable npz")
    (tmp_path / "data.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert refused(tmp_path, match="git-lfs pointer").hint == "run git lfs pull"
    (tmp_path / "data.npz").unlink()
    import os

    os.mkfifo(tmp_path / "data.npz")
    refused(tmp_path, match="pipe")


def test_a_file_that_changed_since_it_was_hashed_is_refused(tmp_path):
    save_npz(tmp_path, float_images())
    refused(tmp_path, match="changed", expected={"data": "0" * 64})


def test_the_arrays_there_are_named_when_one_is_missing(tmp_path):
    np.savez(tmp_path / "data.npz", x_test=np.zeros(3), y_test=np.zeros(3))
    error = refused(tmp_path, match="no array named 'images'; there are: x_test, y_test")
    assert "images_key" in error.hint


def test_two_members_of_one_name_are_refused(tmp_path):
    save_npz(tmp_path, float_images())
    with zipfile.ZipFile(tmp_path / "data.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("images.npy", npy(float_images()))
    refused(tmp_path, match="more than one array named 'images'")


@pytest.mark.parametrize("pack", [idx, npy, lambda array: gzip.compress(idx(array))], ids=["idx", "npy", "idx.gz"])
@pytest.mark.parametrize("cut", [1, 5, 9, 15, -1])
def test_truncated_files_are_refused(tmp_path, pack, cut):
    save_pair(tmp_path, pack(bytes_images())[:cut], pack(np.zeros(6, np.uint8)))
    refused(tmp_path, PAIR)


@pytest.mark.parametrize("pack", [idx, npy, lambda array: gzip.compress(idx(array))], ids=["idx", "npy", "idx.gz"])
def test_trailing_bytes_are_refused(tmp_path, pack):
    save_pair(tmp_path, pack(bytes_images()) + b"\0\0\0", pack(np.zeros(6, np.uint8)))
    if pack is idx or pack is npy:
        refused(tmp_path, PAIR)
    else:  # zeros after a gzip member are padding that gzip itself allows
        assert len(load_images(PAIR, root=tmp_path, declared=GREY)) == 6


def test_wrong_magic_numbers_are_named(tmp_path):
    save_pair(tmp_path, b"\x00\x00\x0a\x03" + bytes(20), idx(np.zeros(6, np.uint8)))
    refused(tmp_path, PAIR, match="magic number 0x00000a03")
    save_pair(tmp_path, b"GIF89a..", idx(np.zeros(6, np.uint8)))
    refused(tmp_path, PAIR, match="begins with 47 49 46")
    save_pair(tmp_path, gzip.compress(b"hello world"), idx(np.zeros(6, np.uint8)))
    refused(tmp_path, PAIR, match="magic number")


def test_promises_are_checked_before_memory_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(_arrays, "MAX_ARRAY_BYTES", 1000)
    huge = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    save_pair(tmp_path, huge, idx(np.zeros(6, np.uint8)))
    refused(tmp_path, PAIR, match="the limit is 1000")
    save_pair(tmp_path, gzip.compress(huge), idx(np.zeros(6, np.uint8)))
    refused(tmp_path, PAIR, match="the limit is 1000")
    save_npz(tmp_path, np.zeros((100, 1, 4, 5), np.float32))
    refused(tmp_path, match="the limit is 1000")


def test_a_gzip_bomb_stops_at_the_promised_size(tmp_path):
    lying = gzip.compress(idx(bytes_images()) + bytes(50_000_000))
    save_pair(tmp_path, lying, idx(np.zeros(6, np.uint8)))
    refused(tmp_path, PAIR, match="more data than its header says")
    boasting = gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 1000, 1000, 1000))
    save_pair(tmp_path, boasting, idx(np.zeros(6, np.uint8)))
    refused(tmp_path, PAIR, match="cannot hold")


def test_a_forged_npy_header_is_refused(tmp_path):
    whole = npy(float_images())
    for old, new in ((b"(6, 1, 4, 5)", b"(-6, 1, 4, 5)"), (b"(6, 1, 4, 5)", b"(9, 9, 9, 9)"), (b"'<f4'", b"__im'")):
        save_pair(tmp_path, whole.replace(old, new), npy(np.zeros(6, np.int64)))
        refused(tmp_path, PAIR)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=6), st.sampled_from(["npy", "idx", "npz"]))
@settings(max_examples=200, deadline=None)
def test_damage_gives_an_input_error_or_samples_in_range(position, garbage, kind):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        folder = Path(name)
        if kind == "npz":
            save_npz(folder, bytes_images())
            target, source = folder / "data.npz", NPZ
        else:
            pack = npy if kind == "npy" else idx
            save_pair(folder, pack(bytes_images()), pack(np.zeros(6, np.uint8)))
            target, source = folder / "images", PAIR
        whole = bytearray(target.read_bytes())
        position %= len(whole)
        whole[position : position + len(garbage)] = garbage
        target.write_bytes(bytes(whole))
        try:
            data = load_images(source, root=folder, declared=GREY)
        except InputError as error:
            assert error.hint  # noqa: PT017 - either way is right
        else:
            assert data.images.min() >= 0
            assert data.images.max() <= 1


def test_a_shape_that_is_no_image_is_refused(tmp_path):
    save_npz(tmp_path, float_images())
    refused(tmp_path, declared=InputConfig(shape=(20,)), match=r"input.shape \[20\] is no image")
