"""Energy as Linux shows it, in files that the test writes: packages alone, counters that begin anew, and refusals."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrt.latency.energy import Meter

RANGE = 262143328850


@pytest.fixture
def zone(tmp_path):
    """Makes a domain of the power capping framework."""

    def make(folder, name, joules):
        path = tmp_path / folder
        path.mkdir(parents=True)
        (path / "name").write_text(f"{name}\n")
        (path / "max_energy_range_uj").write_text(f"{RANGE}\n")
        (path / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
        return path / "energy_uj"

    return make


def test_what_runs_within_is_counted_in_joules(tmp_path, zone):
    counter = zone("intel-rapl:0", "package-0", 100.0)
    with Meter(tmp_path) as meter:
        counter.write_text("102500000\n")
    assert meter.energy.joules == 2.5
    assert meter.energy.domains == ("package-0",)
    assert meter.energy.seconds > 0
    assert meter.energy.watts == pytest.approx(2.5 / meter.energy.seconds)


def test_every_package_counts_and_nothing_counts_twice(tmp_path, zone):
    counters = [zone(f"intel-rapl:{at}", f"package-{at}", 1.0) for at in range(2)]
    inside = zone("intel-rapl:0:0", "core", 1.0)
    around = zone("intel-rapl:2", "psys", 1.0)
    with Meter(tmp_path) as meter:
        for counter in (*counters, inside, around):
            counter.write_text("2000000\n")
    assert meter.energy.joules == 2.0
    assert meter.energy.domains == ("package-0", "package-1")


@given(begun=st.integers(0, RANGE), spent=st.integers(0, RANGE))
def test_a_counter_that_begins_anew_is_counted_right(tmp_path_factory, begun, spent):
    path = tmp_path_factory.mktemp("powercap") / "intel-rapl:0"
    path.mkdir()
    (path / "name").write_text("package-0")
    (path / "max_energy_range_uj").write_text(str(RANGE))
    (path / "energy_uj").write_text(str(begun))
    with Meter(path.parent) as meter:
        (path / "energy_uj").write_text(str((begun + spent) % (RANGE + 1)))
    assert meter.energy.joules == spent / 1e6


def test_a_machine_without_counters_says_so_and_gives_no_number(tmp_path):
    with Meter(tmp_path / "absent") as meter:
        pass
    assert meter.energy.joules is None
    assert meter.energy.watts is None
    assert "does not tell its energy" in meter.energy.note


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_counters_that_only_root_may_read_are_explained(tmp_path, zone):
    zone("intel-rapl:0", "package-0", 1.0).chmod(0)
    with Meter(tmp_path) as meter:
        pass
    assert meter.energy.joules is None
    assert "lets only root read it: sudo chmod" in meter.energy.note


def test_a_counter_that_goes_away_meanwhile_leaves_no_number(tmp_path, zone):
    counter = zone("intel-rapl:0", "package-0", 1.0)
    with Meter(tmp_path) as meter:
        counter.unlink()
    assert meter.energy.joules is None
    assert "stopped telling its energy" in meter.energy.note


def test_this_machine_either_tells_or_says_why_not():
    with Meter() as meter:
        sum(range(100_000))
    assert (meter.energy.joules is None) == bool(meter.energy.note)
