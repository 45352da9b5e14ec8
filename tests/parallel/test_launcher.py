from __future__ import annotations

import pytest

from prcli.parallel.launcher import Launch, find_launch


@pytest.mark.parametrize(
    ("environment", "launch"),
    [
        ({}, None),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, Launch(2, 4, 2, "PMI_SIZE")),
        (
            {"PMI_RANK": "5", "PMI_SIZE": "8", "MPI_LOCALRANKID": "1"},
            Launch(5, 8, 1, "PMI_SIZE"),
        ),
        (
            {
                "OMPI_COMM_WORLD_RANK": "0",
                "OMPI_COMM_WORLD_SIZE": "3",
                "OMPI_COMM_WORLD_LOCAL_RANK": "0",
                "PMIX_RANK": "0",
            },
            Launch(0, 3, 0, "OMPI_COMM_WORLD_SIZE"),
        ),
        (
            {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"},
            Launch(3, 4, 1, "SLURM_STEP_NUM_TASKS"),
        ),
    ],
)
def test_launchers_are_told_by_what_they_set(environment, launch):
    assert find_launch(environment) == launch


@pytest.mark.parametrize(
    "environment",
    [
        # What a job script has that starts prcli without srun.
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "7"},
        # A task of a job array, and the only rank of a step.
        {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_ARRAY_TASK_ID": "3"},
        {"PMI_RANK": "0", "PMI_SIZE": "1"},
        {"PMI_SIZE": "4"},
        {"PMI_RANK": "", "PMI_SIZE": "four"},
    ],
)
def test_other_processes_are_alone(environment):
    assert find_launch(environment) is None


def test_what_started_the_process_itself_counts():
    # mpiexec within an allocation starts its helpers by srun.
    environment = {
        "SLURM_PROCID": "1",
        "SLURM_STEP_NUM_TASKS": "2",
        "PMI_RANK": "6",
        "PMI_SIZE": "8",
    }
    assert find_launch(environment) == Launch(6, 8, 6, "PMI_SIZE")
