"""How good is a generator? Measured, with the error of each figure, the features it was measured in, and real pictures
measured the same way beside it.

subject.py      what is judged by what          data.py, samples.py   real pictures, and a generator's
features/       the networks to measure in      run.py                draw, embed, compare
frechet.py, kernel.py, manifold.py, modes.py, copies.py     the figures, one file a kind
results.py, compare.py, notes.py, table.py, figure.py, page.py     what is told of them
"""

from .run import Exhibit, evaluate
from .subject import Plan

__all__ = ["Exhibit", "Plan", "evaluate"]
