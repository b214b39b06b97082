"""Real bundles for every test, and an environment in which nothing is written outside the temporary folder."""

import tempfile
from pathlib import Path

import hypothesis
import pytest
import tiny
from hypothesis.configuration import set_hypothesis_home_dir

from ganrt.bundle import write_bundle

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "ganrt-hypothesis")
hypothesis.settings.register_profile("ganrt", database=None, deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ganrt")


@pytest.fixture(scope="session")
def _cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, _cache):
    """No variable of the developer's reaches a test, and the cache lies in a temporary folder."""
    import os

    for name in [name for name in os.environ if name.startswith("GANRT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GANRT_CACHE_DIR", str(_cache))


@pytest.fixture(scope="session")
def tiny_files():
    """The class-conditional tiny generator as `write_bundle` takes it: `.manifest`, `.files`."""
    return tiny.make("conditional")


@pytest.fixture(scope="session")
def tiny_bundles(tmp_path_factory):
    """Every tiny generator, by name, as a .ganrt: conditional, uniform, infogan, one_hot, psi, audio, table."""
    folder = tmp_path_factory.mktemp("bundles")
    paths = {name: folder / f"{name}.ganrt" for name in tiny.SPECS}
    for name, path in paths.items():
        write_bundle(path, *tiny.make(name))
    return paths


@pytest.fixture(scope="session")
def tiny_bundle_path(tiny_bundles):
    """A .ganrt: class-conditional, z [n, 8], ten classes, uint8 [n, 6, 5, 1], truncation by threshold, goldens."""
    return tiny_bundles["conditional"]
