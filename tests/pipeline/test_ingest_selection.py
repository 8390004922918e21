"""Selections of the configuration: in order, each counted, on columns of any kind."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kidsclf.config_file import build_config
from kidsclf.errors import ConfigError

COLUMNS = """
name = "test"
bands = ["r"]
reference_band = "r"
[identifier]
columns = ["id"]
[position]
ra = "ra"
dec = "dec"
[magnitudes]
column = "{band}"
error = "err_{band}"
extinction = "a_{band}"
[[cuts]]
name = "primary"
columns = "mode"
op = "=="
value = 1
"""
RUN = """
[survey]
preset = "columns.toml"
catalogue = ["tile-*.parquet"]
[ingest]
magnitude_limit = 21.0
keep_columns = ["mode"]
[[ingest.cuts]]
name = "unmasked"
columns = "mask"
op = "bits_clear"
value = 12
[[ingest.cuts]]
name = "south"
columns = "dec"
op = "<"
value = 0.0
[train]
networks = ["xgboost"]
pretrained = "models"
"""


@pytest.fixture
def survey(tmp_path):
    """Two tiles that overlap; what lies in both is called differently in each."""
    rng = np.random.default_rng(2)
    n = 400
    common = {"ra": 10 + rng.uniform(0, 0.01, 50), "dec": rng.uniform(-0.5, 0.5, 50)}
    for tile in (0, 1):
        table = {
            "id": [f"{tile}-{k}" for k in range(n)],
            "ra": np.append(10 + rng.uniform(-1, 0, n - 50) + tile, common["ra"]),
            "dec": np.append(rng.uniform(-0.5, 0.5, n - 50), common["dec"]),
            "r": rng.uniform(18, 22, n),
            "err_r": np.full(n, 0.1 + 0.1 * tile),
            "a_r": np.full(n, 0.25),
            "mode": rng.integers(1, 3, n),
            "mask": rng.integers(0, 16, n),
        }
        pq.write_table(pa.table(table), tmp_path / f"tile-{tile}.parquet")
    (tmp_path / "columns.toml").write_text(COLUMNS)
    (tmp_path / "run.toml").write_text(RUN)
    return tmp_path


def ingested(survey, command, *settings):
    work = survey / f"work-{len(settings)}"
    done = command(
        *(survey / "run.toml", "--workdir", work, "--stages", "ingest"),
        *("--set", "cluster.dashboard_port=0", *settings),
    )
    assert done.code == 0, done.err
    facts = json.loads((work / "receipts/ingest/summary.json").read_text())["facts"]
    files = sorted((work / "catalog/dataset").rglob("Npix=*.parquet"))
    tables = [pq.read_table(path, partitioning=None) for path in files]
    return [(cut[0], cut[2], cut[3]) for cut in facts["cuts"]], pa.concat_tables(tables)


def test_cuts_are_counted_in_their_order_and_extinction_is_taken_off(survey, command):
    cuts, table = ingested(survey, command)
    raw = pa.concat_tables([pq.read_table(survey / f"tile-{k}.parquet") for k in (0, 1)])
    column = {name: raw[name].to_numpy() for name in ("mode", "mask", "dec", "r")}
    steps = {
        "coordinates": np.ones(800, bool),
        "primary": column["mode"] == 1,
        "unmasked": column["mask"] & 12 == 0,
        "south": column["dec"] < 0,
        "bands": np.ones(800, bool),
        "magnitude": (column["r"] - 0.25).astype(np.float32) <= np.float32(21),
    }
    left, expected = np.ones(800, bool), []
    for step, keep in steps.items():
        expected.append((step, int(left.sum()), int((left & ~keep).sum())))
        left &= keep
    assert cuts == [*expected, ("duplicates", int(left.sum()), 0)]
    kept = raw.filter(pa.array(left))
    assert sorted(table["name"].to_pylist()) == sorted(kept["id"].to_pylist())
    found = dict(zip(table["name"].to_pylist(), table["mag_r"].to_pylist(), strict=True))
    wanted = dict(zip(kept["id"].to_pylist(), kept["r"].to_pylist(), strict=True))
    assert found == pytest.approx({name: r - 0.25 for name, r in wanted.items()}, abs=1e-5)
    assert table.column_names == ["_healpix_29", "name", "ra", "dec", "mag_r", "mag_err_r", "mode"]


def test_what_two_tiles_list_under_two_names_is_one_source(survey, command):
    loose = ("--set", "ingest.cuts=[]", "--set", "ingest.magnitude_limit=99.0")
    by_place = ("--set", 'ingest.duplicates.by="position"', "--set", "ingest.max_rows=50")
    cuts, table = ingested(survey, command, *loose, *by_place)
    raw = [pq.read_table(survey / f"tile-{k}.parquet") for k in (0, 1)]
    both = (raw[0]["mode"].to_numpy()[-50:] == 1) & (raw[1]["mode"].to_numpy()[-50:] == 1)
    assert both.any()
    assert cuts[-1][0] == "duplicates"
    assert cuts[-1][2] == both.sum()
    names = set(table["name"].to_pylist())
    worse = {raw[1]["id"][350 + k].as_py() for k in np.flatnonzero(both)}
    better = {raw[0]["id"][350 + k].as_py() for k in np.flatnonzero(both)}
    assert not names & worse
    assert better <= names


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"op": "bits_clear", "value": 1.5}, "whole number above 0"),
        ({"op": "in", "value": 3}, "takes a list"),
        ({"op": "between", "value": 3}, "input should be"),
        ({"op": "gaia_motion"}, "six columns"),
    ],
)
def test_a_cut_that_says_nothing_is_refused(rule, reason):
    raw = {"survey": {"preset": "kids_dr4"}}
    cut = {"name": "x", "columns": "MASK", **rule}
    with pytest.raises(ConfigError, match=reason):
        build_config(raw | {"ingest": {"cuts": [cut]}})


def test_a_tile_column_is_for_positions():
    raw = {"survey": {"preset": "kids_dr4"}}
    with pytest.raises(ConfigError, match="tile_column is for by = 'position'"):
        build_config(raw | {"ingest": {"duplicates": {"tile_column": "KIDS_TILE"}}})
