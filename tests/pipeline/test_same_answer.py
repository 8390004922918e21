"""The answer does not depend on the partitioning, or the number of workers; nothing is redone.

That it does not depend on anybody's death is shown in ``tests/faults``.
"""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from work_directories import science_of, summary_of


@given(
    max_rows=st.integers(60, 3000),
    chunk_rows=st.integers(100, 4000),
    seed=st.integers(0, 2**32),
)
@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # a whole run is too long to shrink
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_partitioning_changes_nothing(
    max_rows, chunk_rows, seed, small_survey, command, finished_run, workers, tmp_path_factory
):
    work = tmp_path_factory.mktemp("split") / "work"
    done = command(
        *(small_survey / "run.toml", "--workdir", work, "--cluster", workers),
        *("--set", f"ingest.max_rows={max_rows}", "--set", f"ingest.chunk_rows={chunk_rows}"),
    )
    assert done.code == 0, done.err
    for product in (
        *("products/catalog.fits", "products/catalog.parquet", "products/coverage.moc.fits"),
        *("products/columns.json", "products/README.txt"),
        "metrics/summary.json",
        "metrics/quasar_counts.parquet",
    ):
        assert (work / product).read_bytes() == (finished_run / product).read_bytes(), product
    shutil.rmtree(work)


@pytest.mark.parametrize("number", [1, 3])
def test_the_number_of_workers_changes_no_byte(
    number, small_survey, command, finished_run, tmp_path
):
    work = tmp_path / "work"
    done = command(
        *(small_survey / "run.toml", "--workdir", work, "--workers", number),
        *("--set", "cluster.dashboard_port=0"),
    )
    assert done.code == 0, done.err
    assert science_of(work) == science_of(finished_run)


def receipts_of(work: Path) -> dict[str, str]:
    """Read the receipts that stand whole."""
    found = {}
    for path in (work / "receipts").rglob("*.json"):
        if not path.name.startswith("."):
            found[str(path.relative_to(work))] = path.read_text()
    return found


def test_a_second_run_redoes_nothing(small_survey, command, finished_run, workers, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    again = command(small_survey / "run.toml", "--workdir", work, "--cluster", workers)
    assert again.code == 0, again.err
    assert receipts_of(work) == receipts_of(finished_run)
    assert science_of(work) == science_of(finished_run)
    assert "finished before" in again.err


def test_a_changed_setting_redoes_what_depends_on_it(
    small_survey, command, finished_run, workers, tmp_path
):
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    done = command(
        *(small_survey / "run.toml", "--workdir", work, "--cluster", workers),
        *("--set", "train.trees.trees=40"),
    )
    assert done.code == 0, done.err
    before, after = receipts_of(finished_run), receipts_of(work)
    changed = {path.split("/")[1] for path in after if after[path] != before.get(path)}
    assert changed == {"train", "infer", "reduce", "products"}
    accuracies = [
        summary_of(each)["networks"]["xgboost"]["accuracy"] for each in (finished_run, work)
    ]
    assert accuracies[0] != accuracies[1]


def test_a_deleted_file_is_made_again(small_survey, command, finished_run, workers, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    victim = sorted((work / "scores/xgboost").rglob("Npix=*.parquet"))[2]
    victim.unlink()
    done = command(small_survey / "run.toml", "--workdir", work, "--cluster", workers)
    assert done.code == 0, done.err
    assert science_of(work) == science_of(finished_run)
    assert summary_of(work)["rows_out"] > 0
