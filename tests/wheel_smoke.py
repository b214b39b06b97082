"""Run by `make wheel` in an environment that holds the wheel and ONNX Runtime alone: what a new user gets."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import ganrt

assert "site-packages" in ganrt.__file__, f"the wheel is not what was imported: {ganrt.__file__}"
for build_side in ("torch", "onnx", "openvino", "hypothesis"):
    assert importlib.util.find_spec(build_side) is None, f"{build_side} must not come with ganrt[cpu]"

with ganrt.Generator.load("digits") as digits:
    images = digits.sample(4, seed=7, label="seven")
assert images.shape == (4, 28, 28, 1)
assert images.std() > 20

ganrt_command = Path(sys.executable).with_name("ganrt")
help_text = subprocess.run([ganrt_command, "--help"], capture_output=True, text=True, check=True).stdout
assert "train" in help_text
train = subprocess.run([ganrt_command, "train", "cgan", "-o", "x.ganrt"], capture_output=True, text=True, check=False)
assert train.returncode == 1, train
assert "ganrt[export]" in train.stderr, train.stderr
assert "Traceback" not in train.stderr, train.stderr
print("wheel: imports, samples, and says what to install for training")
