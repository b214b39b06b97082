"""Plans: n samples as engine calls that cost least."""

from hypothesis import given
from hypothesis import strategies as st

from ganrt.batching import LARGEST, Piece, plan

tables = st.dictionaries(st.sampled_from([1, 2, 4, 8, 16, 32, 64]), st.floats(0.01, 1000), min_size=1)
costs = st.dictionaries(st.sampled_from(["a", "b"]), tables, max_size=2)
costs_of_some = st.dictionaries(st.sampled_from(["a", "b"]), tables, min_size=1, max_size=2)


@given(n=st.integers(1, 10_000), costs=costs)
def test_a_plan_makes_exactly_n_samples(n, costs):
    pieces = plan(n, costs, "a")
    assert sum(piece.size for piece in pieces) == n
    assert all(1 <= piece.size <= LARGEST for piece in pieces)


def test_without_costs_calls_are_as_large_as_they_may_be():
    assert [piece.size for piece in plan(130, {}, "a")] == [64, 64, 2]


def test_large_pictures_that_leave_the_cache_are_made_in_small_batches():
    assert [piece.size for piece in plan(8, {"a": {1: 10.0, 2: 18.0, 4: 60.0, 8: 150.0}}, "a")] == [2, 2, 2, 2]


def test_small_pictures_are_made_in_one_call():
    assert plan(64, {"a": {1: 1.0, 8: 2.0, 64: 4.0}}, "a") == (Piece("a", 64),)


def test_each_n_goes_to_the_engine_that_is_fastest_at_it():
    costs = {"a": {1: 1.0, 64: 64.0}, "b": {1: 2.0, 64: 32.0}}
    assert plan(1, costs, "a")[0].way == "a"
    assert plan(64, costs, "a") == (Piece("b", 64),)


def test_a_gain_within_noise_changes_nothing():
    costs = {"a": {1: 1.0, 64: 10.0}, "b": {1: 1.0, 64: 9.9}}
    assert plan(64, costs, "a") == (Piece("a", 64),)


def test_what_remains_goes_where_it_costs_least():
    costs = {"a": {1: 1.0, 8: 2.0}, "b": {1: 0.5, 64: 64.0}}
    assert plan(17, costs, "a") == (Piece("a", 8), Piece("a", 8), Piece("b", 1))


@given(n=st.integers(1, 24), costs=costs_of_some)
def test_no_calls_of_measured_sizes_take_less(n, costs):
    sizes = {(way, size) for way, table in costs.items() for size in table}
    best = [0.0] + [float("inf")] * n
    for samples in range(1, n + 1):
        for way, size in sizes:
            if size <= samples:
                best[samples] = min(best[samples], best[samples - size] + costs[way][size])
    taken = sum(_straight(costs[piece.way], piece.size) for piece in plan(n, costs, "a"))
    assert taken * 0.93 <= best[n]


@given(n=st.integers(1, 64), table=tables)
def test_a_plan_is_never_worse_than_one_call(n, table):
    def cost(size):
        return sum(_straight(table, piece.size) for piece in plan(size, {"a": table}, "a"))

    assert cost(n) <= _straight(table, n) * 1.0001 or n > max(table)


def _straight(table, size):
    import numpy as np

    sizes = sorted(table)
    if size > sizes[-1]:
        return table[sizes[-1]] * size / sizes[-1]
    return float(np.interp(size, sizes, [table[known] for known in sizes]))
