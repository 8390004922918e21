"""A loop written in LLVM's vectors gives the same bits on a processor that lacks wide ones."""

import os
import subprocess
import sys

SCRIPT = """
import hashlib
import numpy as np
from kidsclf.models.compiled import cells
from kidsclf.models.compiled_pairs import SHARES, sum_pairs
rng, nodes = np.random.default_rng(1), np.linspace(-8, 8, 9).astype(np.float32)
pieces = np.stack([nodes[:-1], np.append(nodes[1:-1], np.float32(np.inf))], axis=1)
before = np.stack([cells(nodes, 64), cells(nodes, 64) + 8]).astype(np.int32)
pairs = rng.integers(-32767, 32767, (16, 128, 2)).astype(np.int16)
zeros, ones = np.zeros(2, np.float32), np.ones(2, np.float32)
photometry, out = rng.normal(0, 4, (500, 2)).astype(np.float32), np.empty((500, 128), np.uint16)
density, bias = np.full(16, SHARES / 2, np.float32), np.zeros(128, np.float32)
pieces = np.concatenate([pieces, pieces])
step = np.float32(2.0**-20)
sum_pairs(photometry, zeros, ones, pieces, density, before, pairs, step, bias, out)
assert out.any()
print(hashlib.sha256(out.tobytes()).hexdigest())
"""


def _said(tmp_path, **processor):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **processor},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1]


def test_a_processor_without_wide_vectors_gives_the_same_bits(tmp_path):
    plain = _said(tmp_path / "plain", NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert plain == _said(tmp_path / "here")
