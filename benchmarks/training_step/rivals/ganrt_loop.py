"""`ganrt_export.training.loop.train`, let go on by one step at each call."""

import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import torch

from ganrt_export.training import recipes
from ganrt_export.training.datasets.at_hand import prepare
from ganrt_export.training.loop import train


def make(n: int, name: str) -> Callable[[], object]:
    file, folder = recipes.find(name), Path(mkdtemp())
    settings = file.Settings(batch=n, steps=10**9)
    data = file.Recipe.data(prepare("digits", folder / "data"), settings)
    torch.manual_seed(0)
    recipe = file.Recipe(settings, data)
    go, done = threading.Semaphore(0), threading.Semaphore(0)

    def on_step(step: int, losses: object) -> None:
        done.release()
        go.acquire()

    loop = threading.Thread(target=train, args=(recipe, data, folder / "run"), kwargs={"on_step": on_step}, daemon=True)
    loop.start()
    done.acquire()

    def step() -> None:
        go.release()
        done.acquire()

    return step
