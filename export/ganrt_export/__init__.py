"""The build side of ganrt: train or load a PyTorch generator, turn it into one bundle. Needs ganrt[export].

>>> from ganrt_export import export_generator
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ganrt.errors import MissingExtra

if find_spec("torch") is None:
    raise MissingExtra("ganrt_export needs PyTorch; install it with: pip install 'ganrt[export]'")

if TYPE_CHECKING:
    from .export import export_generator

__all__ = ["export_generator"]


def __getattr__(name: str) -> Any:
    if name != "export_generator":
        raise AttributeError(f"module 'ganrt_export' has no attribute '{name}'")
    from .export import export_generator  # torch and onnx, seconds

    return export_generator
