#!/usr/bin/env bash
# dist_train.sh CONFIG GPUS [arguments of train.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR, PORT in the environment.
set -euo pipefail
USAGE="usage: $(sed -n '2s/^# //p' "$0")"
CONFIG=${1:?$USAGE}
GPUS=${2:?$USAGE}
python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
