"""The same with ganrt: bundle checked, engine chosen, one sample."""

import sys

from ganrt import Generator

image = Generator.load("digits", backend=sys.argv[1]).sample(seed=7, label=7)
print(image.mean(), flush=True)
