#!/bin/bash
# Merges the shares that hessian_array.sh has left in FOLDER into one Hessian file:
#
#     sbatch --dependency="afterok:$array" configs/slurm/hessian_merge.sh FOLDER train.hessian
#
# Options may follow, such as --regularizer auto, which needs the whole.
#
#SBATCH --job-name=prcli-merge
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=00:30:00
set -euo pipefail

# Where prcli is not on the path, activate its environment here:
# source "$HOME/prcli/bin/activate"

folder=${1:?give the folder of the shares, then the Hessian file to write}
output=${2:?give the Hessian file to write}
shift 2

shopt -s nullglob
shares=("$folder"/*-of-*.hessian)
if ((${#shares[@]} == 0)); then
    echo "$folder holds no shares" >&2
    exit 1
fi

# Fewer shares would be a Hessian too, of fewer structures: nothing else would notice.
expected=${shares[0]##*-of-}
expected=${expected%.hessian}
if [[ ${#shares[@]} != "$expected" ]]; then
    echo "$folder holds ${#shares[@]} of $expected shares" >&2
    exit 1
fi

prcli hessian "${shares[@]}" --output "$output" "$@"
