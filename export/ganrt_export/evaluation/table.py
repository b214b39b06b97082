"""An evaluation for the terminal: the scores with their errors beside those of real pictures, then what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ganrt.cli.terminal import plain

from .compare import SCORES, Change
from .estimate import Estimate
from .results import Evaluation

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["changes_table", "class_table", "findings", "said", "table", "title"]


def title(result: Evaluation) -> str:
    """What was judged by what, in a line."""
    judged, real = result.judged, result.real
    name = real.facts.get("name", "the data")
    reference = real.held_out if real.reference == "held-out" else real.training
    labels = {"": "", "data": ", classes as in the data", "uniform": ", every class alike"}[judged.labels]
    truncated = "" if judged.truncation is None else f", truncation {judged.truncation:g}"
    return (
        f"{judged.name}: {judged.samples:,} samples of seed {judged.seed}{labels}{truncated}, against {reference:,} "
        f"{real.reference} pictures of {name}"
    )


def features_line(result: Evaluation) -> str:
    """Which features the scores are in; without that line they are worth nothing."""
    network = result.features
    return f"Features: {network.name}, {network.says}; {network.dimensions:,} numbers, {network.digest[:12]}"


def table(result: Evaluation) -> Table:
    """Every score, this generator's and real pictures'."""
    from rich.table import Table

    shown = Table(title=plain(title(result)), caption=plain(features_line(result)))
    for heading in ("score", "samples", "real pictures", "better"):
        shown.add_column(heading, justify="left" if heading in ("score", "better") else "right", no_wrap=True)
    for score in SCORES:
        mine, real = (said(getattr(quality, score.field)) for quality in (result.quality, result.real_quality))
        better = {-1: "lower", 1: "higher", 0: f"near {score.ideal:g}" if score.ideal is not None else ""}[score.better]
        shown.add_row(score.title, mine, real, better)
    return shown


def findings(result: Evaluation) -> Iterator[tuple[str, str]]:
    """What was found of modes and copies: a heading and a line each."""
    classes, clusters, repeated, copied = result.classes, result.clusters, result.repetition, result.memorising
    if classes is not None:
        asked = "" if classes.accuracy is None else f"; taken for the class asked for: {share(classes.accuracy)}"
        yield "classes", f"{classes.hit} of {classes.of} hit{asked} (real pictures: {share(classes.classifier)})"
        if classes.accuracies:
            name, worst = min(classes.accuracies.items(), key=lambda item: item[1].value)
            yield "", f"least often: {name}, {share(worst)}"
    real = f"held-out pictures: {clusters.real_hit}, {clusters.real_different}"
    yield "clusters", f"{clusters.hit} of {clusters.of} hit, {clusters.different} of another share ({real})"
    near = f"nearly the same as another: {share(repeated.near)} (real pictures: {share(repeated.real_near)})"
    yield "repetition", f"{repeated.distinct:,} of {repeated.of:,} samples differ; {near}"
    if copied is None:
        yield "memorising", "cannot be told without held-out pictures"
        return
    ratio = (
        "" if copied.ratio is None else f"{copied.ratio:.3f} times as far from a training picture as held-out ones, "
    )
    sure = "" if copied.c_t is None else f", C_T {copied.c_t:+.1f} (copying: far below 0)"
    yield "memorising", f"samples are {ratio}farther in {copied.farther:.1%} of pairs{sure}"


def class_table(result: Evaluation) -> Table | None:
    """Each class: how often it was drawn, and recognised. None where classes are not told apart."""
    if result.classes is None:
        return None
    from rich.table import Table

    shown = Table()
    for heading in ("class", "share of samples", "of held-out ones", "taken for it"):
        shown.add_column(heading, justify="left" if heading == "class" else "right")
    for name, part in result.classes.shares.items():
        accuracy = result.classes.accuracies.get(name)
        known = "" if accuracy is None else share(accuracy)
        shown.add_row(plain(name), f"{part:.1%}", f"{result.classes.real_shares[name]:.1%}", known)
    return shown


def changes_table(old: Evaluation, new: Evaluation, changes: Iterable[Change]) -> Table:
    """A comparison; `compare.compare` made the changes."""
    from rich.table import Table

    shown = Table(caption=plain(features_line(new)))
    headings = ("score", f"{old.judged.name}, {old.judged.samples:,}", f"{new.judged.name}, {new.judged.samples:,}", "")
    for heading in headings:
        shown.add_column(plain(heading), justify="right" if heading in headings[1:3] else "left")
    for change in changes:
        shown.add_row(change.score.title, said(change.old), said(change.new), change.verdict)
    return shown


def said(estimate: Estimate) -> str:
    """A figure with its standard error, to the digits that this leaves it.

    >>> said(Estimate(0.50349, 0.0213)), said(Estimate(0.0000306, 0.0000237)), said(Estimate(12.5))
    ('0.503 ± 0.021', '0.000031 ± 0.000024', '12.5')
    """
    if not estimate.error:
        return f"{estimate.value:.4g}"
    digits = max(0, 2 - _magnitude(estimate.error))
    return f"{estimate.value:.{digits}f} ± {estimate.error:.{digits}f}"


def share(estimate: Estimate) -> str:
    """A share as per cent, with its standard error.

    >>> share(Estimate(0.98958, 0.00093)), share(Estimate(1.0, 0.0))
    ('98.96 % ± 0.09', '100.00 %')
    """
    error = f" ± {estimate.error:.2%}".removesuffix("%") if estimate.error else ""
    return f"{estimate.value:.2%}".replace("%", " %") + error


def _magnitude(value: float) -> int:
    """The place of the first digit before the point: 1 for 1 .. 9, 0 for 0.1 .. 0.9, -1 for 0.01 .. 0.09."""
    return int(f"{value:e}".partition("e")[2]) + 1
