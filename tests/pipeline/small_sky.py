"""A finished run of a few hundred sources, written without running: for the explorer's tests.

Its sources lie where right ascension goes from 360 to 0, and round the north pole.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from upath import UPath

from kidsclf.explorer.catalogue import Explored, open_explored
from kidsclf.sky.partition import Partition, spatial_index
from kidsclf.store.catalogue import HatsCatalogue, sort_rows
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.tables import write_json

ORDER = 5
CLASSES = ("STAR", "QSO", "GALAXY")
SETTINGS = """[survey]
preset = "kids_dr4"
catalogue = ["drawn"]
[samples.sdss]
preset = "sdss_specobj"
[train]
networks = ["mnn"]
"""


def drawn_sources(seed: int = 1) -> pa.Table:
    """Draw 300 sources within a degree of (0, 0), and 100 within half a degree of the pole."""
    rng = np.random.default_rng(seed)
    dec = np.concatenate([rng.uniform(-1, 1, 300), 90 - rng.uniform(0, 0.5, 100)])
    ra = np.concatenate([rng.uniform(-1, 1, 300) % 360, rng.uniform(0, 360, 100)])
    p = rng.dirichlet(np.ones(3), 400).astype(np.float32)
    columns = {
        "_healpix_29": spatial_index(ra, dec),
        "name": [f"drawn {k}" for k in range(400)],
        "ra": ra,
        "dec": dec,
        "r": rng.uniform(18, 23, 400).astype(np.float32),
        "class": np.array(CLASSES)[p.argmax(axis=1)],
        "p_max": p.max(axis=1),
        "entropy": -(p * np.log(p)).sum(axis=1),
        "flags": np.zeros(400, np.int32),
    }
    for k, name in enumerate(CLASSES):
        columns |= {f"p_{name.lower()}": p[:, k], f"p_{name.lower()}_calibrated": p[:, k]}
    return sort_rows(pa.table(columns))


def drawn_run(root: Path) -> WorkDirectory:
    """Write a run of the drawn sources."""
    work, sources = WorkDirectory(UPath(root)), drawn_sources()
    root.mkdir(parents=True, exist_ok=True)
    (root / "run.toml").write_text(SETTINGS)
    measured = sources.select(["_healpix_29", "name", "ra", "dec", "r"])
    measured = measured.rename_columns(["_healpix_29", "name", "ra", "dec", "mag_r"])
    pixels = sources["_healpix_29"].to_numpy() >> (2 * (29 - ORDER))
    written = []
    for pixel in np.unique(pixels).tolist():
        inside = pa.array(pixels == pixel)
        partition = Partition(ORDER, pixel)
        HatsCatalogue(work.products / "catalog").write(partition, sources.filter(inside))
        HatsCatalogue(work.catalogue).write(partition, measured.filter(inside))
        written.append((partition, int((pixels == pixel).sum())))
    HatsCatalogue(work.products / "catalog").finish("catalog", written)
    write_json(work.products / "columns.json", {"columns": []})
    return work


def drawn_explored(root: Path) -> Explored:
    """Write such a run and open it."""
    return open_explored(drawn_run(root))
