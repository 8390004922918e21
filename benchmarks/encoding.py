"""What int16 stamps change in the answers of a network, against float32 stamps of the same sky.

A mock field is drawn and classified twice by the command: the image network ``mnn`` learns from
lossless stamps, and the same trained network then sees the int16 ones. Told are the changes of all
its probabilities, of sources that did not teach it and of all.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds

from benchmarks.record import Measurement, Record
from kidsclf.mock import MockSettings, write_survey
from kidsclf.schema import ScoreFlag

FIELDS = {"tiny": (0.02, 200, 1), "small": (0.1, 1500, 10), "full": (0.3, 4500, 10)}
"""Area in square degrees, labelled sources, epochs."""

CONFIG = """
[cluster]
dashboard_port = 0
[survey]
preset = "kids_dr4"
catalogue = "survey/catalogues/*.fits"
tiles = "survey/tiles/*_r_sci.fits*"
[ingest]
magnitude_limit = 23.0
[cutouts]
encoding = "{encoding}"
[samples.sdss]
preset = "sdss_specobj"
tables = "survey/labels/specObj-mock.fits"
[train]
networks = ["mnn"]
test_fraction = 0.3
[train.neural]
epochs = {epochs}
learning_rate = 3e-4
batch_size = 64
"""


def measure(size: str, repeats: int) -> Record:  # noqa: ARG001
    """Measure once whatever ``repeats``: the answer holds no chance."""
    area, labelled, epochs = FIELDS[size]
    with tempfile.TemporaryDirectory(prefix="kidsclf-encoding-") as name:
        folder = Path(name)
        settings = MockSettings(area_deg2=area, seed=5, labelled=labelled, compress=True)
        write_survey(settings, folder / "survey")
        scores = {
            encoding: _scores(folder, encoding, epochs, pretrained)
            for encoding, pretrained in (("float32", None), ("int16", folder / "float32/models"))
        }
    unseen = (scores["float32"]["flags"] & ScoreFlag.TRAINED_ON == 0) & (
        scores["float32"]["p_max"] >= 0  # NaN where a source has no image
    )
    measurements = []
    for which, rows in (("unseen", unseen), ("all", scores["float32"]["p_max"] >= 0)):
        measurements += _changes(which, scores["float32"], scores["int16"], rows)
    facts = {"square degrees": area, "labelled": labelled, "epochs": epochs}
    return Record("encoding", size, tuple(measurements), (), facts)


def _scores(
    folder: Path, encoding: str, epochs: int, pretrained: Path | None
) -> dict[str, np.ndarray]:
    config = folder / f"{encoding}.toml"
    config.write_text(CONFIG.format(encoding=encoding, epochs=epochs))
    work = folder / encoding
    command = [sys.executable, "-m", "kidsclf.run", config, "--workdir", work]
    command += ["--stages", "ingest,cutouts,match,train,infer"]
    if pretrained:
        command += ["--set", f"train.pretrained={pretrained}"]
    subprocess.run(command, check=True, env=os.environ, stdout=subprocess.DEVNULL)
    dataset = ds.dataset(work / "scores/mnn/dataset", exclude_invalid_files=True)
    table = dataset.to_table(["name", "class", "p_star", "p_qso", "p_galaxy", "p_max", "flags"])
    table = table.sort_by("name")
    return {name: table[name].to_numpy() for name in table.column_names}


def _changes(
    which: str, exact: dict[str, np.ndarray], coded: dict[str, np.ndarray], rows: np.ndarray
) -> list[Measurement]:
    classes = ("p_star", "p_qso", "p_galaxy")
    moved = np.max([np.abs(exact[name] - coded[name])[rows] for name in classes], axis=0)
    changed = (exact["class"] != coded["class"])[rows].sum()
    return [
        Measurement(f"{which} sources", "sources", "", (float(rows.sum()),)),
        Measurement(f"{which} sources", "median change of p", "", (float(np.median(moved)),)),
        Measurement(
            f"{which} sources", "99th percentile of it", "", (float(np.quantile(moved, 0.99)),)
        ),
        Measurement(f"{which} sources", "largest change of p", "", (float(moved.max()),)),
        Measurement(f"{which} sources", "changed classes", "", (float(changed),)),
    ]
