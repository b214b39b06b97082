"""ganrt: run a GAN generator fast, anywhere, with the same result.

>>> from ganrt import Generator
>>> Generator.load("digits").sample(4, seed=7).shape
(4, 28, 28, 1)

Importing this package loads nothing heavy: each name below comes with its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bundle import Bundle, bundled_names
    from .errors import (
        ArgumentError,
        BackendError,
        BackendUnavailable,
        BundleError,
        BundleNotFound,
        BusyError,
        CheckpointError,
        ClosedError,
        DataError,
        ExportError,
        FidelityError,
        FormatTooNew,
        GanrtError,
        IntegrityError,
        ManifestError,
        MissingExtra,
        NotABundle,
        OutputError,
        SpecError,
        TrainingError,
        UnsafeMember,
    )
    from .generator import Generator
    from .serving import BatchServer
    from .spec import Audio, Code, Image, Label, Latent, Signal, Spec, Table, Tensor, Truncation

__version__ = "0.1.0"

_HOME = {
    "bundle": ("Bundle", "bundled_names"),
    "errors": (
        "ArgumentError", "BackendError", "BackendUnavailable", "BundleError", "BundleNotFound", "BusyError",
        "CheckpointError", "ClosedError", "DataError", "ExportError", "FidelityError", "FormatTooNew", "GanrtError",
        "IntegrityError", "ManifestError", "MissingExtra", "NotABundle", "OutputError", "SpecError", "TrainingError",
        "UnsafeMember",
    ),
    "generator": ("Generator",),
    "serving": ("BatchServer",),
    "spec": ("Audio", "Code", "Image", "Label", "Latent", "Signal", "Spec", "Table", "Tensor", "Truncation"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "ArgumentError",
    "Audio",
    "BackendError",
    "BackendUnavailable",
    "BatchServer",
    "Bundle",
    "BundleError",
    "BundleNotFound",
    "BusyError",
    "CheckpointError",
    "ClosedError",
    "Code",
    "DataError",
    "ExportError",
    "FidelityError",
    "FormatTooNew",
    "GanrtError",
    "Generator",
    "Image",
    "IntegrityError",
    "Label",
    "Latent",
    "ManifestError",
    "MissingExtra",
    "NotABundle",
    "OutputError",
    "Signal",
    "Spec",
    "SpecError",
    "Table",
    "Tensor",
    "TrainingError",
    "Truncation",
    "UnsafeMember",
    "bundled_names",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'ganrt' has no attribute '{name}'")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    value.__module__ = __name__  # tracebacks say ganrt.BundleError, as users write it
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
