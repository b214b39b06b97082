"""What a run leaves to look at: losses as a table, events and curves; samples as pictures and a film."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from ganrt.spec import Audio, Table
from ganrt.spec import Image as Picture
from ganrt_export.training.preview import pictures
from ganrt_export.training.record import Record


def rows(folder: Path) -> list[list[str]]:
    return [line.split(",") for line in (folder / "metrics.csv").read_text().split()]


def record(folder: Path, first: int, last: int) -> None:
    with Record(folder, first) as kept:
        for step in range(first, last):
            kept.losses(step, {"loss_d": step / 10, **({"penalty": 1.0} if step % 2 == 0 else {}), "loss_g": -step})


def test_the_first_steps_losses_are_the_columns_and_later_steps_may_lack_some(tmp_path: Path) -> None:
    record(tmp_path, 0, 3)
    assert rows(tmp_path)[0] == ["step", "loss_d", "penalty", "loss_g", "seconds"]
    assert [row[:-1] for row in rows(tmp_path)[1:]] == [
        ["1", "0", "1", "0"],
        ["2", "0.1", "", "-1"],
        ["3", "0.2", "1", "-2"],
    ]


@pytest.mark.parametrize("first", [0, 2, 5])
def test_what_came_after_the_checkpoint_is_forgotten_and_the_seconds_go_on(tmp_path: Path, first: int) -> None:
    record(tmp_path, 0, 5)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("6,0.5")  # a row that a crash cut short
    record(tmp_path, first, 7)
    assert [row[0] for row in rows(tmp_path)[1:]] == ["1", "2", "3", "4", "5", "6", "7"]
    seconds = [float(row[-1]) for row in rows(tmp_path)[1:]]
    assert seconds == sorted(seconds)


def events(folder: Path) -> list[Event]:
    """TensorBoard's records: length, its checksum, the event, its checksum."""
    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        data, at = file.read_bytes(), 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 8], "little")
            found.append(Event.FromString(data[at + 12 : at + 12 + size]))
            at += 16 + size
    return found


def test_tensorboard_gets_the_losses_of_every_tenth_step_and_the_samples(tmp_path: Path) -> None:
    record(tmp_path, 0, 25)
    with Record(tmp_path, 25) as kept:
        kept.samples(25, np.zeros((4, 8, 8, 1), np.uint8), None)
    values = {(event.step, value.tag): value for event in events(tmp_path) for value in event.summary.value}
    assert values[10, "loss_d"].simple_value == pytest.approx(0.9)
    assert values[20, "loss_g"].simple_value == -19
    assert values[25, "samples"].image.encoded_image_string.startswith(b"\x89PNG")
    assert {step for step, _ in values} == {10, 20, 25}


def test_samples_become_numbered_pictures_and_a_film_of_them(tmp_path: Path) -> None:
    with Record(tmp_path, 0) as kept:
        for steps in (5, 10, 1_000):
            kept.losses(steps, {"loss": 1.0})
            kept.samples(steps, np.full((6, 8, 8, 3), steps % 256, np.uint8), 3)
        kept.summary()
    assert [file.name for file in sorted((tmp_path / "samples").iterdir())] == [
        "000005.png",
        "000010.png",
        "001000.png",
    ]
    with Image.open(tmp_path / "samples.gif") as film, Image.open(tmp_path / "samples" / "000005.png") as sheet:
        assert (film.n_frames, film.size) == (3, sheet.size)


def test_curves_are_drawn_where_matplotlib_is_and_left_out_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, 0, 30)
    with Record(tmp_path, 30) as kept:
        kept.summary()
    with Image.open(tmp_path / "progress.png") as curves:
        assert curves.size == (1080, 600)
        assert len(set(np.asarray(curves.convert("RGB")).reshape(-1, 3)[::7].tobytes())) > 10
    (tmp_path / "progress.png").unlink()
    monkeypatch.setattr("ganrt_export.training.record.find_spec", lambda name: None)
    with Record(tmp_path, 30) as kept:
        kept.summary()
    assert not (tmp_path / "progress.png").exists()


def test_matplotlib_and_tensorboard_are_not_loaded_before_they_are_needed() -> None:
    program = (
        "import sys, ganrt_export.training.record; "
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'tensorboardX')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# Previews


def sound(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    shown = pictures(values[None, None], Audio(length=len(values), sample_rate=8_000))
    assert shown is not None
    return shown[0, :, :, 0]


def test_pictures_are_shown_as_their_graph_makes_them() -> None:
    raw = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    shown = pictures(raw, Picture(height=4, width=4, channels=1))
    assert shown is not None
    assert shown.reshape(-1).tolist() == [round(index * 17) for index in range(16)]


def test_a_sound_is_shown_as_its_waveform() -> None:
    silence = sound(np.zeros(1_000, np.float32))
    assert (silence > 0).sum(axis=0).tolist() == [1] * 160
    loud = sound(np.tile([1.0, -1.0], 500).astype(np.float32))
    assert (loud == 255).all()
    rising = sound(np.linspace(-1, 1, 1_000, dtype=np.float32))
    assert rising[:, 0].argmax() > rising[:, -1].argmax()


def test_a_table_is_nothing_to_look_at() -> None:
    assert pictures(np.zeros((3, 2), np.float32), Table(columns=("a", "b"))) is None


@pytest.mark.skipif(sys.platform == "win32", reason="limits and signals are POSIX's")
@pytest.mark.parametrize(("names", "full"), [(["loss"], "metrics.csv"), (["n" * 80 + str(i) for i in range(20)], "ev")])
def test_a_full_disk_is_one_sentence_whatever_did_not_fit(tmp_path: Path, names: list[str], full: str) -> None:
    program = (
        "import resource, signal, sys; from pathlib import Path; from ganrt.errors import OutputError\n"
        "from ganrt_export.training.record import Record\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "try:\n"
        "    with Record(Path(sys.argv[1]), 0) as kept:\n"
        "        for step in range(9_000): kept.losses(step, dict.fromkeys(sys.argv[2:], 1.0))\n"
        "except OutputError as problem: print(problem)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path} could not be written: File too large. Make room, or choose another disk")
    assert done.stderr == ""
    largest = max((file.stat().st_size, file.name) for file in tmp_path.iterdir())
    assert largest[1].startswith(full)
