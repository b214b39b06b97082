"""The machine, as ganrt sees it."""

import os
import subprocess
import sys

import pytest

from ganrt import environment


def test_a_processor_has_a_name_and_at_least_one_core():
    here = environment.processor()
    assert here.name
    assert 1 <= here.cores <= (os.cpu_count() or 1)


def test_cores_are_those_this_process_may_use():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no core affinity")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert environment.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", None)])
def test_a_containers_quota_is_rounded_up_to_cores(monkeypatch, quota, cores):
    monkeypatch.setattr(environment.Path, "read_text", lambda path: quota)
    assert environment._quota() == cores


def test_a_fingerprint_changes_with_the_module_and_is_none_without_it(tmp_path, monkeypatch):
    module = tmp_path / "some_engine.py"
    module.write_text("x = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    first = environment.fingerprint("some_engine")
    module.write_text("x = 22")
    assert first is not None
    assert environment.fingerprint("some_engine") != first
    assert "some_engine" not in sys.modules
    assert environment.fingerprint("no_such_engine") is None


def test_a_description_names_every_package_installed_or_not():
    packages = {package.name: package.version for package in environment.describe().packages}
    assert packages["numpy"] == __import__("numpy").__version__
    assert "tensorrt-rtx" in packages


def test_onnxruntime_reports_nothing_to_its_maker(tmp_path):
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "GANRT_CACHE_DIR": str(tmp_path / "ours")}
    code = "from ganrt import Generator; Generator.load('digits', backend='onnxruntime').sample(2)"
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run([sys.executable, "-c", code], env=environment | home, check=True)
    assert not [path for path in tmp_path.rglob("*") if "ours" not in path.parts and path.is_file()]
