"""What a backend says of the networks and sources of a folder.

``python -m tests.models.backend_answers BACKEND FOLDER`` is a process of its own, as a process can
run one backend only; it leaves ``BACKEND.npz``.
"""

import sys
from pathlib import Path

import numpy as np

from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.table import network_entry
from kidsclf.schema import PackedStamps
from kidsclf.store.stamp_encoding import decode_stamps

DATA = InputDescription(tuple("ugri"), ("r",), 21, ("STAR", "QSO", "GALAXY"))
NETWORKS = ("mlp", "mnn_fast")
BATCH = 64


def answers(folder, backend):
    """Ask each network, read from its file and made ready to answer, on a backend.

    ``NAME`` is what it says of stamps in maggies, ``NAME packed`` of the same as they are stored.
    """
    from kidsclf.models.inference import FoldedNetwork
    from kidsclf.models.neural import read_neural

    said = {}
    for name in NETWORKS:
        entry, given = network_entry(name), np.load(folder / name / "sources.npz")
        network = read_neural(entry, entry.reads(DATA, "r"), folder / name)
        ready = FoldedNetwork.of(network, "float32", 1, backend)
        photometry, stamps = given["photometry"], None
        if entry.images:
            codes, steps = given["codes"], given["steps"]
            stamps = decode_stamps(codes[..., 0], steps[:, 0])[..., None]
            said[f"{name} packed"] = ready.predict(photometry, PackedStamps(codes, steps), BATCH)
        said[name] = ready.predict(photometry, stamps, BATCH)
    return said


def main(backend, folder):
    prepare_backend(backend, 1)
    import keras

    assert keras.config.backend() == ("tensorflow" if backend == "openvino" else backend)
    np.savez(folder / f"{backend}.npz", **answers(folder, backend))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
