"""Counts, densities, maps and diagrams against straightforward computations on the whole."""

import json
import math
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest

from kidsclf.config import ReduceSettings
from kidsclf.errors import ConfigError
from kidsclf.reduce import context_of, merge_all, reductions_for, to_json
from kidsclf.reduce.area import area_sq_deg, occupancy_of
from kidsclf.reduce.skymap import FINEST_ORDER, MOST_CELLS
from kidsclf.schema import ScoreFlag
from kidsclf.sky.partition import spatial_index


def of_name(context, name):
    return next(r for r in reductions_for(context) if r.name == name)


def table(context, name, block):
    reduction = of_name(context, name)
    return reduction.finish(reduction.local(block), context).to_pylist()


def test_class_counts_and_the_rows_outside_the_bins(survey, context):
    block = survey(1, 3000)
    magnitude, codes = block.reference_magnitude, block.scores.codes
    rows = table(context, "class_counts", block)
    for row in rows:
        code = -1 if row["class"] == "UNCLASSIFIED" else context.classes.index(row["class"])
        inside = (magnitude > row["r_low"]) & (magnitude <= row["r_high"])
        assert row["count"] == np.count_nonzero(inside & (codes == code))
    inside = (magnitude > 18) & (magnitude <= 22)
    assert sum(row["count"] for row in rows) == np.count_nonzero(inside) < len(block)
    totals = {(r["kind"], r["name"]): r["count"] for r in table(context, "rows", block)}
    assert totals["total", "sources"] == len(block)
    assert sum(n for (kind, _), n in totals.items() if kind == "class") == len(block)


def test_flags_are_counted_one_by_one(survey, context):
    block = survey(1, 1000)
    counted = {r["name"]: r["count"] for r in table(context, "rows", block) if r["kind"] == "flag"}
    assert set(counted) == {flag.name for flag in ScoreFlag}
    for flag in ScoreFlag:
        assert counted[flag.name] == np.count_nonzero((block.flags & flag) != 0)


def test_p_max_is_a_histogram(survey, context):
    block = survey(1, 3000)
    block.scores.p_max[:3] = 1.0
    rows = table(context, "p_max", block)
    edges = np.array([*(row["p_low"] for row in rows[:50]), 1.0]).astype(np.float32)
    for code, name in enumerate(context.classes):
        expected, _ = np.histogram(block.scores.p_max[block.scores.codes == code], edges)
        assert [r["count"] for r in rows if r["class"] == name] == expected.tolist()


def test_quasar_counts(survey, context):
    block = survey(1, 20_000)
    rows = table(context, "quasar_counts", block)
    magnitude = block.reference_magnitude
    quasar = block.scores.codes == 1
    assert [(row["r_low"], row["r_high"]) for row in rows] == [
        *((18, 19), (19, 20), (20, 21), (21, 22))
    ]
    for row in rows:
        inside = (magnitude > row["r_low"]) & (magnitude <= row["r_high"])
        count = np.count_nonzero(inside & quasar)
        probability = math.fsum(np.nan_to_num(block.calibrated[inside, 1]).tolist())
        assert row["count"] == count
        assert row["count_probability"] == pytest.approx(probability, abs=1e-5)
        assert row["area_sq_deg"] == pytest.approx(4.0, rel=0.03)
        assert row["per_sq_deg"] == pytest.approx(count / row["area_sq_deg"])
        assert row["per_sq_deg_error"] == pytest.approx(math.sqrt(count) / row["area_sq_deg"])
        brighter = np.count_nonzero(quasar & (magnitude <= row["r_high"]))
        assert row["cumulative_per_sq_deg"] == pytest.approx(brighter / row["area_sq_deg"])


@pytest.mark.parametrize(
    ("density", "side", "ra0", "dec0"),
    [
        (8_000, 1.0, 30.0, 10.0),
        (5_000, 2.0, 0.0, 0.0),
        (5_000, 2.0, 45.0, -1.0),
        (60_000, 1.0, 359.5, 0.0),
        (2_000, 3.0, 130.0, -30.0),
        (20_000, 3.0, 210.0, 1.0),
        (500, 10.0, 355.0, 2.0),
        (2_000, 10.0, 40.0, -32.0),
        (1, 80.0, 100.0, 15.0),
    ],
)
def test_area_of_a_square_at_several_densities(square, density, side, ra0, dec0):
    block, true = square(11, density, side, ra0, dec0)
    assert area_sq_deg(occupancy_of(block)) == pytest.approx(true, rel=0.03)


def test_area_needs_sources(survey, subset, context):
    block = survey(1, 3)
    assert math.isnan(area_sq_deg({}))
    one = subset(block, np.array([0]), block.partition)
    assert math.isnan(area_sq_deg(occupancy_of(one)))
    rows = table(context, "quasar_counts", one)
    assert all(math.isnan(row["per_sq_deg"]) for row in rows)


def placed(survey, subset, ra, dec):
    """A block with its sources there."""
    block = survey(1, 1)
    block = subset(block, np.zeros(len(ra), np.int64), block.partition)
    return replace(block, ra=ra, dec=dec, index29=spatial_index(ra, dec))


@pytest.mark.parametrize("rows", [2, 3, 5, 10, 50, 200, 319])
def test_the_area_of_few_sources_is_unknown(survey, context, rows):
    for seed in range(5):
        found = table(context, "area", survey(seed, rows))[0]
        assert math.isnan(found["area_sq_deg"])
        assert found == found | {"order": None, "occupied": None, "rows": rows}


def test_the_area_of_one_spot_is_unknown(square):
    block, _ = square(1, 1e12, 1e-4, 30.0, 10.0)
    assert len(block) > 5000
    assert math.isnan(area_sq_deg(occupancy_of(block)))


@pytest.mark.parametrize("density", [100, 400, 1000, 2000])
def test_an_area_is_given_only_where_it_is_right(square, density):
    given = []
    for seed in range(6):
        block, true = square(seed, density, 2.0, 40.0 + seed, 5.0)
        given.append(area_sq_deg(occupancy_of(block)) / true)
    known = [ratio for ratio in given if not math.isnan(ratio)]
    assert known == pytest.approx([1.0] * len(known), rel=0.1)
    assert len(known) == 6 or density < 400


def test_targets_that_thin_out_at_all_scales_cover_no_area(survey, subset):
    """A dust of three levels, with 20 spots in each spot of the level before."""
    rng = np.random.default_rng(3)
    ra, dec = np.array([180.0]), np.array([0.0])
    for side in (40.0, 4.0, 0.4):
        ra = (ra[:, None] + rng.uniform(-side / 2, side / 2, (len(ra), 20))).ravel()
        dec = (dec[:, None] + rng.uniform(-side / 2, side / 2, (len(dec), 20))).ravel()
    block = placed(survey, subset, ra, dec)
    assert math.isnan(area_sq_deg(occupancy_of(block)))


def test_area_of_spectroscopic_targets_is_unknown(survey_data, survey, subset):
    """Ten thousand of SDSS: pixels of 13, 3.4 and 0.8 square degrees cover 7800, 3900, 1200."""
    import pyarrow.parquet as pq

    targets = pq.read_table(survey_data / "labelled" / "sdss_dr17_10k.parquet").to_pandas()
    ra, dec = targets["ra"].to_numpy(np.float64), targets["dec"].to_numpy(np.float64)
    block = placed(survey, subset, ra, dec)
    assert math.isnan(area_sq_deg(occupancy_of(block)))


def test_area_of_a_real_field(survey_data, survey, subset):
    """A clustered one of 0.0235 square degrees: 2600 x 1300 pixels of 0.3 arcsec."""
    from astropy.io import fits

    path = survey_data / "kids_field" / "catalog" / "kids_field_ugriZYJHKs_cat.fits"
    with fits.open(path) as hdus:
        ra = hdus[1].data["RAJ2000"].astype(np.float64)
        dec = hdus[1].data["DECJ2000"].astype(np.float64)
    block = placed(survey, subset, ra, dec)
    true = 2600 * 1300 * (0.3 / 3600) ** 2
    # Some two hundred fine pixels: the border and chance leave more than the 3 % of a survey.
    assert area_sq_deg(occupancy_of(block)) == pytest.approx(true, rel=0.08)


def test_colour_colour_is_a_histogram(survey, context):
    block = survey(1, 5000)
    rows = table(context, "colour_colour", block)
    magnitudes = block.magnitudes.astype(np.float64)
    x, y = magnitudes[:, 1] - magnitudes[:, 2], magnitudes[:, 2] - magnitudes[:, 3]
    assert {(row["x_colour"], row["y_colour"]) for row in rows} == {("g-r", "r-i")}
    assert list(dict.fromkeys(row["sample"] for row in rows)) == ["catalogue", "sdss", "gama"]
    for sample in ("catalogue", "sdss", "gama"):
        codes = block.scores.codes if sample == "catalogue" else block.labels[sample].codes
        for code, name in enumerate(context.classes):
            mine = [r for r in rows if (r["sample"], r["class"]) == (sample, name)]
            box = (codes == code) & (x >= -1) & (x < 3) & (y >= -1) & (y < 3)
            assert sum(row["count"] for row in mine) == np.count_nonzero(box)
            assert all(row["count"] > 0 for row in mine)
            for row in mine[:20]:
                cell = (codes == code) & (x >= row["x_low"]) & (x < row["x_high"])
                cell &= ((block.flags & 1) != 0) == row["extrapolated"]
                cell &= (y >= row["y_low"]) & (y < row["y_high"])
                assert row["count"] == np.count_nonzero(cell)


def test_distributions_are_histograms_of_catalogue_and_labels(survey, context):
    block = survey(1, 5000)
    rows = table(context, "distributions", block)
    values = {
        "magnitude": block.reference_magnitude.astype(np.float64),
        "u-g": block.magnitudes[:, 0].astype(np.float64) - block.magnitudes[:, 1],
    }
    assert {row["quantity"] for row in rows} == set(values)
    assert {row["class"] for row in rows if row["sample"] == "catalogue"} == {"ALL"}
    for row in rows[::7]:
        value = values[row["quantity"]]
        inside = (value >= row["low"]) & (value < row["high"])
        if row["sample"] != "catalogue":
            inside &= block.labels[row["sample"]].codes == context.classes.index(row["class"])
        assert row["count"] == np.count_nonzero(inside)
    without = replace(block, magnitudes=block.magnitudes[:, 1:], bands=("g", "r", "i"))
    assert {r["quantity"] for r in table(context, "distributions", without)} == {"magnitude"}


def test_shapes_are_counted_in_their_planes(survey, context):
    block = survey(1, 5000)
    rows = table(context, "morphology", block)
    assert list(dict.fromkeys(row["plane"] for row in rows)) == ["size_magnitude", "gini_m20"]
    radius = block.shapes["half_light_radius"]
    values = {
        "size_magnitude": (block.reference_magnitude, np.log10(radius.astype(np.float64))),
        "gini_m20": (block.shapes["m20"], block.shapes["gini"]),
    }
    for row in rows[::40]:
        x, y = values[row["plane"]]
        labels = block.labels
        codes = block.scores.codes if row["sample"] == "catalogue" else labels[row["sample"]].codes
        cell = (codes == context.classes.index(row["class"])) & (x >= row["x_low"])
        cell &= (x < row["x_high"]) & (y >= row["y_low"]) & (y < row["y_high"])
        assert row["count"] == np.count_nonzero(cell)
    known = np.isfinite(radius) & np.isfinite(block.reference_magnitude)
    counted = [r["count"] for r in rows if r["sample"] == "catalogue" and "size" in r["plane"]]
    assert 0.98 * np.count_nonzero(known & (block.scores.codes >= 0)) < sum(counted) <= known.sum()


def test_what_was_not_measured_has_no_plane(survey, context):
    block = survey(1, 500)
    sizes = replace(block, shapes={"half_light_radius": block.shapes["half_light_radius"]})
    assert {row["plane"] for row in table(context, "morphology", sizes)} == {"size_magnitude"}
    assert table(context, "morphology", replace(block, shapes={})) == []


def test_sky_counts_each_source_once_and_crosses_ra_0(survey, context):
    block = survey(1, 3000)
    rows = table(context, "sky", block)
    assert sum(row["count"] for row in rows) == len(block)
    for code, name in enumerate(context.classes):
        assert sum(row[name.lower()] for row in rows) == np.sum(block.scores.codes == code)
    assert {row["order"] for row in rows} == {FINEST_ORDER}
    assert sum(row["unclassified"] for row in rows) == np.sum(block.scores.codes < 0)
    assert sum(row["flagged"] for row in rows) == np.sum((block.flags & (2 + 4 + 8 + 16 + 32)) != 0)
    assert all(math.isnan(row["depth"]) for row in rows), "without errors there is no depth"
    error = np.full(len(block), 1.0857 / 10, np.float32)
    error[::2] = 1e-3  # bright: what its error says is not the depth
    deep = replace(block, reference_error=error)
    known = [row["depth"] for row in table(context, "sky", deep) if not math.isnan(row["depth"])]
    magnitude = block.reference_magnitude[1::2]
    assert min(known) >= np.nanmin(magnitude) + 2.5 * math.log10(2) - 1e-3
    assert max(known) <= np.nanmax(magnitude) + 2.5 * math.log10(2) + 1e-3
    ra = np.array([row["ra"] for row in rows])
    assert np.all((ra < 1.0) | (ra > 359.0)), "the mean of 359.9 and 0.1 is not 180"
    assert np.all(np.abs([row["dec"] for row in rows]) < 1.0)
    # The mean direction of a full cell lies in the cell.
    full = sorted(rows, key=lambda row: row["count"])[-20:]
    index = spatial_index([row["ra"] for row in full], [row["dec"] for row in full])
    shift = 2 * (29 - FINEST_ORDER)
    assert np.mean((index >> shift) == [row["pixel"] for row in full]) > 0.9


def test_sky_state_stays_small_whatever_the_area_and_the_order_of_merging(square, split, context):
    block, _ = square(3, 0.5, 110.0, 20.0, 5.0)
    reduction = of_name(context, "sky")
    states = [reduction.local(part) for part in split(block, 300)]
    merged = merge_all(reduction, states)
    assert merged["order"] < FINEST_ORDER
    assert MOST_CELLS / 4 < len(merged["cells"]) <= MOST_CELLS
    assert to_json(merged) == to_json(reduction.local(block))
    assert to_json(merged) == to_json(merge_all(reduction, states[::-1]))
    most = merge_all(reduction, states[1:])
    assert most["order"] < states[0]["order"] <= FINEST_ORDER
    assert to_json(reduction.merge(states[0], most)) == to_json(merged)
    assert to_json(reduction.merge(most, states[0])) == to_json(merged)


def test_gallery_takes_the_smallest_keys(survey, context):
    block = survey(1, 3000)
    rows = table(context, "gallery", block)
    codes, p_max = block.scores.codes, block.scores.p_max

    def hashed(use):
        names = [str(name) for name in block.name[use]]
        return sorted(names, key=lambda n: blake2b(n.encode(), digest_size=8).hexdigest())[:4]

    sdss, gama = block.labels["sdss"], block.labels["gama"]
    tested = (sdss.codes >= 0) & (sdss.split == "test")
    judged = np.where(tested, sdss.codes, gama.codes)
    for code, name in enumerate(context.classes):
        found = {
            kind: [r["name"] for r in rows if (r["class"], r["kind"]) == (name, kind)]
            for kind in ("typical", "uncertain", "misclassified")
        }
        assert found["typical"] == hashed((codes == code) & (p_max >= np.float32(0.9)))
        assert found["misclassified"] == hashed((codes == code) & (judged >= 0) & (judged != code))
        lowest = np.argsort(np.where(codes == code, p_max, np.inf), kind="stable")[:4]
        assert set(found["uncertain"]) == set(block.name[lowest])
        far = np.where(codes == code, block.training_distance, np.nan)
        furthest = block.name[np.argsort(-far, kind="stable")[:4]]
        assert [r["name"] for r in rows if (r["class"], r["kind"]) == (name, "novel")] == [
            *furthest
        ]
    place = {str(name): k for k, name in enumerate(block.name)}
    for row in rows:
        k = place[row["name"]]
        assert (row["index29"], row["ra"], row["dec"]) == (
            *(block.index29[k], block.ra[k], block.dec[k]),
        )
        assert row["p_max"] == p_max[k]
        assert row["bands"] == ["u", "g", "r", "i"]
        assert np.array_equal(row["magnitudes"], block.magnitudes[k], equal_nan=True)
        if row["kind"] == "misclassified":
            assert row["true_class"] == context.classes[judged[k]] != row["class"]
        elif judged[k] < 0 and sdss.codes[k] < 0:
            assert row["true_class"] == ""


def test_no_gallery_when_none_is_asked_for(survey, context):
    assert table(replace(context, gallery=0), "gallery", survey(1, 300)) == []


def test_magnitude_bins_come_from_the_settings():
    settings = ReduceSettings(magnitude_low=15.0, magnitude_high=16.0, magnitude_step=0.3)
    context = context_of(settings, classes=("A", "B"), training_sample="sdss")
    assert context.magnitude_edges == (15.0, 15.3, 15.6, 15.9, 16.0)
    default = context_of(ReduceSettings(), classes=("A", "B"), training_sample="sdss")
    assert (len(default.magnitude_edges), default.magnitude_edges[-1]) == (17, 23.0)
    assert json.loads(json.dumps(default.thresholds)) == sorted(default.thresholds)


def test_magnitudes_the_wrong_way_round_are_refused():
    settings = ReduceSettings(magnitude_low=23.0, magnitude_high=15.0)
    with pytest.raises(ConfigError, match=r"magnitude_low = 23\.0 is not brighter than"):
        context_of(settings, classes=("A",), training_sample="sdss")
