"""Shapes as the stage writes them: units of the sky, rows alone, and a feature of one's own."""

import re
from pathlib import Path

import numpy as np
import pytest

from kidsclf.errors import InputError
from kidsclf.features.morphology.flags import MorphologyFlag
from kidsclf.features.morphology.measure import measure
from kidsclf.features.shapes import measure_shapes, peak_bytes, seeing_psf
from kidsclf.features.table import COLUMNS, columns_written
from kidsclf.schema import canonical_names

DOCS = Path(__file__).parents[2] / "docs"
NOISE = 2e-12


@pytest.fixture(scope="module")
def stamps() -> np.ndarray:
    """Gaussian sources of 17 < r < 21 with an axis ratio and a size of their own, maggies."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[-20:21, -20:21]
    width, ratio = rng.uniform(1.5, 4.0, (120, 1, 1)), rng.uniform(0.5, 1.0, (120, 1, 1))
    light = np.exp(-0.5 * (x**2 + (y / ratio) ** 2) / width**2)
    flux = 10 ** rng.uniform(-8.4, -6.8, (120, 1, 1))
    light *= flux / light.sum(axis=(1, 2), keepdims=True)
    return (light + rng.normal(0, NOISE, light.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def unmasked(stamps) -> np.ndarray:
    return np.zeros(stamps.shape, bool)


@pytest.fixture(scope="module")
def shapes(stamps, unmasked) -> dict[str, np.ndarray]:
    return measure_shapes(stamps, unmasked, list(COLUMNS), 0.2, 0.7)


def test_columns_are_those_of_the_table(shapes):
    assert list(shapes) == [column.name for column in columns_written(list(COLUMNS))]
    assert len(shapes) == len(COLUMNS) + 2
    kinds = {str(values.dtype) for name, values in shapes.items() if not name.endswith("_flags")}
    assert kinds == {"float32"}
    assert shapes["morphology_flags"].dtype == shapes["sersic_flags"].dtype == np.int32
    assert not set(COLUMNS) & canonical_names("ugri")


def test_lengths_are_arcsec_and_all_else_is_as_measured(stamps, unmasked, shapes):
    plain = measure(stamps, psf=seeing_psf(3.5), masks=unmasked)
    for name, values in plain.items():
        factor = np.float32(0.2) if name in COLUMNS and COLUMNS[name].unit == "arcsec" else 1
        np.testing.assert_array_equal(shapes[name], values * factor, err_msg=name)
    units = {name: column.unit for name, column in COLUMNS.items()}
    assert (units["petrosian_radius"], units["x"], units["area"]) == ("arcsec", "px", "px2")
    assert (units["flux_circle"], units["orientation"], units["gini"]) == ("maggy", "rad", "")


def test_a_row_stands_for_itself(stamps, unmasked, shapes):
    """To the last bit: what stands beside a source depends on how the sky is split."""
    order = np.random.default_rng(5).permutation(len(stamps))
    parts = [
        measure_shapes(stamps[rows], unmasked[rows], list(COLUMNS), 0.2, 0.7)
        for rows in np.array_split(order, 7)
    ]
    for name, values in shapes.items():
        alone = np.concatenate([part[name] for part in parts])
        assert alone.tobytes() == values[order].tobytes(), name


def test_fits_find_what_was_drawn(stamps, unmasked):
    """Profiles of index 1 are not Gaussians, but flux and size of these are known."""
    found = measure_shapes(stamps, unmasked, ["sersic_flux", "sersic_flux_error"], 0.2, 0.3)
    true = stamps.sum(axis=(1, 2))
    bias = found["sersic_flux"] / true - 1
    assert abs(np.nanmedian(bias)) < 0.02
    assert np.nanmax(found["sersic_flux_error"] / true) < 0.1


def test_what_needs_a_psf_is_refused_without_one(stamps, unmasked):
    for name in ("spread_model", "sersic_index"):
        with pytest.raises(InputError, match=f"{name} were asked for, which compare with the PSF"):
            measure_shapes(stamps, unmasked, [name], 0.2, None)


def test_masked_pixels_are_told(stamps, unmasked):
    masks = unmasked.copy()
    masks[:, 18:23, 20] = True
    flags = measure_shapes(stamps, masks, ["gini"], 0.2, None)["morphology_flags"]
    assert (flags & MorphologyFlag.MASKED != 0).all()


def test_a_psf_has_the_seeing_that_was_asked_for():
    psf = seeing_psf(4.0)
    assert psf.shape == (29, 29)
    assert psf.sum() == pytest.approx(1.0)
    across = np.interp(np.arange(0, 14, 0.01), np.arange(15), psf[14, 14:] / psf[14, 14], right=0.0)
    assert 2 * 0.01 * np.count_nonzero(across > 0.5) == pytest.approx(4.0, rel=0.1)


def test_larger_stamps_need_more_memory():
    plain = peak_bytes(4096, 41, ["gini"])
    assert peak_bytes(4096, 101, ["gini"]) > plain
    assert peak_bytes(4096, 41, ["sersic_index"]) > plain > peak_bytes(64, 41, ["gini"])


def test_every_column_of_fits_is_documented():
    text = (DOCS / "morphology.md").read_text(encoding="utf-8")
    fitted = [name for name in COLUMNS if name.startswith("sersic") and "_error" not in name]
    assert [name for name in fitted if f"| `{name}` |" not in text] == []


def test_the_feature_of_ones_own_in_the_documentation_runs(stamps):
    _, _, section = (
        (DOCS / "morphology.md").read_text("utf-8").partition("## A feature of your own")
    )
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names = {"stamps": stamps}
    exec(code, names)
    columns = names["columns"]
    np.testing.assert_allclose(columns["core_share"], columns["r20"] / columns["r50"], rtol=1e-5)
    assert np.isfinite(columns["core_share"]).mean() > 0.9
