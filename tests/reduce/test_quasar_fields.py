"""Densities in random fields of simulated skies, whose density and holes are known."""

from dataclasses import replace

import numpy as np
import pytest

from kidsclf.reduce import reductions_for
from kidsclf.reduce.fields import Coverage, count_in_cells, random_fields
from kidsclf.reduce.surface_density import surface_density

EDGES = (18.0, 20.0, 21.0, 22.0)
DENSITIES = (5.0, 20.0, 60.0, 150.0)
"""Per square degree: brighter than the first edge, then in each bin."""


SEEN_SQ_DEG = 13.0 * 2.8333 - 24 * np.pi * 0.22**2 - 0.3 * 2.8333 + 0.1
"""The last: what holes and the band share."""


def strip(rng, per_sq_deg):
    """Stripe 82 as Feng et al. cut it: 13 by 2.83 degrees on the equator, 37 square degrees."""
    n = rng.poisson(per_sq_deg * 13.0 * 2.0 * np.degrees(np.sin(np.radians(1.4167))))
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n) * np.sin(np.radians(1.4167))))
    return rng.uniform(32.0, 45.0, n), dec


def seen(ra, dec):
    """Leave out a band and round holes that do not touch: 13 % of the strip."""
    x, y = (values.ravel() for values in np.meshgrid(np.arange(33.0, 45.0), [-0.7, 0.6]))
    apart = np.full(len(ra), np.inf)
    for hole in zip(x, y, strict=True):
        apart = np.minimum(apart, np.hypot(ra - hole[0], dec - hole[1]))
    return (apart > 0.22) & ((ra < 37.35) | (ra > 37.65))


def simulated(seed, *, factor=lambda ra: np.ones(len(ra))):
    """Positions of everything that was seen, and of quasars with magnitudes."""
    rng = np.random.default_rng(seed)
    everything = strip(rng, 10_000.0)
    whole = [strip(rng, density) for density in DENSITIES]
    ra, dec = (np.concatenate(parts) for parts in zip(*whole, strict=True))
    magnitude = np.repeat([17.0, 19.0, 20.5, 21.5], [len(each[0]) for each in whole])
    kept = seen(ra, dec) & (rng.random(len(ra)) < factor(ra))
    looked = seen(*everything)
    coverage = Coverage.of_positions(everything[0][looked], everything[1][looked], 11, 8)
    return ra[kept], dec[kept], magnitude[kept], coverage


def test_the_density_of_stripe_82_is_found_through_its_holes():
    ra, dec, magnitude, coverage = simulated(1)
    assert coverage.area_sq_deg == pytest.approx(SEEN_SQ_DEG, rel=0.04)
    rows = surface_density(ra, dec, magnitude, EDGES, coverage).to_pylist()
    brighter = np.cumsum(DENSITIES)
    for k, row in enumerate(rows):
        assert (row["field_sq_deg"], row["fields"]) == (4.0, 100)
        assert row["independent"] == pytest.approx(coverage.area_sq_deg / 4.0)
        # The error of the mean of the footprint, and 3 % for borders.
        for name, true in (("", DENSITIES[k + 1]), ("cumulative_", brighter[k + 1])):
            error = np.sqrt(true / coverage.area_sq_deg) * 2.5 + 0.03 * true
            assert row[f"{name}median"] == pytest.approx(true, abs=error)
            # Quasars without clustering spread as Poisson has it.
            half = (row[f"{name}high"] - row[f"{name}low"]) / 2
            assert 0.6 < half / row[f"{name}poisson"] < 1.4


def test_ignoring_the_holes_would_lose_quasars():
    ra, dec, magnitude, coverage = simulated(1)
    whole = replace(coverage, covered=np.ones(len(coverage.pixels)))
    with_holes, without = (
        surface_density(ra, dec, magnitude, EDGES, each)["cumulative_median"].to_pylist()[-1]
        for each in (coverage, whole)
    )
    assert without < 0.93 * with_holes


def test_uneven_depth_shows_as_spread_beyond_poisson():
    ra, dec, magnitude, coverage = simulated(2, factor=lambda ra: np.where(ra < 38.5, 1.0, 0.4))
    row = surface_density(ra, dec, magnitude, EDGES, coverage).to_pylist()[-1]
    assert (row["cumulative_high"] - row["cumulative_low"]) / 2 > 4 * row["cumulative_poisson"]
    assert row["mean_error"] > np.sqrt(row["median"] / coverage.area_sq_deg)


def test_the_same_seed_gives_the_same_fields():
    ra, dec, magnitude, coverage = simulated(3)
    first, again, other = (
        surface_density(ra, dec, magnitude, EDGES, coverage, seed=seed) for seed in (1, 1, 2)
    )
    assert first.equals(again)
    assert not first.equals(other)


def test_fields_shrink_with_the_sky_until_it_cannot_be_done():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(10, 12, 40_000), rng.uniform(0, 2, 40_000)
    coverage = Coverage.of_positions(ra, dec, 10, 10)
    counts = count_in_cells(ra, dec, np.zeros(len(ra), np.int64), 1, coverage)
    found = random_fields(coverage, counts, rng)
    assert found.field_sq_deg == pytest.approx(coverage.area_sq_deg / 4)
    np.testing.assert_allclose(np.median(found.densities), 10_000, rtol=0.03)
    few = coverage.within(7, coverage.pixels[:1] >> 6)
    assert random_fields(few, counts[: len(few.pixels)], rng) is None


def test_a_run_counts_the_catalogue_and_its_labels_by_field(square, context):
    block, _ = square(5, 3000, 6.0, 20.0, 3.0)
    rng = np.random.default_rng(6)
    rows = len(block)
    quasar = rng.random(rows) < 0.03
    scores = replace(block.scores, codes=np.where(quasar, 1, 2))
    # Labels in the western half only, all quasars among them, 0.4 of all sources.
    member = (block.ra < 23.0) & (quasar | (rng.random(rows) < 0.4))
    codes = np.where(member, np.where(quasar, 1, 2), -1)
    labels = {"sdss": replace(block.labels["sdss"], codes=codes)}
    block = replace(
        block,
        scores=scores,
        labels=labels,
        reference_magnitude=rng.uniform(17.5, 22, rows).astype(np.float32),
    )
    reduction = next(each for each in reductions_for(context) if each.name == "quasar_fields")
    table = reduction.finish(reduction.local(block), context).to_pylist()
    last = {row["source"]: row for row in table if row["r_high"] == 22.0}
    assert last["catalogue"]["footprint_sq_deg"] == pytest.approx(36.0, rel=0.03)
    assert last["sdss"]["footprint_sq_deg"] == pytest.approx(18.0, rel=0.06)
    for row in last.values():
        assert row["cumulative_median"] == pytest.approx(90.0, rel=0.06)
    counted = sum(row["count"] for row in table if row["source"] == "catalogue")
    assert counted == np.sum(quasar & (block.reference_magnitude > 18.0))
