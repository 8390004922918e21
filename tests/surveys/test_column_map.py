"""Column maps: shipped ones load, a user's own may start from them, mistakes are named."""

import pickle

import pytest

from kidsclf.errors import ConfigError
from kidsclf.surveys import load_column_map, preset_names


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "own.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_travel(name):
    column_map = load_column_map(name)
    assert column_map.name == name
    assert pickle.loads(pickle.dumps(column_map)) == column_map


def test_the_promised_presets_are_there():
    promised = {"kids_dr4", "sdss_photometry", "sdss_specobj", "gaia", "gama", "generic"}
    assert promised <= set(preset_names())


def test_a_map_may_extend_another(write):
    path = write('extends = "kids_dr4"\n[half_light_radius]\npixel_scale_arcsec = 0.3')
    column_map = load_column_map(path)
    assert column_map.half_light_radius.pixel_scale_arcsec == 0.3
    assert column_map.half_light_radius.column == "FLUX_RADIUS"
    assert column_map.bands == load_column_map("kids_dr4").bands
    child = write('extends = "own.toml"\nname = "child"', "child.toml")
    assert load_column_map(child).half_light_radius == column_map.half_light_radius


def test_a_band_may_have_columns_of_its_own(write):
    path = write('extends = "kids_dr4"\n[magnitudes.bands.i]\ncolumn = "MAG_GAAP_i1"')
    magnitudes = load_column_map(path).magnitudes
    assert magnitudes.value_column("i") == "MAG_GAAP_i1"
    assert magnitudes.error_column("i") is None
    assert magnitudes.columns_of("r") == ("MAG_GAAP_r", "MAGERR_GAAP_r")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('extends = "kids_dr4"\n[magnitudes]\ncolunm = "x"', "magnitudes.colunm.*'column'"),
        ('extends = "kids_dr4"\nbnads = ["r"]', "bnads.*'bands'"),
        (
            'extends = "kids_dr4"\n[magnitudes.bands.i]\ncolumn = "x"\neror = "y"',
            "magnitudes.bands.i.eror.*'error'",
        ),
        (
            'extends = "gaia"\n[[cuts]]\nname = "x"\ncolums = "y"\nop = "=="\nvalue = 1',
            "cuts.0.colums.*'columns'",
        ),
        ('extends = "kids_dr4"\nreference_band = "q"', "reference_band must be one of bands"),
        ('extends = "kids_dr4"\nbands = ["r", "r"]', "named twice"),
        ('extends = "generic"\nbands = ["r"]\nreference_band = "r"', "go together"),
        ('extends = "gaia"\n[label]\ncolumn = "class"', "either column or constant"),
        ('extends = "gaia"\n[identifier]\nfrom_coordinates = true', "either columns or"),
        (
            'extends = "gaia"\n[half_light_radius]\ncolumn = "x"\nunit = "pix"',
            "needs pixel_scale_arcsec",
        ),
        (
            'extends = "gaia"\n[[cuts]]\nname = "x"\ncolumns = "y"\nop = "gaia_motion"',
            "six columns",
        ),
        (
            'extends = "gaia"\n[[cuts]]\nname = "x"\ncolumns = "y"\nop = "in"\nvalue = 1',
            "takes a list",
        ),
        (
            'extends = "gaia"\n[[cuts]]\nname = "x"\ncolumns = "y"\nop = "~"\nvalue = 1',
            "cuts.0.op.*'~'",
        ),
        ('name = "x"', "lacks identifier"),
        ('extends = "own.toml"', "extends itself"),
        ("name = ", "not valid TOML"),
    ],
)
def test_mistakes_are_named(write, text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        load_column_map(write(text))
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'kids_dr5'; did you mean 'kids_dr4'"):
        load_column_map("kids_dr5")
    with pytest.raises(ConfigError, match=r"known are gaia, gama"):
        load_column_map("zzzzzz")
    with pytest.raises(ConfigError, match=r"nowhere.toml: No such file"):
        load_column_map("nowhere.toml")
