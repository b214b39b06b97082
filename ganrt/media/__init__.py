"""Arrays to files: pictures, films, sounds, tables.

Every file appears whole or not at all: it is written under a temporary name beside its target and then renamed.
Importing this package loads nothing heavy; each name comes with its module when it is first used.

>>> import numpy as np
>>> grid(np.zeros((6, 28, 28, 1), np.uint8), columns=3).shape
(226, 340, 1)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .array import write_array
    from .audio import write_audio
    from .image import enlarge, grid, write_image
    from .table import write_table
    from .video import write_video
    from .writer import Writer, choose_writer

_MODULE_OF = {
    "Writer": "writer",
    "enlarge": "image",
    "grid": "image",
    "choose_writer": "writer",
    "write_array": "array",
    "write_audio": "audio",
    "write_image": "image",
    "write_table": "table",
    "write_video": "video",
}

__all__ = [
    "Writer",
    "choose_writer",
    "enlarge",
    "grid",
    "write_array",
    "write_audio",
    "write_image",
    "write_table",
    "write_video",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'ganrt.media' has no attribute '{name}'")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    value.__module__ = __name__  # tracebacks say ganrt.media.grid, as users write it
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
