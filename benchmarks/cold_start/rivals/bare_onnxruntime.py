"""The script that people write: numpy, onnxruntime, one run."""

import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
z = np.random.default_rng(7).standard_normal((1, 64), dtype=np.float32)
(image,) = session.run(["image"], {"z": z, "label": np.array([7])})
print(image.mean(), flush=True)
