#!/bin/bash
# Selects structures in as many turns as it takes. Two minutes before its time is up, the job is
# told; prcli writes its picks into a checkpoint, the job puts itself into the queue again, and the
# next turn goes on from there. The picks are those of one long run.
#
#     sbatch configs/slurm/select_requeue.sh \
#         --hessian train.hessian --target target.h5 --pool pool.h5 -n 1000 -o selected
#
# All arguments are given to `prcli select` as they are. Without -o they need --checkpoint FILE.
#
#SBATCH --job-name=prcli-select
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -euo pipefail

# Turns after which something must be wrong: each is to make some picks.
most_turns=${MOST_TURNS:-50}

# Where prcli is not on the path, activate its environment here:
# source "$HOME/prcli/bin/activate"

# The signal comes to this shell (B:), which hands it on. In the background, prcli does not keep
# the shell from hearing it.
child=
warned=
trap 'warned=yes; [[ -z $child ]] || kill -USR1 "$child" || true' USR1
prcli select "$@" &
child=$!

status=0
wait "$child" || status=$?
if [[ -n $warned ]]; then
    # The signal has ended the wait, not the work: prcli finishes a pick and writes.
    status=0
    wait "$child" || status=$?
fi

# 75: stopped early, with a checkpoint from which the same command goes on.
if [[ -n $warned && $status == 75 ]]; then
    if ((${SLURM_RESTART_COUNT:-0} + 1 < most_turns)); then
        scontrol requeue "$SLURM_JOB_ID"
    else
        echo "no end after $most_turns turns: not put into the queue again" >&2
    fi
fi
exit "$status"
