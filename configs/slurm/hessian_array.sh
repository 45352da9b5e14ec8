#!/bin/bash
# Sums a training set as a job array, a share of its structures a task, where one machine would
# take too long. What the tasks leave in FOLDER, hessian_merge.sh puts together:
#
#     array=$(sbatch --parsable configs/slurm/hessian_array.sh FOLDER train.h5)
#     sbatch --dependency="afterok:$array" configs/slurm/hessian_merge.sh FOLDER train.hessian
#
# Everything after FOLDER is given to `prcli hessian` as it is: data sets and options.
#
#SBATCH --job-name=prcli-hessian
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=01:00:00
set -euo pipefail

# As many shares as the array above has tasks. Written down, because a task that has failed is
# repeated with `sbatch --array=3`, and must take the share that it would have taken then.
shares=${SHARES:-8}

# Where prcli is not on the path, activate its environment here:
# source "$HOME/prcli/bin/activate"

folder=${1:?give a folder for the shares, then what to sum}
shift
mkdir -p "$folder"

# Numbers of one width, so that names sort as shares do.
printf -v share "%04d" "$SLURM_ARRAY_TASK_ID"

# A task that the cluster starts again replaces what it has left before.
prcli hessian "$@" \
    --shard "$SLURM_ARRAY_TASK_ID/$shares" \
    --output "$folder/$share-of-$shares.hessian" \
    --overwrite
