"""Verdicts of the explorer go through match and train, and outlive a fresh start."""

import json
import shutil

import pyarrow.dataset as ds
import pyarrow.parquet as pq
from upath import UPath

from kidsclf.explorer.verdicts import Judged, open_verdicts
from kidsclf.run import main
from kidsclf.store.layout import WorkDirectory

WORDS = {"STAR": "star", "QSO": "quasar", "GALAXY": "galaxy"}
EYES = """
[samples.eyes]
preset = "eyes"
tables = ["work/verdicts/verdicts.parquet"]
"""


def test_a_network_learns_from_verdicts(
    small_survey, finished_run, command, workers, tmp_path, capsys
):
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    files = ds.dataset(work / "catalog/dataset", exclude_invalid_files=True)
    rows = files.to_table().sort_by("name").slice(0, 150).to_pylist()
    with open_verdicts(WorkDirectory(UPath(work))) as verdicts:
        for number, row in enumerate(rows):
            word = "junk" if number < 20 else WORDS[row["label"]]
            place = (row["_healpix_29"], row["name"], row["ra"], row["dec"])
            verdicts.give(Judged(*place, "xgboost", "QSO", 0.4), word)
    kept = (work / "verdicts/verdicts.parquet").read_bytes()
    assert main(["check", str(work)]) == 0
    assert main(["status", str(work)]) == 0
    assert "done, no run is at work" in capsys.readouterr().out

    for name in ("catalogue-0.parquet", "catalogue-1.parquet"):
        (tmp_path / name).symlink_to(small_survey / name)
    text = (small_survey / "run.toml").read_text()
    text = text.replace("[train]", f'{EYES}[train]\nsample = "eyes"')
    (tmp_path / "run.toml").write_text(text)
    asked = ("--stages", "ingest,match,train", "--fresh", "--cluster", workers)
    done = command(tmp_path / "run.toml", "--workdir", work, *asked)
    assert done.code == 0, done.err
    assert (work / "verdicts/verdicts.parquet").read_bytes() == kept
    assert not (work / "products").exists()
    eyes = ds.dataset(work / "samples/eyes/dataset", exclude_invalid_files=True).to_table()
    expected = {row["name"]: row["label"] for row in rows[20:]}
    assert dict(zip(eyes["name"].to_pylist(), eyes["label"].to_pylist(), strict=True)) == expected
    facts = json.loads((work / "receipts/match/summary.json").read_text())["facts"]
    assert sum(rows_cut for *_, rows_cut in facts["cuts"]["eyes"]) == 20
    card = json.loads((work / "models/xgboost/card.json").read_text())
    assert 80 < card["scores"]["train_rows"] < 130
    assert pq.read_table(work / "models/xgboost/validation.parquet").num_rows > 5
