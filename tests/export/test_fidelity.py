"""The fidelity gate: what it measures, what it lets through, what it stops."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from ganrt import backends
from ganrt.errors import BackendUnavailable, FidelityError
from ganrt.latents import Draws
from ganrt.manifest import Bound
from ganrt.spec import Image, Latent, Spec
from ganrt_export.fidelity import SAMPLES, compare, drawn_pairs, fidelity, hold
from ganrt_export.pack import BOUNDS
from ganrt_export.reference import sample, to_pixels

SPEC = Spec(inputs=(Latent(size=2),), output=Image(height=2, width=2, channels=1))


def test_every_engine_here_is_measured_and_passes(exported) -> None:
    found = fidelity(exported.spec, exported.half_graph, drawn_pairs(exported.module, exported.spec))
    assert set(found) == {name for name in backends.UNASKED if backends.available(name)}
    for figures in found.values():
        assert figures.samples == SAMPLES >= 256
        assert figures.max_error < 1e-4
        assert figures.psnr_db > 100
        assert figures.max_step is not None
        assert figures.max_step <= 1
    hold(found, BOUNDS["fp32"])


def test_another_generator_does_not_pass(exported) -> None:
    changed = copy.deepcopy(exported.module)
    changed.by_z.mul_(1.2)
    with pytest.raises(FidelityError, match=r"not the same generator on .*: its output is .* dB from PyTorch's"):
        hold(fidelity(exported.spec, exported.graph, drawn_pairs(changed, exported.spec, samples=16)), BOUNDS["fp32"])


def test_without_an_engine_the_command_that_brings_one_is_named(exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "UNASKED", ())
    with pytest.raises(BackendUnavailable, match=r"pip install 'ganrt\[cpu\]'"):
        fidelity(exported.spec, exported.graph, drawn_pairs(exported.module, exported.spec, samples=16))


def test_the_figures_are_those_of_the_formulas() -> None:
    expected = np.zeros((2, 1, 2, 2), np.float32)
    raw = expected.copy()
    raw[0, 0, 0, 0] = 0.02  # of a range of 2: 2.55 of 255 steps
    figures = compare("an engine", SPEC, expected, raw, to_pixels(raw, SPEC.output))
    assert figures.max_error == pytest.approx(0.02)
    assert figures.psnr_db == pytest.approx(10 * np.log10(4 / (0.02**2 / 8)), abs=0.01)
    assert (figures.identical, figures.within_one) == (7 / 8, 7 / 8)
    assert figures.max_step == 2  # 128 and 130: 127.5 goes to the even one


def test_identical_output_is_200_db() -> None:
    raw = np.ones((1, 1, 2, 2), np.float32)
    assert compare("an engine", SPEC, raw, raw, to_pixels(raw, SPEC.output)).psnr_db == 200


@pytest.mark.parametrize(
    ("bound", "fault"),
    [
        (Bound(psnr_db=90.0), "dB are needed"),
        (Bound(psnr_db=10.0, max_step=1), "2 steps from PyTorch's, 1 are allowed"),
        (Bound(psnr_db=10.0, within_one=0.9), "87.50% of the pixels are within one step, 90.00% are needed"),
    ],
    ids=["psnr", "step", "share"],
)
def test_the_fault_is_named(bound: Bound, fault: str) -> None:
    expected = np.zeros((2, 1, 2, 2), np.float32)
    raw = expected.copy()
    raw[0, 0, 0, 0] = 0.02
    figures = compare("an engine", SPEC, expected, raw, to_pixels(raw, SPEC.output))
    with pytest.raises(FidelityError, match=fault):
        hold({"engine": figures}, bound)


def test_output_that_is_no_number_never_passes() -> None:
    expected = np.zeros((1, 1, 2, 2), np.float32)
    raw = np.full_like(expected, np.nan)
    figures = compare("an engine", SPEC, expected, raw, np.zeros((1, 2, 2, 1), np.uint8))
    with pytest.raises(FidelityError):
        hold({"engine": figures}, Bound(psnr_db=0.0))


def test_the_reference_does_not_depend_on_how_it_is_cut(exported) -> None:
    whole = sample(exported.module, Draws(exported.spec, 1, 0, 130))
    piece = sample(exported.module, Draws(exported.spec, 1, 100, 30))
    np.testing.assert_allclose(whole[100:], piece, rtol=0, atol=1e-6)
