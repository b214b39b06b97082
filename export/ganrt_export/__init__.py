"""The build side of ganrt: train or load a PyTorch generator, turn it into one bundle. Needs ganrt[export]."""

from importlib.util import find_spec

from ganrt.errors import MissingExtra

if find_spec("torch") is None:
    raise MissingExtra("ganrt_export needs PyTorch; install it with: pip install 'ganrt[export]'")
