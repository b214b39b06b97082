"""Everything that can go wrong, in one tree.

    GanrtError
      ArgumentError          an argument out of range or of the wrong kind; also a ValueError
      SpecError              a spec that contradicts itself or its graph; also a ValueError
      BundleError            a bundle that cannot be used
        BundleNotFound       there is no such file, folder or bundled name
        NotABundle           the file is something else, or is damaged beyond reading
        ManifestError        manifest.json is not what the format says
        FormatTooNew         written by a newer ganrt
        UnsafeMember         a member that could reach outside the bundle: a link, `..`, an absolute path
        IntegrityError       a member is missing, unlisted, of another size, or fails its digest
      BackendError           an engine that cannot be had, or that failed
        BackendUnavailable   not installed or not usable on this machine
      BusyError              a server has more waiting than it may; ask again later
      ClosedError            a server was closed before it came to a request
      FidelityError          an engine whose output is not the reference output
      OutputError            a result could not be written
      MissingExtra           an optional package is not installed
      DataError              training data that is missing or unusable
      CheckpointError        a checkpoint that is missing, unsafe to read, or not this network's
      ExportError            a module that cannot be exported
      TrainingError          training cannot go on

Each message is one or two plain sentences: what was asked, what is wrong, what to do. The cause is chained.
"""

__all__ = [
    "ArgumentError",
    "BackendError",
    "BackendUnavailable",
    "BundleError",
    "BundleNotFound",
    "BusyError",
    "CheckpointError",
    "ClosedError",
    "DataError",
    "ExportError",
    "FidelityError",
    "FormatTooNew",
    "GanrtError",
    "IntegrityError",
    "ManifestError",
    "MissingExtra",
    "NotABundle",
    "OutputError",
    "SpecError",
    "TrainingError",
    "UnsafeMember",
    "legible",
]


def legible(text: object, limit: int = 300) -> str:
    """A stranger's words as a message can show them: one line of at most `limit` characters, all printable.

    >>> legible("red\\x1b[31m")
    'red?[31m'
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in str(text)[: limit + 1])
    return line if len(line) <= limit else f"{line[:limit]}..."


class GanrtError(Exception):
    """Any failure that ganrt explains; catch this one to catch them all."""


class ArgumentError(GanrtError, ValueError):
    """An argument is out of range or of the wrong kind."""


class SpecError(GanrtError, ValueError):
    """A spec contradicts itself, or the graph it describes."""


class BundleError(GanrtError):
    """A bundle cannot be used."""


class BundleNotFound(BundleError):
    """There is no such file, folder or bundled name."""


class NotABundle(BundleError):
    """The file is not a bundle, or is damaged beyond reading."""


class ManifestError(BundleError):
    """The manifest is not what the format says."""


class FormatTooNew(BundleError):
    """The bundle was written by a newer ganrt."""


class UnsafeMember(BundleError):
    """A member could reach outside the bundle."""


class IntegrityError(BundleError):
    """A member is missing, unlisted, of another size, or fails its digest."""


class BackendError(GanrtError):
    """An engine failed."""


class BackendUnavailable(BackendError):
    """An engine cannot be had on this machine."""


class BusyError(GanrtError):
    """A server has more waiting than it may; ask again later."""


class ClosedError(GanrtError):
    """A server was closed before it came to a request."""


class FidelityError(GanrtError):
    """An engine's output is not the reference output."""


class OutputError(GanrtError):
    """A result could not be written."""


class MissingExtra(GanrtError):
    """An optional package is not installed."""


class DataError(GanrtError):
    """Training data is missing or unusable."""


class CheckpointError(GanrtError):
    """A checkpoint is missing, unsafe to read, or not this network's."""


class ExportError(GanrtError):
    """A module cannot be exported."""


class TrainingError(GanrtError):
    """Training cannot go on."""
