"""The sections of the page in their order: id -> title, and as markup what a reader must know of it."""

from . import throughput

__all__ = ["SECTIONS"]

SECTIONS = {
    "rows": (
        "Rows",
        """Milliseconds a call. Percentiles are upper bounds that hold at 99 % confidence (MLPerf&rsquo;s early
        stopping); &ndash; where there were too few calls for one. Streams are parts of a batch, computed side by side.
        Fidelity: the worst reference sample of every engine call that ran.""",
    ),
    "distribution": (
        "Distribution",
        """Every call that was timed. Where there are outliers, the axis breaks at the fence, three middle halves above
        the third quartile, and goes on logarithmically. Below, the same calls in their order, with the median and the
        middle eight tenths of each stretch.""",
    ),
    "percentiles": (
        "Percentiles",
        """How slow the slow calls are. Each nine is as wide as the one before. The curve is these calls; the bar above
        it is the bound that the percentile stays below at 99 % confidence.""",
    ),
    "throughput": (
        "Throughput",
        f"""The knee is the smallest batch that reaches {throughput.KNEE:.0%} of the best throughput of its way: a
        larger one costs latency and gains little. None is marked where the largest that was timed is the best.""",
    ),
    "roofline": (
        "Roofline",
        """What this machine was seen to do at best, and where each row is below it; numbers are batch sizes. A mark
        counts weights, inputs and outputs once, its whisker reaches to what the operations move between them, where the
        engine tells. Winograd&rsquo;s convolutions do fewer operations than are counted here.""",
    ),
    "stages": (
        "Stages",
        """Milliseconds of a call. Pixels are made in the engine&rsquo;s graph and land in the caller&rsquo;s array, so
        nothing is copied after it.""",
    ),
    "operations": (
        "Operations",
        """As the engine&rsquo;s own profiler tells it. A profiler slows a call down: read shares, not milliseconds. Of
        parts of a batch in streams side by side, it is the time of one, beside the others.""",
    ),
    "energy": ("Energy", ""),
    "samples": (
        "Samples",
        """The same inputs through every generator that was timed, in its way of computing single samples, after the
        references that the bundle carries.""",
    ),
    "repeat": ("To see it again", ""),
}
