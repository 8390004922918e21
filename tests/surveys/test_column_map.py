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
    promised = {
        "kids_dr4",
        "kids_dr5",
        "sdss_photometry",
        "sdss_specobj",
        "gaia",
        "gama",
        "generic",
    }
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
    assert magnitudes.of("i").columns == ("MAG_GAAP_i1",)
    assert magnitudes.of("i").sentinels == magnitudes.of("r").sentinels == (99.0, -99.0)
    assert magnitudes.of("r").columns == ("MAG_GAAP_r", "MAGERR_GAAP_r")


def test_bands_may_be_left_out_of_a_map_that_is_extended(write):
    """What the other map says of bands that are left out does not matter then."""
    for base, bands in (("kids_dr5", ("g", "r")), ("sdss_photometry", ("g", "r"))):
        column_map = load_column_map(write(f'extends = "{base}"\nbands = {list(bands)}'))
        assert tuple(column_map.photometry()) == bands


def test_both_passes_of_kids_dr5_can_be_bands(write):
    bands = ["u", "g", "r", "i1", "i2", "Z", "Y", "J", "H", "Ks"]
    column_map = load_column_map(write(f'extends = "kids_dr5"\nbands = {bands}'))
    columns = [photometry.column for photometry in column_map.photometry().values()]
    assert columns == [f"MAG_GAAP_{band}" for band in bands]
    assert load_column_map("kids_dr5").photometry()["i"].columns == (
        "MAG_GAAP_i1",
        "MAGERR_GAAP_i1",
    )


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
        (
            'extends = "gaia"\n[identifier]\nfrom_rows = true',
            "either columns or from_coordinates = true or from_rows = true",
        ),
        ('extends = "gaia"\n[position]\ninvented = true', "either ra and dec or invented"),
        ('extends = "generic"\n[position]\nra = []', "either ra and dec or invented"),
        (
            'name = "x"\n[identifier]\nfrom_coordinates = true\n[position]\ninvented = true',
            "from_coordinates needs coordinates.*from_rows",
        ),
        (
            'extends = "sdss_photometry"\n[magnitudes.ab_offsets]\nU = 0.1',
            "magnitudes.ab_offsets.U, but its bands are u, g, r, i, z; correct",
        ),
        (
            'extends = "kids_dr4"\n[magnitudes.bands.K]\ncolumn = "x"',
            "magnitudes.bands.K, but its bands are u, g",
        ),
        (
            'extends = "kids_dr4"\n[magnitudes]\nunit = "flux"',
            "needs zero_point, the AB magnitude of unit flux",
        ),
        ('extends = "kids_dr4"\n[magnitudes]\nunit = "counts"', "magnitudes.unit.*'counts'"),
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
    with pytest.raises(ConfigError, match=r"'kids_dr7'; did you mean 'kids_dr[45]'"):
        load_column_map("kids_dr7")
    with pytest.raises(ConfigError, match=r"known are eyes, gaia, "):
        load_column_map("zzzzzz")
    with pytest.raises(ConfigError, match=r"nowhere.toml: No such file"):
        load_column_map("nowhere.toml")
