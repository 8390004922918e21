"""A training that is cut short goes on from its last epoch, to the same bits."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from test_fit import SETTINGS, fit_on, sky, with_neural, written

from kidsclf.errors import StoreError
from kidsclf.pipeline.checkpoint_file import CheckpointFile

# Keras hands TensorFlow's tensors to numpy.array, which warns that they predate NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class Cut(Exception):
    """Stands for whatever ends a training."""


@dataclass(frozen=True)
class CutShort(CheckpointFile):
    """Ends the training when so many epochs are kept."""

    epochs: int = 2

    def save(self, arrays):
        super().save(arrays)
        with self.opened() as kept:
            if len(kept["history"]) == self.epochs:
                self.end()

    def end(self):
        raise Cut


class KillsItself(CutShort):
    """Ends it for good."""

    def end(self):
        os.kill(os.getpid(), signal.SIGKILL)


def train(name, settings, checkpoints=None):
    return fit_on(name, sky(96, 1), sky(60, 2), settings, 1, checkpoints)


def same(one, other, folder) -> bool:
    for name in ("one", "other"):
        (folder / name).mkdir()
    bytes_same = written(one, folder / "one") == written(other, folder / "other")
    return bytes_same and one.history == other.history and one.scores == other.scores


def killed(path: str) -> None:
    """Train in this process until it kills itself."""
    train("mlp", SETTINGS, KillsItself(Path(path)))


def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path):
    path = tmp_path / "checkpoint.npz"
    done = subprocess.run(
        [sys.executable, "-c", f"import test_checkpoints as t; t.killed({str(path)!r})"],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with CheckpointFile(path).opened() as kept:
        assert len(kept["history"]) == 2
    assert same(train("mlp", SETTINGS, CheckpointFile(path)), train("mlp", SETTINGS), tmp_path)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mlp", {"weight_average": 0.8, "precision": "bfloat16", "epochs": 2}),
        ("small", {"augment": "turns", "epochs": 2}),
    ],
    ids=["mean weights in bfloat16", "turned stamps"],
)
def test_all_that_the_next_epoch_depends_on_is_kept(name, changes, tmp_path):
    settings, path = with_neural(**changes), tmp_path / "checkpoint.npz"
    with pytest.raises(Cut):
        train(name, settings, CutShort(path, epochs=1))
    again = train(name, settings, CheckpointFile(path))
    assert same(again, train(name, settings), tmp_path)


def test_a_checkpoint_of_the_last_epoch_needs_no_more(tmp_path):
    once, path = with_neural(epochs=1), tmp_path / "checkpoint.npz"
    whole = train("mlp", once, CheckpointFile(path))
    before = path.stat().st_mtime_ns
    assert same(train("mlp", once, CheckpointFile(path)), whole, tmp_path)
    assert path.stat().st_mtime_ns == before


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    np.savez(path, history=np.array([object()], object))
    with pytest.raises(StoreError, match="remove it, and training begins anew"):
        train("mlp", SETTINGS, CheckpointFile(path))
