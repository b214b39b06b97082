"""`ganrt augment`: a labelled folder filled up with generated pictures, and every input that must be refused."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganrt import Bundle, Generator
from ganrt.cli import main
from ganrt.errors import ArgumentError, DataError, OutputError
from ganrt.spec import Label
from ganrt_export.augment import MANIFEST, Manifest, check_output, fill_up, match, plan
from ganrt_export.labelled_folder import LabelledFolder, read_folder

COUNTS = {"cat": 5, "dog": 2, "owl": 1}


def picture(mode: str = "RGB", size: tuple[int, int] = (9, 7), seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def make_set(root: Path, counts: dict[str, int] = COUNTS, suffix: str = "png", **options: Any) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture(seed=number, **options).save(root / name / f"{number}.{suffix}")
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


def pixels(file: Path) -> Any:
    with Image.open(file) as opened:
        return np.asarray(opened)


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    return make_set(tmp_path / "animals")


@pytest.fixture(scope="session")
def zoo(tiny_bundles: dict[str, Path]) -> Path:
    """A bundle of cat, dog and owl: uint8 [n, 3, 4, 3]."""
    return tiny_bundles["one_hot"]


def augment(*words: object) -> int:
    return main(["augment", *map(str, words), "--backend", "onnxruntime", "--threads", "1"])


def test_every_class_gets_as_many_pictures_as_the_largest_has(
    zoo: Path, animals: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before, output = contents(animals), tmp_path / "full"
    assert augment(zoo, "--data", animals, "-o", output) == 0
    assert contents(animals) == before
    after = contents(output)
    assert {name: after[name] for name in before} == before
    added = sorted(after.keys() - before.keys())
    assert added == [
        *(f"dog/generated-tiny-one_hot-seed0-{index:06}.png" for index in range(3)),
        MANIFEST,
        *(f"owl/generated-tiny-one_hot-seed0-{index:06}.png" for index in range(3, 7)),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["animals", "full"]
    shown = capfd.readouterr().out
    assert "8 real pictures copied, 7 generated, listed in generated.json" in shown


def test_the_manifest_says_how_each_generated_picture_is_made_again(zoo: Path, tmp_path: Path) -> None:
    animals, output = make_set(tmp_path / "animals", size=(4, 3)), tmp_path / "full"
    assert augment(zoo, "--data", animals, "-o", output, "--seed", 7) == 0
    manifest = msgspec.json.decode((output / MANIFEST).read_bytes(), type=Manifest)
    assert (manifest.bundle, manifest.digest) == ("tiny-one_hot", Bundle.open(zoo).digest)
    assert [(row.folder, row.label) for row in manifest.files] == [("dog", 1)] * 3 + [("owl", 2)] * 4
    with Generator.load(zoo, backend="onnxruntime") as generator:
        for row in manifest.files:
            again = generator.sample(1, seed=manifest.seed, start=row.index, label=row.label)[0]
            np.testing.assert_array_equal(pixels(output / row.file), again)


def test_no_two_generated_pictures_share_a_latent(zoo: Path, animals: Path) -> None:
    shares = plan(Bundle.open(zoo), read_folder(animals), per_class=20)
    indices = [index for share in shares for index in range(share.start, share.start + share.generated)]
    assert len(set(indices)) == len(indices) == 3 * 20 - 8


@given(st.dictionaries(st.sampled_from(["cat", "dog", "owl"]), st.integers(1, 50), min_size=1), st.integers(1, 60))
def test_after_filling_up_no_class_has_fewer_than_asked_and_none_has_lost_a_picture(
    zoo: Path, counts: dict[str, int], per_class: int
) -> None:
    folder = LabelledFolder(Path("set"), counts, None, grey=True, suffix=".png", files=(), others=())
    if min(counts.values()) >= per_class:
        with pytest.raises(ArgumentError, match="Nothing is lacking"):
            plan(Bundle.open(zoo), folder, per_class)
        return
    added = {share.folder: share.generated for share in plan(Bundle.open(zoo), folder, per_class)}
    assert {name: real + added.get(name, 0) for name, real in counts.items()} == {
        name: max(real, per_class) for name, real in counts.items()
    }


@pytest.mark.parametrize(
    ("mode", "suffix", "size", "shape"),
    [
        ("RGB", "png", (9, 7), (7, 9, 3)),
        ("L", "png", (8, 8), (8, 8)),
        ("1", "png", (5, 6), (6, 5)),
        ("P", "png", (5, 6), (6, 5, 3)),
        ("RGB", "jpg", (16, 12), (12, 16, 3)),
        ("L", "JPEG", (16, 12), (12, 16)),
        ("L", "bmp", (6, 6), (6, 6)),
    ],
)
def test_generated_pictures_have_the_size_the_colour_and_the_file_type_of_the_set(
    zoo: Path, tmp_path: Path, mode: str, suffix: str, size: tuple[int, int], shape: tuple[int, ...]
) -> None:
    animals = make_set(tmp_path / "animals", {"cat": 2, "dog": 1}, suffix, mode=mode, size=size)
    assert augment(zoo, "--data", animals, "-o", tmp_path / "full") == 0
    (made,) = (tmp_path / "full" / "dog").glob("generated-*")
    assert pixels(made).shape == shape
    assert made.suffix == {"bmp": ".png", "JPEG": ".jpeg"}.get(suffix, f".{suffix}")


def test_where_real_pictures_differ_in_size_generated_ones_keep_their_own(zoo: Path, tmp_path: Path) -> None:
    animals = make_set(tmp_path / "animals", {"cat": 2, "dog": 1})
    picture(size=(20, 30)).save(animals / "cat" / "large.png")
    assert augment(zoo, "--data", animals, "-o", tmp_path / "full") == 0
    for made in (tmp_path / "full" / "dog").glob("generated-*"):
        assert pixels(made).shape == (3, 4, 3)


def test_a_grey_generator_fills_up_a_coloured_set_in_grey(tiny_bundle_path: Path, tmp_path: Path) -> None:
    numbers = make_set(tmp_path / "numbers", {"0": 2, "9": 1})
    assert augment(tiny_bundle_path, "--data", numbers, "-o", tmp_path / "full") == 0
    (made,) = (tmp_path / "full" / "9").glob("generated-*")
    shown = pixels(made)
    assert shown.shape == (7, 9, 3)
    assert (shown == shown[..., :1]).all()


def test_links_lead_to_the_real_pictures(zoo: Path, animals: Path, tmp_path: Path) -> None:
    assert augment(zoo, "--data", animals, "-o", tmp_path / "full", "--link") == 0
    for number in range(5):
        link = tmp_path / "full" / "cat" / f"{number}.png"
        assert link.readlink() == animals / "cat" / f"{number}.png"
    assert not any(file.is_symlink() for file in (tmp_path / "full").rglob("generated*"))


def test_what_is_no_picture_comes_along_uncounted_and_hidden_files_stay(
    zoo: Path, animals: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (animals / "cat" / "notes.txt").write_text("a cat")
    (animals / "dog" / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (animals / "readme.md").write_text("animals")
    (animals / "cat" / ".DS_Store").write_text("x")
    (animals / ".hidden").mkdir()
    picture().save(animals / ".hidden" / "0.png")
    assert augment(zoo, "--data", animals, "-o", tmp_path / "full") == 0
    assert "3 other files came along uncounted" in capfd.readouterr().err
    after = contents(tmp_path / "full")
    assert {"cat/notes.txt", "dog/damaged.png", "readme.md"} <= after.keys()
    assert not any("/." in f"/{name}" for name in after)
    assert len([name for name in after if name.startswith("dog/generated-")]) == 3


LABEL = Label(classes=3, names=("lung-left", "Lung Right", "heart"))


def labelled(*names: str) -> LabelledFolder:
    return LabelledFolder(Path("set"), dict.fromkeys(names, 1), None, grey=True, suffix=".png", files=(), others=())


@pytest.mark.parametrize(
    ("name", "mapping", "label"),
    [
        ("heart", {}, 2),
        ("HEART", {}, 2),
        ("lung left", {}, 0),
        ("lung_right", {}, 1),
        ("x", {"x": "heart"}, 2),
        ("x", {"x": "1"}, 1),
        ("heart", {"heart": "lung-left"}, 0),
    ],
)
def test_folders_and_classes_match_by_name_or_as_told(name: str, mapping: dict[str, str], label: int) -> None:
    assert match(labelled(name), [name], LABEL, mapping) == {name: label}


def test_a_name_is_preferred_to_one_that_is_merely_alike() -> None:
    twins = Label(classes=2, names=("A-1", "a 1"))
    assert match(labelled("a 1", "A-1", "a_1"), ["a 1", "A-1", "a_1"], twins, {}) == {"a 1": 1, "A-1": 0, "a_1": 0}


def test_classes_without_names_are_called_by_their_number() -> None:
    assert match(labelled("7"), ["7"], Label(classes=10), {}) == {"7": 7}


def test_a_number_is_not_taken_for_the_class_of_that_number() -> None:
    with pytest.raises(ArgumentError, match=r"The class '2' is unknown to the generator.*: --map '2=heart'"):
        match(labelled("2"), ["2"], LABEL, {})


def test_a_class_that_lacks_nothing_needs_no_counterpart(zoo: Path, tmp_path: Path) -> None:
    animals = make_set(tmp_path / "animals", {"wolf": 3, "dog": 1})
    assert augment(zoo, "--data", animals, "-o", tmp_path / "full") == 0
    assert len(list((tmp_path / "full" / "dog").iterdir())) == 3


def make(kind: str, here: Path) -> None:
    """The data of one dumb input, under `here`/data."""
    data = here / "data"
    match kind:
        case "nothing":
            pass
        case "file":
            data.write_text("x")
        case "empty":
            data.mkdir()
        case "flat":
            data.mkdir()
            picture().save(data / "0.png")
        case "divided":
            make_set(data, {"train": 2, "test": 1})
        case "strange":
            make_set(data, {"cat": 2, "wolf": 1})
        case "balanced":
            make_set(data, {"cat": 2, "dog": 2})
        case "full":
            make_set(data)
            (data / MANIFEST).write_text("{}")
        case _:
            make_set(data)


@pytest.mark.parametrize(
    ("kind", "bundle", "options", "code", "sentence"),
    [
        ("nothing", "one_hot", [], 1, "data does not exist; give a folder that has a sub-folder for each class."),
        ("file", "one_hot", [], 1, "data is a file; give a folder"),
        ("empty", "one_hot", [], 1, "data holds no pictures in sub-folders; put those of each class into"),
        ("flat", "one_hot", [], 1, "data holds no pictures in sub-folders"),
        ("divided", "one_hot", [], 1, "is divided into test, train, not into classes; give the part to train on"),
        ("full", "one_hot", [], 1, "data holds generated.json, so it has been filled up before"),
        (
            "balanced",
            "one_hot",
            [],
            2,
            "Nothing is lacking: in data each class has 2 or more; ask for more with --per-class.",
        ),
        ("set", "one_hot", ["--per-class", 1], 2, "Nothing is lacking: in data each class has 1 or more"),
        (
            "strange",
            "one_hot",
            [],
            2,
            "The class 'wolf' is unknown to the generator. The generator knows cat, dog, owl;",
        ),
        ("strange", "one_hot", [], 2, "data holds cat, wolf. Say which is which: --map 'wolf=cat'."),
        (
            "strange",
            "one_hot",
            ["--map", "wolf=lion"],
            2,
            "'wolf' cannot be 'lion'. The generator knows cat, dog, owl;",
        ),
        ("strange", "one_hot", ["--map", "wolf=3"], 2, "'wolf' cannot be '3'."),
        ("strange", "one_hot", ["--map", "lion=dog"], 2, "There is no folder 'lion' to map."),
        ("strange", "one_hot", ["--map", "wolf"], 2, "--map wolf is not FOLDER=CLASS, such as --map healthy=normal."),
        (
            "set",
            "uniform",
            [],
            2,
            "'tiny-uniform' is unconditional: it knows no classes, so it cannot fill up classes.",
        ),
        ("set", "audio", [], 2, "'tiny-audio' draws no pictures, so it cannot fill up classes."),
        ("set", "one_hot", ["--per-class", 0], 2, "Invalid value for '--per-class'"),
        ("set", "one_hot", ["--seed", -1], 2, "seed"),
        ("set", "one_hot", ["--truncation", 0.5], 2, "truncation"),
        ("set", "nosuch", [], 1, "nosuch"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_writes_nothing(
    kind: str,
    bundle: str,
    options: list[object],
    code: int,
    sentence: str,
    tiny_bundles: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make(kind, tmp_path)
    before = contents(tmp_path)
    assert augment(tiny_bundles.get(bundle, bundle), "--data", "data", "-o", "out", *options) == code
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Error: ")
    assert shown.err.count("\n") == 1
    assert sentence in shown.err
    assert contents(tmp_path) == before
    assert not Path("out").exists()


def test_the_new_folder_must_be_new_and_outside_the_old_one(animals: Path, tmp_path: Path) -> None:
    folder = read_folder(animals)
    check_output(tmp_path / "new", folder)
    for place, sentence in (
        (animals, "exists already; choose another name"),
        (animals / "cat" / "0.png", "exists already"),
        (animals / "new", "lies inside .*animals, which is left as it is"),
        (tmp_path / "nowhere" / "new", "nowhere does not exist; make it"),
    ):
        with pytest.raises(OutputError, match=sentence):
            check_output(place, folder)
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(OutputError, match="exists already"):
        check_output(tmp_path / "link", folder)


def test_a_full_disk_leaves_nothing_half_written(zoo: Path, animals: Path, tmp_path: Path) -> None:
    (animals / "cat" / "large.bin").write_bytes(bytes(200_000))
    before = contents(tmp_path)
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from ganrt.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["augment", zoo, "--data", animals, "-o", tmp_path / "full", "--backend", "onnxruntime"]
    done = subprocess.run(
        [sys.executable, "-c", limited, *map(str, words)], capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 1
    assert "large.bin could not be written: File too large. Make room, or write to another disk." in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(tmp_path) == before
    assert not (tmp_path / "full").exists()


def test_a_folder_that_cannot_be_renamed_into_place_is_removed(
    zoo: Path, animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = read_folder(animals)
    shares = plan(Bundle.open(zoo), folder)
    late = tmp_path / "full"

    def appear(files: int) -> None:
        late.mkdir(exist_ok=True)
        (late / "of another").touch()

    with (
        Generator.load(zoo, backend="onnxruntime") as generator,
        pytest.raises(OutputError, match=r"full could not be written: Directory not empty\. Choose another place\."),
    ):
        fill_up(generator, folder, shares, late, advance=appear)
    assert [path.name for path in late.iterdir()] == ["of another"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["animals", "full"]


@pytest.mark.parametrize("after", [1, 5, 9, 15])
def test_ctrl_c_leaves_nothing_behind(zoo: Path, animals: Path, tmp_path: Path, after: int) -> None:
    folder = read_folder(animals)
    shares, done, before = plan(Bundle.open(zoo), folder), 0, contents(tmp_path)

    def stop(files: int) -> None:
        nonlocal done
        done += files
        if done == after:
            raise KeyboardInterrupt

    with Generator.load(zoo, backend="onnxruntime") as generator, pytest.raises(KeyboardInterrupt):
        fill_up(generator, folder, shares, tmp_path / "full", advance=stop)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["animals"]


def test_a_file_that_vanishes_or_cannot_be_linked_is_named(
    zoo: Path, animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = read_folder(animals)
    shares = plan(Bundle.open(zoo), folder)

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    with Generator.load(zoo, backend="onnxruntime") as generator:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "symlink_to", refuse)
            with pytest.raises(OutputError, match=r"No link could be made here: Operation not permitted\. Leave out"):
                fill_up(generator, folder, shares, tmp_path / "full", link=True)
        (animals / "owl" / "0.png").unlink()
        with pytest.raises(DataError, match=r"owl/0\.png cannot be read: No such file or directory"):
            fill_up(generator, folder, shares, tmp_path / "full")
    assert not (tmp_path / "full").exists()


def test_neither_torch_nor_onnx_is_loaded(zoo: Path, animals: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from ganrt.cli import main; code = main(sys.argv[1:])\n"
        "sys.exit(code or ' '.join({'torch', 'onnx'} & sys.modules.keys()) or 0)"
    )
    words = ["augment", zoo, "--data", animals, "-o", tmp_path / "full", "--backend", "onnxruntime"]
    done = subprocess.run([sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
