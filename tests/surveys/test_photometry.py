"""Units of photometry: the same source, stated in every way there is."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from pydantic import ValidationError

from kidsclf.surveys import ColumnMap, plan_chunks, read_chunk
from kidsclf.surveys.magnitudes import Magnitudes

AB = 21.5
SIGMA = 0.05
BASE = {
    "name": "own",
    "identifier": {"from_rows": True},
    "position": {"ra": "ra", "dec": "dec"},
    "bands": ("r",),
    "reference_band": "r",
}


@pytest.fixture
def measure(tmp_path):
    def read(magnitudes, **columns) -> tuple[float, float]:
        table = {name: [float(value)] for name, value in columns.items()}
        path = tmp_path / "one.parquet"
        pq.write_table(pa.table({"ra": [1.0], "dec": [2.0]} | table), path)
        own = ColumnMap.model_validate(BASE | {"magnitudes": {"column": "m"} | magnitudes})
        (chunk,) = plan_chunks([path], 10)
        found = read_chunk(chunk, own)
        return found["mag_r"][0].as_py(), found["mag_err_r"][0].as_py()

    return read


@pytest.mark.parametrize(
    ("unit", "flux"),
    [
        ("maggy", units.Unit("3631 Jy")),
        ("nanomaggy", units.Unit("3.631e-6 Jy")),
        ("jansky", units.Jy),
        ("millijansky", units.mJy),
        ("microjansky", units.uJy),
        ("nanojansky", units.nJy),
    ],
)
def test_fluxes_agree_with_astropy(measure, unit, flux):
    value = (AB * units.ABmag).to_value(flux)
    sigma = value * SIGMA / 1.0857362
    magnitude, error = measure({"unit": unit, "error": "s"}, m=value, s=sigma)
    # astropy rounds the zero of AB to 3631 Jy; -48.60 is 3630.78 Jy, 0.07 mmag away.
    assert magnitude == pytest.approx(AB, abs=1e-4)
    assert error == pytest.approx(SIGMA, rel=1e-6)


def test_fluxes_of_any_zero_point(measure):
    own = {"unit": "flux", "zero_point": 30.0, "error": "s"}
    magnitude, error = measure(own, m=10 ** (0.4 * 8.5), s=10 ** (0.4 * 8.5) * SIGMA / 1.0857362)
    assert (magnitude, error) == (pytest.approx(21.5), pytest.approx(SIGMA, rel=1e-6))


def test_errors_stated_in_three_ways(measure):
    flux = 10.0
    sigma = flux * SIGMA / 1.0857362
    for kind, stated in (
        ("sigma", sigma),
        ("inverse_variance", sigma**-2),
        ("signal_to_noise", flux / sigma),
    ):
        own = {"unit": "nanomaggy", "error": "s", "error_kind": kind}
        assert measure(own, m=flux, s=stated)[1] == pytest.approx(SIGMA, rel=1e-6)
    for kind, stated in (
        ("sigma", SIGMA),
        ("inverse_variance", SIGMA**-2),
        ("signal_to_noise", 1.0857362 / SIGMA),
    ):
        own = {"error": "s", "error_kind": kind}
        assert measure(own, m=AB, s=stated)[1] == pytest.approx(SIGMA, rel=1e-6)


@pytest.mark.parametrize("kind", ["inverse_variance", "signal_to_noise"])
@pytest.mark.parametrize("error", [0.0, -1.0, np.nan, np.inf])
def test_errors_that_are_none(measure, kind, error):
    magnitude, found = measure({"error": "s", "error_kind": kind}, m=AB, s=error)
    assert magnitude == AB
    assert np.isnan(found)


@pytest.mark.parametrize("unit", ["mag", "microjansky"])
@pytest.mark.parametrize("missing", [-99.0, 99.0, -9999.0, np.nan])
def test_without_its_extinction_a_magnitude_is_missing(measure, unit, missing):
    own = {"unit": unit, "extinction": "a_{band}", "error": "s"}
    assert np.isnan(measure(own, m=20.0, s=0.1, a_r=missing)).all()


def test_vega_and_extinction_add_up(measure):
    own = {"ab_offsets": {"r": 0.91}, "extinction": "a_{band}"}
    assert measure(own, m=20.0, a_r=0.25)[0] == pytest.approx(20.0 + 0.91 - 0.25)


@pytest.mark.parametrize("value", [99.0, -99.9, -9999.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["sigma", "inverse_variance", "signal_to_noise"])
def test_magnitudes_that_are_none_whatever_the_errors_are(measure, value, kind):
    own = {"error": "s", "error_kind": kind}
    assert np.isnan(measure(own, m=value, s=5.0)).all()


def test_a_band_of_its_own():
    magnitudes = Magnitudes.model_validate(
        {
            "column": "f_{band}",
            "error": "ivar_{band}",
            "error_kind": "inverse_variance",
            "extinction": "a_{band}",
            "unit": "nanomaggy",
            "sentinels": (-9999,),
            "ab_offsets": {"J": 0.91},
            "bands": {
                "J": {"column": "j_vega", "error": "j_err", "unit": "mag", "error_kind": "sigma"},
                "z": {"sentinels": (0, -1)},
                "U": {"unit": "flux", "zero_point": 20.08},
            },
        }
    )
    plain, own, missing, counts = (magnitudes.of(band) for band in ("g", "J", "z", "U"))
    assert plain.columns == ("f_g", "ivar_g", "a_g")
    assert (plain.zero_point, plain.ab_offset, plain.sentinels) == (22.5, 0.0, (-9999,))
    assert own.columns == ("j_vega", "j_err")
    assert (own.zero_point, own.ab_offset, own.error_kind) == (None, 0.91, "sigma")
    assert missing.columns == ("f_z", "ivar_z", "a_z")
    assert missing.sentinels == (0, -1)
    assert counts.zero_point == 20.08
    assert counts.columns == ("f_U", "ivar_U", "a_U")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"unit": "flux"}, "needs zero_point"),
        ({"zero_point": 25.0}, "goes with unit = 'flux'"),
        ({"bands": {"r": {"unit": "flux"}}}, "needs zero_point"),
        (
            {"unit": "flux", "zero_point": 1.0, "bands": {"r": {"unit": "mag", "zero_point": 2}}},
            "go",
        ),
    ],
)
def test_zero_points_that_do_not_fit(wrong, said):
    with pytest.raises(ValidationError, match=said):
        Magnitudes.model_validate({"column": "m"} | wrong)
