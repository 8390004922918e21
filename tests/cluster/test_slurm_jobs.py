"""What is asked of Slurm: the job script, for processors and GPUs, and the worker's lifetime."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kidsclf.cluster.slurm import job_options, jobqueue, lifetime_seconds, walltime_seconds
from kidsclf.config import ClusterSettings, SlurmSettings
from kidsclf.errors import ClusterError

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_ctrl_c_stays_as_it_was():
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # as in a shell
        "from kidsclf.cluster.slurm import jobqueue; jobqueue(); "
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def script(settings: ClusterSettings) -> str:
    environment = {"WITH_QUOTES": "two words; and 'quotes'"}
    job = jobqueue().slurm.SLURMJob(
        "tls://head:8786", "worker-0", **job_options(settings, environment)
    )
    return job.job_script()


def sbatch_lines(text: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if "#SBATCH" in line]


def test_a_job_of_one_worker():
    slurm = SlurmSettings(
        queue="long",
        account="stars",
        walltime="1-12",
        cores_per_worker=4,
        interface="ib0",
        job_extra_directives=("--constraint=haswell",),
        job_script_prologue=("module load gcc",),
    )
    text = script(ClusterSettings(kind="slurm", memory_gib_per_worker=6, slurm=slurm))
    assert sbatch_lines(text) == [
        *("-J kidsclf-worker", "-p long", "-A stars", "-n 1", "--cpus-per-task=4", "--mem=6G"),
        *("-t 1-12", "--constraint=haswell"),
    ]
    assert "module load gcc" in text.splitlines()
    (worker,) = [line for line in text.splitlines() if "dask_worker" in line]
    assert "--nthreads 1 --memory-limit 6.00GiB" in worker
    assert "--nanny" in worker
    assert "--dashboard-address 127.0.0.1:0" in worker
    assert "--interface ib0" in worker
    said = subprocess.run(
        ["bash"],
        input=text.replace(worker, 'echo "$WITH_QUOTES"').replace("module load gcc", ""),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "two words; and 'quotes'\n"


DASK_CUDA_OPTIONS = {
    *("--name", "--nthreads", "--memory-limit", "--local-directory", "--death-timeout"),
    *("--dashboard-address", "--interface", "--protocol"),
    *("--tls-ca-file", "--tls-cert", "--tls-key"),
}
"""Of those that ``dask cuda worker`` has (26.10): it has nannies always, and no word for them."""


def test_a_job_of_four_gpus_has_four_workers_through_dask_cuda():
    slurm = SlurmSettings(gpus_per_job=4, cores_per_worker=2)
    text = script(ClusterSettings(kind="slurm", memory_gib_per_worker=16, slurm=slurm))
    lines = sbatch_lines(text)
    assert {"--gres=gpu:4", "--cpus-per-task=8", "--mem=64G"} <= set(lines)
    (worker,) = [line for line in text.splitlines() if "-m dask cuda worker" in line]
    assert "--nthreads 1 --memory-limit 16.00GiB" in worker
    assert set(re.findall(r"--[a-z-]+", worker)) <= DASK_CUDA_OPTIONS


@pytest.mark.parametrize(
    ("walltime", "minutes", "lifetime"),
    [("02:00:00", 10.0, 6600.0), ("00:10:00", 10.0, 300.0), ("1-00", 30.0, 84600.0)],
)
def test_workers_leave_before_their_walltime(walltime, minutes, lifetime):
    slurm = SlurmSettings(walltime=walltime, leave_before_minutes=minutes)
    assert lifetime_seconds(ClusterSettings(slurm=slurm)) == lifetime


@pytest.mark.parametrize("walltime", ["two hours", "1:2:3:4", "", "-5"])
def test_a_walltime_that_is_none_is_refused(walltime):
    with pytest.raises(ClusterError, match="none of Slurm's forms; write hours"):
        walltime_seconds(walltime)


def test_the_example_settings_are_settings():
    given = tomllib.loads((DEPLOY / "slurm/cluster.toml").read_text())
    settings = ClusterSettings.model_validate(given["cluster"])
    subprocess.run(["bash", "-n"], input=script(settings), text=True, check=True)
    assert settings.kind == "slurm"
