"""Exact rewrites: the same function of the same inputs, computed in less time.

Each is a small file: its algebra, where it applies, what it puts there instead. None changes a number by more than
float32 rounding, and the pixels' way from the raw output stays the same to the bit.

    forms.py        a bundle's graph -> the other forms of it that are worth having
    values.py       what is known of a graph's values, constants behind casts and products included
    linear.py       layers that are linear in their data, and a scale and shift behind or before them
    carry.py        a scale and shift past reshapes, upsampling, ReLUs
    fold_affine.py  batch norms and constant scales into the layers around them
    repeats.py      every repetition of pixels as one kind of node
    pointwise.py    1 x 1 convolutions and elementwise work before upsampling
    upsampling.py   upsampling and convolution as one: ConvTranspose, or Conv and DepthToSpace
    enlarge.py      each such layer in the form chosen for it
    winograd.py     wide convolutions as matrix products of a quarter of the multiplications
    measure.py      which form of a layer runs fastest here, alone
    race.py         which whole graph does
    point_gemm.py   convolutions of one pixel as matrix products
    pixels.py       the way to uint8
    half.py         weights in half the bytes
    operations.py   how much a graph computes

Not here, because it is slower: StyleGAN2's blur joined to its transposed convolution (6 x 6 taps: exact, and 2 to 4
times slower on a CPU).
"""

from .forms import FormOfGraph, Mode, forms
from .operations import Operations, operations

__all__ = ["FormOfGraph", "Mode", "Operations", "forms", "operations"]
