#!/bin/bash
# Runs prcli by several ranks, on one machine or many, which divide the structures among them:
#
#     sbatch configs/slurm/mpi.sh features compute soap pool.xyz -o pool.h5
#     sbatch configs/slurm/mpi.sh hessian train.h5 -o train.hessian
#     sbatch configs/slurm/mpi.sh select \
#         --hessian train.hessian --target target.h5 --pool pool.h5 -n 1000 -o selected
#
# All arguments are given to prcli as they are. It needs mpi4py, pip install "prcli[mpi]", and the
# MPI library of the cluster, such as `module load openmpi`.
#
#SBATCH --job-name=prcli-mpi
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=4G
#SBATCH --time=04:00:00
set -euo pipefail

# Where prcli is not on the path, activate its environment here:
# source "$HOME/prcli/bin/activate"

if (($# == 0)); then
    echo "give a command of prcli with its arguments" >&2
    exit 2
fi

# Since SLURM 22.05 srun does not take this over from the job.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}

# Where the ranks do not find each other, prcli says so: `srun --mpi=list` tells which ways there
# are, and SLURM_MPI_TYPE=pmix, for example, takes one of them.
exec srun prcli "$@"
