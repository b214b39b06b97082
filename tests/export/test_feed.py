"""The order of the data and the seeds of the steps: functions of seed and step, whatever was asked before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from training_case import Settings, pictures

from ganrt.errors import DataError
from ganrt_export.training.datasets import PictureFiles
from ganrt_export.training.feed import Order, feed, seed_of

SIZES = {
    "samples": st.integers(1, 40),
    "batch": st.integers(1, 16),
    "parts": st.integers(1, 3),
    "seed": st.integers(0, 9),
}


def indices(order: Order, step: int) -> list[int]:
    return order(step, torch.Generator().manual_seed(seed_of(order.settings.seed, step))).tolist()


@given(**SIZES)
def test_every_sample_comes_once_in_each_epoch(samples: int, batch: int, parts: int, seed: int) -> None:
    order = Order(samples, Settings(batch=batch, seed=seed), parts)
    steps = -(-3 * samples // (batch * parts))
    drawn = [index for step in range(steps) for index in indices(order, step)]
    for epoch in range(3):
        assert sorted(drawn[epoch * samples : (epoch + 1) * samples]) == list(range(samples))


@given(**SIZES, steps=st.lists(st.integers(0, 60), min_size=1, max_size=8), replacement=st.booleans())
def test_the_samples_of_a_step_do_not_depend_on_the_steps_before(
    samples: int, batch: int, parts: int, seed: int, steps: list[int], replacement: bool
) -> None:
    settings = Settings(batch=batch, seed=seed, replacement=replacement)
    order = Order(samples, settings, parts)
    for step in steps:
        assert indices(order, step) == indices(Order(samples, settings, parts), step)
        assert len(indices(order, step)) == batch * parts


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(indices(Order(30, Settings(batch=30, seed=seed), 1), epoch)) for seed in range(4) for epoch in range(4)
    }
    assert len(orders) == 16


def test_what_a_step_draws_depends_on_its_number_alone() -> None:
    def draws(first: int) -> dict[int, float]:
        found = {}
        for step, _ in feed(pictures(), Settings(steps=5), 1, first):
            found[step] = float(torch.rand(()))
            torch.rand(step)  # more or less, the next step does not notice
        return found

    whole = draws(0)
    assert len(set(whole.values())) == 5
    assert draws(3) == {3: whole[3], 4: whole[4]}


def test_a_step_gets_as_many_batches_as_it_has_turns_in_a_row() -> None:
    (_, batches), *_ = feed(pictures(), Settings(steps=1), 3, 0)
    assert [len(images) for images, labels in batches] == [4, 4, 4]
    assert [len(labels) for images, labels in batches] == [4, 4, 4]


@pytest.mark.parametrize("replacement", [False, True])
def test_files_decoded_ahead_come_in_the_same_order_as_pictures_in_memory(tmp_path: Path, replacement: bool) -> None:
    kept = pictures()
    files = []
    for number, image in enumerate(kept.images):
        files.append(tmp_path / f"{number:02}.png")
        Image.fromarray(image[0].numpy()).save(files[-1])
    decoded = PictureFiles(files, 4, 1, labels=kept.labels.numpy())
    settings = Settings(steps=5, replacement=replacement)
    for (step, one), (other_step, other) in zip(feed(kept, settings, 2, 1), feed(decoded, settings, 2, 1), strict=True):
        assert step == other_step
        for batch, other_batch in zip(one, other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(batch, other_batch, strict=True))


def test_a_file_that_vanishes_while_training_is_named_in_one_sentence(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for file in files:
        Image.new("L", (4, 4)).save(file)
    data = PictureFiles(files, 4, 1)
    files[1].unlink()
    with pytest.raises(DataError, match=r"^\S*1.png cannot be decoded: [^\n]*No such file[^\n]*$"):
        list(feed(data, Settings(steps=3), 1, 0))
