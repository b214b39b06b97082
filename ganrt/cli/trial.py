"""Every engine of this machine, held to a bundle's reference samples."""

from __future__ import annotations

import msgspec

from ..backends import NAMES, available, open_session, precisions
from ..backends.acceptance import Figures, References, hold
from ..backends.base import Graph, Options
from ..bundle import Bundle
from ..environment import usable_cores
from ..errors import BackendError, FidelityError

__all__ = ["Trial", "trials"]


class Trial(msgspec.Struct, frozen=True):
    """`ok` None: not tried, because of `reason`. `figures` None: failed, or the bundle has no reference samples.

    `required`: the bundle has a graph of this precision; bf16 is one more way, which need not be good enough.
    """

    backend: str
    precision: str
    required: bool
    ok: bool | None
    reason: str
    figures: Figures | None = None


def trials(bundle: Bundle) -> list[Trial]:
    """One trial for each engine and each precision that bundle and engine have; alone, and as a batch."""
    references, found = References(bundle), []
    for name in NAMES:
        here = available(name)
        if not here:
            found.append(Trial(name, "", False, None, f"{here.reason}; install it: {here.install}"))
            continue
        for graph_precision, member in bundle.manifest.graphs.items():
            for precision in _ways(name, graph_precision):
                graph = Graph(bundle.graph(graph_precision), bundle.manifest.files[member].sha256, graph_precision)
                found.append(_try(name, graph, Options(usable_cores(), precision), references))
    return found


def _ways(name: str, graph: str) -> tuple[str, ...]:
    """How an engine can compute this graph: as its types say, and an fp32 graph in bf16 where the processor can."""
    wanted = (graph, "bf16") if graph == "fp32" else (graph,)
    return tuple(precision for precision in wanted if precision in precisions(name))


def _try(name: str, graph: Graph, options: Options, references: References) -> Trial:
    required = options.precision == graph.precision
    try:
        session = open_session(name, graph, options)
        try:
            figures = hold(session, references, sizes=(1, max(2, references.count)))
            return Trial(name, options.precision, required, True, session.info.engine, figures)
        finally:
            session.close()
    except (BackendError, FidelityError) as problem:
        return Trial(name, options.precision, required, False, str(problem))
    except Exception as problem:  # noqa: BLE001  a damaged installation fails in ways of its own
        reason = (
            f"{name} is damaged here ({type(problem).__name__}: {problem}); install it again: {available(name).install}"
        )
        return Trial(name, options.precision, required, False, reason)
