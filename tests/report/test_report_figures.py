"""The figures as data: what is drawn is what the tables say."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from matplotlib.colors import to_hex

from kidsclf.reduce.corrected import CUTS, QUOTED_CUT
from kidsclf.reduce.published import FENG
from kidsclf.report.figures.accuracy import draw_confusion, draw_networks, draw_thresholds
from kidsclf.report.figures.calibration import draw_error_bins, draw_reliability
from kidsclf.report.figures.colours import draw_colour_colour
from kidsclf.report.figures.counts import draw_counts
from kidsclf.report.figures.morphology import draw_gini_m20, draw_size_magnitude
from kidsclf.report.figures.novelty import draw_novelty
from kidsclf.report.figures.quasars import (
    CORRECTED_AT,
    PUBLISHED_MARKERS,
    QuasarTables,
    draw_quasar_counts,
)
from kidsclf.report.figures.run import draw_cut_flow, draw_stages
from kidsclf.report.figures.sky import draw_sky, split_fields
from kidsclf.report.figures.stamps import asinh_stretch, draw_source
from kidsclf.report.figures.training import draw_history
from kidsclf.report.palette import STYLE, VARIABLES, class_look
from kidsclf.report.panels import NARROW, WIDE
from kidsclf.report.svg import inline_svg
from kidsclf.report.tables import numbers, select


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_thresholds_have_fengs_four_panels_and_colours(tables):
    rows = select(tables.thresholds, {"network": "mnn"})
    figure = draw_thresholds(rows)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "F1 score",
        "Fraction kept",
        "Precision (purity)",
        "Recall of those kept",
    ]
    colours = [to_hex(line.get_color()) for line in figure.axes[0].lines]
    assert colours == ["#0072b2", "#d55e00", "#009e73"]
    star = select(rows, {"class": "STAR"}).sort_by("threshold")
    np.testing.assert_allclose(
        figure.axes[1].lines[0].get_ydata(), star["frac_thre"].to_numpy(), rtol=0
    )


def test_reliability_joins_bins_of_few_sources_and_loses_none(tables):
    rows = select(tables.reliability, {"network": "mnn", "class": "QSO"})
    rows = rows.filter(pa.array(np.isnan(rows["r_low"].to_numpy())))
    before, after = draw_reliability(rows).axes
    assert before.get_title(loc="left") == "As the network says"
    for axes, kind in ((before, "raw"), (after, "calibrated")):
        said, true = axes.containers[0][0].get_data()
        known = select(rows, {"kind": kind})
        # The first and the last of 15 bins stand alone; of 13 small ones two make a point, and
        # the one left over goes to the last.
        assert len(said) == 8
        slope = {"raw": 0.8, "calibrated": 0.98}[kind]
        np.testing.assert_allclose(true, 0.5 + slope * (said - 0.5), atol=1e-9)
        assert said[0] == pytest.approx(known["p_mean"][0].as_py())


def test_calibration_errors_are_drawn_before_and_after_on_one_scale(tables):
    rows = select(tables.calibration, {"network": "mnn"})
    rows = rows.filter(pa.array(np.isfinite(numbers(rows, "r_low"))))
    before, after = draw_error_bins(rows).axes
    assert [line.get_ydata()[0] for line in (before.lines[0], after.lines[0])] == [0.03, 0.01]
    assert before.get_ylim() == after.get_ylim()


def test_novelty_joins_bins_and_loses_no_source(tables):
    judged = select(tables.novelty_accuracy, {"network": "mnn"})
    counts = select(tables.novelty_counts, {"network": "mnn"})
    by_novelty, by_r, share = draw_novelty(judged, counts).axes
    fraction = by_novelty.containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(fraction, [0.99, 0.96, 0.93, 0.90, 0.87], atol=1e-9)
    assert [len(group.lines[0].get_xdata()) for group in by_r.containers] == [3, 3, 0]
    right, count = sum(round(f * n) for f, n in [(0.99, 200), (0.96, 161), (0.93, 122)]), 483
    assert by_r.containers[0].lines[0].get_ydata()[0] == pytest.approx(right / count)
    whole = sum(np.array(line.get_ydata()) for line in share.lines)
    np.testing.assert_allclose(whole, 1.0)
    empty = draw_novelty(judged.slice(0, 0), counts)
    assert len(empty.axes) == 3


def test_confusion_shows_count_and_percent_true_across(tables):
    axes = draw_confusion(select(tables.confusion, {"network": "mnn"})).axes[0]
    assert axes.get_xlabel() == "true class"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["star", "quasar", "galaxy"]
    where = {t.get_text(): t.get_position() for t in axes.texts}
    # 3.5% of the true quasars (across, 1) are predicted as galaxies (down, 2).
    assert where["3.5%"] == (1, 1.9)
    assert "1,890" in texts(axes)


def test_networks_bar_is_the_sample_deviation_over_folds(tables):
    table = tables.classification
    rows = table.filter(pa.array(np.isnan(table["r_low"].to_numpy())))
    rows = select(rows, {"sample": "sdss", "network": "mnn"})
    container = draw_networks(rows).axes[0].containers[0]
    (low, _), (high, _) = container[2][0].get_segments()[0]
    assert (high - low) / 2 == pytest.approx(np.std([0, 0.003, 0.006], ddof=1))


def test_history_leaves_out_an_accuracy_that_was_not_measured(tables):
    titles = {
        network: [
            axes.get_title(loc="left")
            for axes in draw_history(select(tables.history, {"network": network})).axes
        ]
        for network in ("mnn", "xgboost")
    }
    assert titles == {"mnn": ["Loss", "Accuracy"], "xgboost": ["Loss"]}


def test_counts_are_steps_of_the_counts(tables):
    rows = select(tables.class_counts, {"network": "mnn"})
    line = draw_counts(rows, None).axes[0].lines[2]
    galaxies = select(rows, {"class": "GALAXY"}).sort_by("r_low")
    np.testing.assert_array_equal(line.get_ydata()[::2], galaxies["count"].to_numpy())


def quasar_figure(tables, **others):
    rows = select(tables.quasar_counts, {"network": "mnn"}).sort_by("r_low").slice(20, 8)
    return rows, draw_quasar_counts(QuasarTables(rows, **others))


def test_quasar_counts_draw_a_few_rows(tables):
    rows, figure = quasar_figure(tables)
    bins, brighter = figure.axes
    probable, density = bins.lines[:2]
    np.testing.assert_array_equal(density.get_ydata(), rows["per_sq_deg"].to_numpy())
    np.testing.assert_allclose(probable.get_ydata(), 0.93 * density.get_ydata())
    np.testing.assert_array_equal(
        brighter.lines[1].get_ydata(), rows["cumulative_per_sq_deg"].to_numpy()
    )


def test_the_band_of_luminosity_functions_spans_the_lowest_and_highest(tables):
    _, figure = quasar_figure(tables, models=tables.quasar_models)
    band = figure.axes[1].collections[0]
    at_22 = select(tables.quasar_models, {"r_high": 22.0})["cumulative_per_sq_deg"].to_pylist()
    heights = [y for x, y in band.get_paths()[0].vertices if x == 22.0]
    assert (min(heights), max(heights)) == pytest.approx((min(at_22), max(at_22)))


def test_corrected_numbers_end_where_labels_do(tables):
    corrected = select(tables.quasar_corrected, {"network": "mnn"})
    _, figure = quasar_figure(tables, corrected=corrected)
    known = select(corrected, {"p_min": 0.9, "why": ""})
    known = known.filter(pc.greater(known["count"], 0))
    for axes, place, name in zip(
        figure.axes,
        (known["r_low"].to_numpy() + 0.125, known["r_high"].to_numpy()),
        ("per_sq_deg", "cumulative_per_sq_deg"),
        strict=True,
    ):
        (points,) = [line for line in axes.lines if line.get_marker() == "o"]
        np.testing.assert_allclose(points.get_xdata(), place)
        np.testing.assert_allclose(points.get_ydata(), known[name].to_numpy())


def test_spectra_are_the_median_of_their_fields(tables):
    fields = select(tables.quasar_fields, {"network": "mnn"})
    _, figure = quasar_figure(tables, fields=fields)
    spectra = select(fields, {"source": "sdss"}).sort_by("r_low")
    spectra = spectra.filter(pc.greater(spectra["median"], 0))
    (points,) = [line for line in figure.axes[0].lines if line.get_marker() == "P"]
    np.testing.assert_allclose(points.get_ydata(), spectra["median"].to_numpy())


def test_without_an_area_only_the_published_quasars_are_drawn(tables):
    rows = select(tables.quasar_counts, {"network": "mnn"}).slice(20, 2)
    for name in ("area_sq_deg", *(n for n in rows.column_names if "per_sq_deg" in n)):
        place = rows.column_names.index(name)
        rows = rows.set_column(place, name, pa.array([np.nan, np.nan]))
    figure = draw_quasar_counts(QuasarTables(rows, published=tables.quasar_published))
    bins, brighter = figure.axes
    assert [line.get_xdata().size for line in bins.lines[:2]] == [0, 0]
    shown = [y for line in brighter.lines for y in line.get_ydata()]
    assert shown == list(dict.fromkeys(tables.quasar_published["printed_per_sq_deg"].to_pylist()))
    assert inline_svg(figure, "q").startswith("<svg")


def emptied(table):
    """The table with NaN for every density."""
    for name in table.column_names:
        if (
            any(part in name for part in ("per_sq_deg", "median", "low", "high"))
            and name[:2] != "r_"
        ):
            nothing = pa.array([np.nan] * table.num_rows)
            table = table.set_column(table.column_names.index(name), name, nothing)
    return table


def test_the_legend_of_quasars_names_what_is_drawn(tables):
    own = {
        name: select(getattr(tables, f"quasar_{name}"), {"network": "mnn"})
        for name in ("fields", "corrected")
    }
    ours = {"68% of fields", "sdss spectra", "corrected by labels"}
    for shown, expected in ((own, ours), ({n: emptied(t) for n, t in own.items()}, set())):
        _, figure = quasar_figure(tables, **shown)
        (legend,) = figure.legends
        assert {text.get_text() for text in legend.get_texts()} & ours == expected


def test_the_report_draws_the_cut_and_the_numbers_that_the_reductions_give():
    assert CORRECTED_AT == QUOTED_CUT
    assert QUOTED_CUT in CUTS
    assert set(PUBLISHED_MARKERS) == {each.source for each in FENG}


def test_colours_keep_every_source_and_contour_the_labels(tables):
    figure = draw_colour_colour(tables.colour_colour)
    classes = ["star", "quasar", "galaxy"]
    titles = [*classes, *(f"{name}, extrapolated" for name in classes)]
    assert [axes.get_title(loc="left") for axes in figure.axes] == titles
    stars = select(tables.colour_colour, {"sample": "catalogue", "class": "STAR"})
    for axes, beyond in ((figure.axes[0], False), (figure.axes[3], True)):
        shaded = (axes.images[0].get_array()[..., 3] > 0).sum()
        assert shaded == select(stars, {"extrapolated": beyond}).num_rows > 0
        assert axes.collections


def test_shapes_have_a_panel_a_class_and_a_line_for_comparison(tables):
    sizes, clumps = (
        select(tables.morphology, {"plane": plane}) for plane in ("size_magnitude", "gini_m20")
    )
    known, unknown = draw_size_magnitude(sizes, psf_fwhm_arcsec=0.7), draw_size_magnitude(sizes)
    for figure in (known, unknown, draw_gini_m20(clumps)):
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["star", "quasar", "galaxy"]
        assert figure.axes[0].images
    (line,) = known.axes[0].lines
    assert line.get_ydata() == pytest.approx([np.log10(0.568 * 0.7)] * 2)
    assert not unknown.axes[0].lines
    assert 10 ** line.get_ydata()[0] == pytest.approx(half_light_of_seeing(0.7), rel=2e-3)


def half_light_of_seeing(fwhm):
    """Radius of half the light of a Moffat profile of exponent 4.765, from its growth curve."""
    core = fwhm / (2 * np.sqrt(2 ** (1 / 4.765) - 1))
    return core * np.sqrt(0.5 ** (1 / (1 - 4.765)) - 1)


def colours_of(cells):
    """One class in the catalogue and one sample, in the cells (x, y, count) of 0.05 mag."""
    rows = [
        {"network": "mnn", "sample": sample, "class": "STAR"}
        | {"x_colour": "g-r", "y_colour": "r-i", "count": count}
        | {"x_low": 0.05 * x, "x_high": 0.05 * (x + 1)}
        | {"y_low": 0.05 * y, "y_high": 0.05 * (y + 1)}
        for sample in ("catalogue", "sdss")
        for x, y, count in cells
    ]
    return pa.Table.from_pylist(rows)


def test_cells_keep_their_place_where_those_between_them_are_empty():
    axes = draw_colour_colour(colours_of([(0, 0, 1), (1, 7, 3), (9, 2, 1)])).axes[0]
    image = axes.images[0]
    assert image.get_array().shape == (8, 10, 4)
    assert image.get_extent() == pytest.approx([0, 0.5, 0, 0.4])
    shown = np.argwhere(image.get_array()[..., 3] > 0).tolist()
    assert shown == [[0, 0], [2, 9], [7, 1]]


def test_contours_go_round_as_few_as_two_by_two_cells():
    figure = draw_colour_colour(colours_of([(3, 4, 1), (4, 5, 9)]))
    assert figure.axes[0].collections


@pytest.mark.parametrize(
    "cells", [[(3, 4, 1)], [(3, 4, 5), (4, 4, 9), (5, 4, 2)], [(3, 4, 5), (3, 5, 9)]]
)
def test_sources_in_one_row_of_cells_are_shaded_without_contours(cells):
    axes = draw_colour_colour(colours_of(cells)).axes[0]
    assert (axes.images[0].get_array()[..., 3] > 0).sum() == len(cells)
    assert not axes.collections


def test_fields_run_on_across_right_ascension_zero():
    ra = np.array([1.0, 359.0, 0.0, 358.0, 181.0, 180.0])
    fields = split_fields(ra, np.arange(6.0))
    assert [field.ra.tolist() for field in fields] == [[180, 181], [358, 359, 360, 361]]
    for field in fields:
        np.testing.assert_array_equal(field.ra % 360, ra[field.rows])
        np.testing.assert_array_equal(field.dec, field.rows)


@pytest.mark.parametrize("turn", [0.0, 77.7, 200.0, 359.5])
def test_fields_are_the_same_wherever_zero_lies(turn):
    rng = np.random.default_rng(5)
    ra = np.concatenate([rng.uniform(10, 40, 30), rng.uniform(150, 230, 80)])
    fields = split_fields((ra + turn) % 360, np.zeros(110))
    assert sorted(len(field.ra) for field in fields) == [30, 80]
    assert all(np.ptp(field.ra) < 81 for field in fields)
    assert sorted(np.concatenate([field.rows for field in fields])) == list(range(110))


def test_a_whole_sky_and_a_single_cell_are_one_field():
    ra = np.linspace(0, 359, 60)
    assert [len(f.ra) for f in split_fields(ra, np.zeros(60))] == [60]
    assert [f.ra.tolist() for f in split_fields(np.array([12.0]), np.zeros(1))] == [[12.0]]


def test_sky_colours_are_density_whatever_the_order(tables):
    # The same density in pixels of two orders has the same colour.
    table = pa.table(
        {
            "order": [6, 7],
            "pixel": [0, 9],
            "ra": [10.0, 11.0],
            "dec": [-30.0, -30.0],
            "count": [400, 100],
        }
    )
    values = draw_sky(table).axes[0].collections[0].get_array()
    assert values[0] == pytest.approx(values[1])
    # An order 6 pixel is 0.839 square degrees.
    assert values[0] == pytest.approx(400 / 0.8393, rel=1e-3)


def test_stretch_shows_noise_and_core():
    rng = np.random.default_rng(1)
    image = rng.normal(5, 1, (41, 41))
    image[20, 20] = 1e5
    shown = asinh_stretch(image)
    assert shown[20, 20] == 1
    assert 0.02 < np.median(shown) < 0.2
    assert np.isfinite(asinh_stretch(np.zeros((3, 3)))).all()


def test_a_source_without_image_says_so(tables):
    row = tables.gallery.slice(0, 1).to_pylist()[0]
    assert draw_source(row).axes[0].images
    blank = row | {"image": None, "magnitudes": None, "size_px": None}
    assert texts(draw_source(blank).axes[0]) == ["no image"]


def test_cut_flow_has_one_panel_per_table(tables):
    figure = draw_cut_flow(tables.cut_flow)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["photometry", "sdss"]
    assert "−30,412 (26.3%)" in texts(figure.axes[0])


def test_stages_without_time_or_rows():
    table = pa.table(
        {
            "stage": ["match"],
            "tasks": [0],
            "skipped": [3],
            "rows": [0],
            "seconds": [float("nan")],
            "rows_per_second": [float("nan")],
        }
    )
    assert texts(draw_stages(table).axes[0]) == ["–"]


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_drawings_follow_the_page(tables, layout):
    svg = inline_svg(draw_confusion(tables.confusion, layout), "some-figure")
    assert svg.startswith("<svg")
    for colour in VARIABLES:
        assert colour not in svg.lower()
    assert "var(--ink)" in svg
    assert "<metadata" not in svg
    assert all(part.startswith("some-figure-") for part in svg.split(' id="')[1:])


def test_a_class_looks_the_same_however_it_is_written():
    assert class_look("GALAXY") == class_look("galaxy")
    assert class_look("QSO") == class_look("quasar")
    assert class_look("AGN") == class_look("AGN")


def test_drawing_leaves_the_settings_of_others_alone(tables):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw_confusion(tables.confusion)
    assert dict(mpl.rcParams) == before
    assert STYLE["text.parse_math"] is False
