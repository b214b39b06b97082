"""Generator, as its user meets it."""

import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrt import ArgumentError, BackendError, Generator
from ganrt.backends import NAMES, available
from ganrt.latents import draw, draw_label

HERE = [name for name in NAMES if available(name)]


@pytest.fixture(scope="module", params=HERE)
def digits(request):
    with Generator.load("digits", backend=request.param) as generator:
        yield generator


@pytest.fixture(scope="module")
def engines():
    loaded = [Generator.load("digits", backend=name) for name in HERE]
    yield loaded
    for generator in loaded:
        generator.close()


def steps(a, b):
    """The largest difference in uint8 steps."""
    return int(np.abs(a.astype(np.int16) - b.astype(np.int16)).max())


def test_three_lines_give_pictures():
    images = Generator.load("digits").sample(16, seed=7)
    assert images.shape == (16, 28, 28, 1)
    assert images.dtype == np.uint8
    assert images.std() > 20


def test_repr_tells_backend_precision_and_output(digits):
    assert repr(digits) == f"<Generator 'digits': {digits.backend} fp32, uint8 [n x 28 x 28 x 1]>"


def test_the_choice_says_why():
    with Generator.load("digits") as generator:
        assert generator.backend in generator.reason


def test_float_output_is_the_networks_own_and_gives_the_same_picture(digits):
    raw = digits.sample(8, seed=1, output="float")
    assert raw.shape == (8, 1, 28, 28)
    assert raw.dtype == np.float32
    assert -1.000001 < raw.min() < raw.max() < 1.000001  # an engine rounds tanh in its own way
    picture = np.rint((raw + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
    assert steps(picture, digits.sample(8, seed=1)) <= 1


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_sample_depends_on_its_seed_and_index_alone(engines, data):
    seed = data.draw(st.integers(0, 2**64 - 1))
    start = data.draw(st.integers(0, 2**40))
    n = data.draw(st.integers(1, 12))
    batch = data.draw(st.integers(1, n))
    index = data.draw(st.integers(0, n - 1))
    whole = engines[0].sample(n, seed=seed, start=start)
    for generator in engines:
        streamed = np.concatenate(list(generator.stream(n, batch=batch, seed=seed, start=start)))
        assert steps(streamed, whole) <= 1
        assert steps(generator.sample(1, seed=seed, start=start + index), whole[index : index + 1]) <= 1


def test_seeds_and_indices_give_different_pictures(digits):
    images = np.concatenate([digits.sample(20, seed=seed) for seed in (0, 1, 2**64 - 1)])
    assert len({image.tobytes() for image in images}) == 60


def test_a_label_is_an_index_a_name_or_one_for_each_sample(digits):
    by_index = digits.sample(3, seed=5, label=7)
    assert (by_index == digits.sample(3, seed=5, label="seven")).all()
    assert (by_index == digits.sample(3, seed=5, label=[7, "seven", np.int64(7)])).all()
    assert (by_index != digits.sample(3, seed=5, label=1)).any()


def test_drawn_labels_are_those_of_the_latents_module(digits):
    labels = draw_label(digits.spec.label, 9, 0, 6)
    assert steps(digits.sample(6, seed=9), digits.sample(6, seed=9, label=labels)) <= 1


def test_less_truncation_is_more_variety(digits):
    spread = [
        digits.sample(64, seed=1, label=3, truncation=t).astype(float).std(axis=0).mean() for t in (0.3, 1.0, 4.0)
    ]
    assert spread == sorted(spread)
    assert spread[0] < spread[2] / 1.5


def test_stream_gives_what_sample_gives_in_pieces(digits):
    pieces = list(digits.stream(10, batch=4, seed=3))
    assert [len(piece) for piece in pieces] == [4, 4, 2]
    assert steps(np.concatenate(pieces), digits.sample(10, seed=3)) <= 1


def test_stream_holds_one_piece_at_a_time(digits):
    next(digits.stream(64, batch=64))
    tracemalloc.start()
    for _ in digits.stream(4096, batch=64):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 64 * 28 * 28 + (1 << 20)


def test_stream_refuses_bad_arguments_before_the_first_piece(digits):
    with pytest.raises(ArgumentError):
        digits.stream(10, label="eleven")


def test_a_walk_starts_and_ends_at_its_seeds(digits):
    walk = digits.interpolate(3, 11, frames=9, label=4)
    assert walk.shape == (9, 28, 28, 1)
    assert steps(walk[:1], digits.sample(1, seed=3, label=4)) <= 1
    assert steps(walk[-1:], digits.sample(1, seed=11, label=4)) <= 1


def test_a_walk_through_three_seeds_meets_the_middle_one(digits):
    walk = digits.interpolate(1, 2, 3, frames=5, label=0)
    assert steps(walk[2:3], digits.sample(1, seed=2, label=0)) <= 1


def test_a_walk_has_no_jumps(digits):
    walk = digits.interpolate(3, 11, frames=40, label=8).astype(float)
    moves = np.abs(np.diff(walk, axis=0)).mean(axis=(1, 2, 3))
    assert moves.max() < np.abs(walk[0] - walk[-1]).mean()


def test_threads_may_share_a_generator(digits):
    expected = {seed: digits.sample(5, seed=seed) for seed in range(8)}
    faults = []

    def work(seed):
        faults.extend(seed for _ in range(20) if steps(digits.sample(5, seed=seed), expected[seed]) > 1)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_results_belong_to_the_caller(digits):
    first = digits.sample(2, seed=1)
    kept = first.copy()
    digits.sample(2, seed=2)
    assert (first == kept).all()
    first[:] = 0  # writable, and nobody else's
    assert (digits.sample(2, seed=1) == kept).all()


def test_a_closed_generator_says_so_and_closing_twice_is_fine():
    generator = Generator.load("digits", backend=HERE[0])
    with generator:
        generator.sample()
    generator.close()
    assert repr(generator) == "<Generator 'digits', closed>"
    with pytest.raises(BackendError, match="is closed"), generator:
        pass
    with pytest.raises(BackendError, match="The generator 'digits' is closed; load it again"):
        generator.sample()


def test_warm_up_returns_the_generator(digits):
    assert digits.warm_up(3) is digits


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n": 0}, "n is 0; at least one sample must be asked for"),
        ({"n": -3}, "n is -3; it must be from 0 to"),
        ({"n": 2.0}, "n must be a whole number, not 2.0"),
        ({"n": True}, "n must be a whole number, not True"),
        ({"n": "4"}, "n must be a whole number, not '4'"),
        ({"n": None}, "n must be a whole number, not None"),
        ({"seed": -1}, "seed is -1; it must be from 0 to 18446744073709551615"),
        ({"seed": 2**64}, "seed is 18446744073709551616; it must be"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"start": -1}, "start is -1"),
        ({"label": 10}, "There is no label 10; this generator knows 0 to 9, or by name: zero, one"),
        ({"label": "ten"}, "There is no label 'ten'"),
        ({"label": True}, "There is no label True"),
        ({"n": 2, "label": [1, 2, 3]}, "label holds 3 labels for 2 samples"),
        ({"code": 3}, "This generator takes no code"),
        ({"truncation": 0}, "truncation is 0; this generator takes 0.3 to 4"),
        ({"truncation": float("nan")}, "truncation is nan"),
        ({"truncation": "0.5"}, "truncation is '0.5'"),
        ({"output": "int16"}, "output is 'int16'; this generator gives"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(digits, arguments, sentence):
    with pytest.raises(ArgumentError) as caught:
        digits.sample(**arguments)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"threads": 0}, "threads is 0; give a whole number from 1 to 1024"),
        ({"threads": "two"}, "threads is 'two'"),
        ({"precision": "fp8"}, "There is no precision 'fp8'; ganrt knows: auto, fp32"),
        ({"precision": "int8"}, "The bundle 'digits' holds no int8 graph; it has: fp32"),
        ({"backend": "cuda"}, "There is no backend 'cuda'"),
    ],
)
def test_bad_load_arguments_are_refused_in_one_sentence(arguments, sentence):
    with pytest.raises(ArgumentError) as caught:
        Generator.load("digits", **arguments)
    assert sentence in str(caught.value)


def test_batch_of_a_stream_must_be_positive(digits):
    with pytest.raises(ArgumentError, match="batch is 0; give a whole number from 1 up"):
        digits.stream(4, batch=0)


def test_numpy_integers_are_integers(digits):
    assert steps(digits.sample(np.int32(2), seed=np.uint64(5)), digits.sample(2, seed=5)) == 0


def test_more_than_memory_holds_is_one_sentence():
    with Generator.load("digits", backend="onnxruntime") as digits:
        with pytest.raises(ArgumentError, match="do not fit into memory; stream"):
            digits.sample(10**14)
        with pytest.raises(ArgumentError, match="a walk has from 2 to 1,000,000"):
            digits.interpolate(1, 2, frames=10**12)


def test_run_evaluates_the_graph_on_given_arrays(tiny_bundles):
    with Generator.load(tiny_bundles["conditional"]) as generator:
        z, label = draw(generator.spec.latents[0], 7, 0, 5), [3, 1, 4, 1, 5]
        outputs = generator.run({"z": z, "label": label})
        assert list(outputs) == ["image", "image_float"]
        expected = generator.sample(5, seed=7, label=label, output="float")
        np.testing.assert_allclose(outputs["image_float"], expected, atol=1e-6)
        by_position = generator.run((z.astype(np.float64), np.array(label)))
        np.testing.assert_array_equal(by_position["image"], outputs["image"])
        (pixels,) = generator.run({"z": z, "label": label}, outputs=["image"]).items()
        assert pixels[0] == "image"
        np.testing.assert_array_equal(pixels[1], outputs["image"])


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"z": np.zeros((2, 8))}, "The input 'label' is missing; this graph takes: z, label."),
        ({"z": np.zeros((2, 8)), "y": [1, 2]}, "There is no input 'y'; this graph takes: z, label."),
        ({"z": np.zeros((2, 7)), "label": [1, 2]}, r"The input 'z' has the shape \(2, 7\); the graph takes \[n, 8\]."),
        ({"z": np.zeros((2, 8)), "label": [1.0, 2]}, "The input 'label' is float64; the graph takes int64."),
        ({"z": np.zeros((2, 8)), "label": [1]}, "must have the same batch, .*: z 2, label 1."),
        ({"z": "noise", "label": [1]}, "The input 'z' is <U5; the graph takes float32."),
        ([np.zeros((2, 8))], "a mapping with an array for each of: z, label; or all of them in that order."),
    ],
)
def test_run_says_what_is_wrong_with_its_inputs(tiny_bundles, inputs, sentence):
    with Generator.load(tiny_bundles["conditional"]) as generator, pytest.raises(ArgumentError, match=sentence):
        generator.run(inputs)


@pytest.mark.parametrize("outputs", [[], ["picture"]])
def test_run_says_which_outputs_there_are(tiny_bundles, outputs):
    with (
        Generator.load(tiny_bundles["conditional"]) as generator,
        pytest.raises(ArgumentError, match=r"outputs is .*; this graph gives: image, image_float\."),
    ):
        generator.run([np.zeros((2, 8)), [1, 2]], outputs=outputs)
