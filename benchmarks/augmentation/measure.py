"""Runs the comparison and prints it; see the package."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import t as student

from benchmarks.runner import machine
from ganrt import cache
from ganrt.cli import main as ganrt
from ganrt_export.training.datasets import LabelledImages, fetch_mnist, mnist
from ganrt_export.training.judge import JudgeSettings, features, recognised, train_classifier
from ganrt_export.training.loop import train
from ganrt_export.training.recipe import provenance
from ganrt_export.training.recipes import medical

ARMS = ("real", "repeated", "generated")
RATIO = 20  # a frequent class has so many times the pictures of a rare one
CLASSIFIER_STEPS = 500


@dataclass(frozen=True)
class Question:
    """A data set, and what is made rare in it; `frequent` None leaves it as it is. Images are uint8 [n, 28, 28]."""

    names: tuple[str, ...]
    rare: tuple[int, ...]
    frequent: int | None  # pictures of each class that is not rare
    training: LabelledImages
    test: LabelledImages


def digits(data: Path | None) -> Question:
    source = data or fetch_mnist(cache.folder() / "data")
    return Question(tuple("0123456789"), (5, 6, 7, 8, 9), 500, mnist(source, "train"), mnist(source, "test"))


def chest(data: Path | None, frequent: int | None = 1_000) -> Question:
    if data is None:
        raise SystemExit("chest needs --data: an .npz with the arrays of PneumoniaMNIST")
    with np.load(data, allow_pickle=False) as arrays:
        parts = [
            LabelledImages(arrays[f"{part}_images"], arrays[f"{part}_labels"].reshape(-1).astype(np.int64))
            for part in ("train", "test")
        ]
    return Question(("normal", "pneumonia"), (0,), frequent, *parts)


def whole_chest(data: Path | None) -> Question:
    return chest(data, frequent=None)


QUESTIONS = {"digits": digits, "chest": chest, "whole-chest": whole_chest}


def subset(question: Question, seed: int) -> LabelledImages:
    if question.frequent is None:
        return question.training
    draws = np.random.default_rng(seed)
    chosen = [
        draws.choice(
            np.flatnonzero(question.training.labels == label),
            question.frequent // RATIO if label in question.rare else question.frequent,
            replace=False,
        )
        for label in range(len(question.names))
    ]
    places = np.concatenate(chosen)
    return LabelledImages(question.training.images[places], question.training.labels[places])


def write_folder(images: LabelledImages, names: Sequence[str], folder: Path) -> None:
    for index, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        place = folder / names[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index:05}.png")


def read_folder(folder: Path, names: Sequence[str]) -> LabelledImages:
    files = [(file, label) for label, name in enumerate(names) for file in sorted((folder / name).glob("*.png"))]
    return LabelledImages(
        np.stack([np.asarray(Image.open(file)) for file, _ in files]), np.array([label for _, label in files])
    )


def repeated(images: LabelledImages) -> LabelledImages:
    """Pictures of the smaller classes again and again, until each class has as many as the largest."""
    most = np.bincount(images.labels).max()
    places = np.concatenate([np.resize(np.flatnonzero(images.labels == label), most) for label in set(images.labels)])
    return LabelledImages(images.images[places], images.labels[places])


def arms(question: Question, seed: int, folder: Path, settings: medical.Settings) -> dict[str, LabelledImages]:
    """The three training sets of one subset; its generator is trained, or found in `folder`."""
    real, filled, bundle = folder / "real", folder / "filled", folder / "generator.ganrt"
    images = subset(question, seed)
    if not real.exists():
        write_folder(images, question.names, real)
    if not bundle.exists():
        data = medical.Recipe.data(real, settings)
        torch.manual_seed(settings.seed)
        recipe = medical.Recipe(settings, data)
        generator = train(recipe, data, folder / "run")
        recipe.cpu().export(generator, bundle, provenance(recipe, data), lambda stage: None)
    if not filled.exists() and ganrt(["augment", str(bundle), "--data", str(real), "-o", str(filled)]):
        raise SystemExit("the folder could not be filled up; the reason is above")
    return {"real": images, "repeated": repeated(images), "generated": read_folder(filled, question.names)}


def judged(question: Question, images: LabelledImages, seed: int) -> dict[str, float]:
    """Balanced accuracy, and the mean over rare classes alone, of a classifier trained on `images`."""
    batch = 64
    epochs = max(1, round(CLASSIFIER_STEPS / math.ceil((len(images.labels) - 1) / batch)))
    how = JudgeSettings(epochs=epochs, batch=batch, ema_decay=0.98, seed=seed)
    classifier = train_classifier(images, how, classes=len(question.names))
    right = recognised(classifier, features(classifier, question.test.images), question.test.labels)
    by_class = [float(right[question.test.labels == label].mean()) for label in range(len(question.names))]
    return {
        "balanced": mean(by_class),
        "rare": mean(by_class[label] for label in question.rare),
        "accuracy": float(right.mean()),
    }


def runs(
    question: Question, folder: Path, subsets: int, seeds: int, settings: medical.Settings
) -> Iterator[dict[str, Any]]:
    """Each run of a classifier; those kept in `folder` are not made again."""
    for number in range(subsets):
        place = folder / f"subset{number}"
        kept = place / "runs.json"
        done: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
        if len(done) < seeds * len(ARMS):
            sets = arms(question, number, place, settings)
            for seed in range(seeds):
                for arm in ARMS:
                    if not any((run["seed"], run["arm"]) == (seed, arm) for run in done):
                        done.append({"subset": number, "seed": seed, "arm": arm, **judged(question, sets[arm], seed)})
                        kept.write_text(json.dumps(done, indent=1))
                        print(done[-1], flush=True)
        yield from done


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval by Student's t."""
    if len(values) < 2:
        return mean(values), math.inf
    return mean(values), float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def summary(every: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Lines: each arm's accuracies, then how much better generated pictures are; intervals over `subset` or `seed`."""
    unit = "subset" if len({run["subset"] for run in every}) > 1 else "seed"
    units = sorted({run[unit] for run in every})
    yield f"intervals over {len(units)} {unit}s"

    def of(arm: str, measure: str) -> NDArray[np.float64]:
        return np.array([mean(run[measure] for run in every if (run[unit], run["arm"]) == (one, arm)) for one in units])

    for measure in ("balanced", "rare", "accuracy"):
        for arm in ARMS:
            middle, half = interval(of(arm, measure).tolist())
            yield f"{measure:<9} {arm:<10} {middle:7.2%} +- {half:.2%}"
        for rival in ARMS[:2]:
            middle, half = interval((of("generated", measure) - of(rival, measure)).tolist())
            verdict = "better" if middle > half else "worse" if middle < -half else "no difference to be seen"
            yield f"{measure:<9} generated - {rival}: {middle * 100:+.2f} +- {half * 100:.2f} points: {verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augmentation.measure")
    parser.add_argument("question", choices=tuple(QUESTIONS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--subsets", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    for name, default in (("--steps", 4_000), ("--batch", 32), ("--width", 16)):
        parser.add_argument(name, type=int, default=default, help="of each generator's training")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    question = QUESTIONS[asked.question](asked.data)
    settings = medical.Settings(steps=asked.steps, batch=asked.batch, width=asked.width)
    every = list(runs(question, asked.folder, asked.subsets, asked.seeds, settings))
    lines = list(summary(every))
    print(*lines, sep="\n")
    result = {"benchmark": f"augmentation of {asked.question}", "machine": machine(), "runs": every, "summary": lines}
    (asked.folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
