#!/usr/bin/env bash
# Everything that is to be known of archfront on a GPU, in at most 8 minutes.
#
#   OUT=FOLDER benchmarks/gpu.sh DATA WEIGHTS [word of archfront run ...]
#
# DATA is a folder of images by class, as of data=folder, WEIGHTS a folder of timm's files, of which
# BACKBONES names those to search. It needs no network. Each part has a time limit of its own and
# the others run if one fails; the exit status is 1 if one did. In OUT afterwards:
#
#   environment.txt   GPU, driver, versions of libraries
#   tests.txt         the tests of the CUDA runtimes and of measuring on them
#   latency.json      archfront's latencies, timed by the GPU's events, and eager ones by hand
#   throughput.json   training against a hand-written loop, and the share of the time that is busy
#   study.txt         one small study
#   front.json        its front
#   busy.csv          utilization (%) and memory (MiB) of the GPU during the study, five a second
#   errors.txt        what the parts wrote to their error output
#
# Variables: PYTHON (python3), DEVICE (cuda; with cpu the same parts run without a GPU, to try the
# script), HARDWARE (cuda_onnxruntime where ONNX Runtime has CUDA, else cuda_eager), BACKBONES,
# SIZES, MINUTES of the study (2), FIGURES (more words for gpu_figures.py), and PARTS.
set -u -o pipefail

if [ $# -lt 2 ] || [ ! -d "$1" ] || [ ! -d "$2" ]; then
    echo "usage: OUT=FOLDER $0 DATA WEIGHTS [word ...]; both are folders that exist" >&2
    exit 2
fi
DATA=$(realpath "$1")
WEIGHTS=$(realpath "$2")
shift 2
if [ -z "${OUT:-}" ]; then
    echo "OUT must name the folder for the results." >&2
    exit 2
fi
mkdir -p "$OUT" || exit 2
OUT=$(realpath "$OUT")
cd "$(dirname "$0")/.." || exit 2

PYTHON=${PYTHON:-python3}
DEVICE=${DEVICE:-cuda}
BACKBONES=${BACKBONES:-tf_efficientnet_lite0,tf_efficientnet_lite1,tf_efficientnet_lite2}
SIZES=${SIZES:-96,128,160}
MINUTES=${MINUTES:-2}
PARTS=${PARTS:-environment tests latency throughput study}
read -r -a FIGURE_WORDS <<<"${FIGURES:-}"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 MLFLOW_DISABLE_TELEMETRY=true
WORK=$(mktemp -d) || exit 2
ERRORS="$OUT/errors.txt"
: >"$ERRORS"
SAMPLER=
failed=
exec 3>&1 # for what is told while a part writes into its file

stop_sampler() {
    if [ -n "$SAMPLER" ]; then
        kill "$SAMPLER" 2>>"$ERRORS"
        wait "$SAMPLER" 2>>"$ERRORS"
        SAMPLER=
    fi
}

leave() {
    stop_sampler
    rm -rf "$WORK"
}
trap leave EXIT
trap 'exit 130' INT TERM

# part SECONDS NAME [word ...]: run the function of that name in a bash of its own, which the limit
# ends as a whole.
part() {
    local seconds=$1 name=$2 status=0
    case " $PARTS " in
    *" $name "*) ;;
    *) return ;;
    esac
    local begun=$SECONDS
    echo "== $name (at most $seconds s)" >&3
    echo "== $name" >>"$ERRORS"
    timeout -k 5 "$seconds" bash -c "set -u -o pipefail; $name \"\$@\"" "$name" "${@:3}" ||
        status=$?
    echo "== $name: $((SECONDS - begun)) s, status $status" >&3
    if [ "$status" -ne 0 ]; then
        failed="$failed $name"
    fi
}

environment() {
    if [ "$DEVICE" = cuda ]; then
        nvidia-smi
    fi
    "$PYTHON" - "$DEVICE" <<'PROGRAM'
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

for name in ("torch", "timm", "onnxruntime", "onnxruntime-gpu", "pytorch-lightning", "optuna"):
    try:
        print(name, version(name))
    except PackageNotFoundError:
        print(name, "is not installed")
if sys.argv[1] == "cuda":
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU. Try the script without one with DEVICE=cpu.")
    print(torch.cuda.get_device_name(), "CUDA", torch.version.cuda)
PROGRAM
}

# What is compiled takes long, so it comes last.
tests() {
    local status=0 names
    for names in "$TESTED and not compiled" "$TESTED and compiled"; do
        "$PYTHON" -m pytest -v -rs -p no:cacheprovider -k "$names" tests/search/runtimes \
            tests/search/latency/test_measure.py || status=$?
        if [ "$DEVICE" = cpu ]; then
            break
        fi
    done
    return $status
}

latency() {
    "$PYTHON" benchmarks/gpu_figures.py latency --device "$DEVICE" "$@"
}

throughput() {
    "$PYTHON" benchmarks/gpu_figures.py throughput --device "$DEVICE" "$@"
}

study() {
    "$PYTHON" -m archfront.search.cli run --plain data=folder "data.root=$DATA" \
        "space.weights=$WEIGHTS" "space.backbones=[$BACKBONES]" "space.input_sizes=[$SIZES]" \
        "hardware=$HARDWARE" "budget.minutes=$MINUTES" engine.workers=1 study=gpu \
        "tracking.root=$WORK/root" "tracking.device_db=$WORK/device/latency.db" "$@"
}

front() {
    "$PYTHON" -m archfront.search.cli front gpu --root "$WORK/root" --json
}

if [ -z "${HARDWARE:-}" ]; then
    HARDWARE=cpu_onnxruntime
    if [ "$DEVICE" = cuda ]; then
        HARDWARE=cuda_eager
        if "$PYTHON" -c 'import onnxruntime as o, sys
sys.exit("CUDAExecutionProvider" not in o.get_available_providers())' 2>>"$ERRORS"; then
            HARDWARE=cuda_onnxruntime
        fi
    fi
fi
# On a CPU one runtime's tests stand in for those of CUDA.
TESTED=cuda
if [ "$DEVICE" = cpu ]; then
    TESTED="eager and not cuda"
fi
mkdir -p "$WORK/device"
export PYTHON DEVICE DATA WEIGHTS BACKBONES SIZES MINUTES HARDWARE TESTED WORK
export -f environment tests latency throughput study front

# 30 + 85 + 65 + 85 + 160 + 15 seconds, and at most 5 more for each that must be killed.
part 30 environment >"$OUT/environment.txt" 2>>"$ERRORS"
cat "$OUT/environment.txt"
if [ "$DEVICE" = cuda ] && [ "$failed" = " environment" ]; then
    cat "$ERRORS" >&2
    exit 1
fi
part 85 tests >"$OUT/tests.txt" 2>>"$ERRORS"
tail -n 5 "$OUT/tests.txt"
part 65 latency ${FIGURE_WORDS[@]+"${FIGURE_WORDS[@]}"} >"$OUT/latency.json" 2>>"$ERRORS"
cat "$OUT/latency.json"
part 85 throughput ${FIGURE_WORDS[@]+"${FIGURE_WORDS[@]}"} >"$OUT/throughput.json" 2>>"$ERRORS"
cat "$OUT/throughput.json"
if [ "$DEVICE" = cuda ]; then
    nvidia-smi --query-gpu=timestamp,utilization.gpu,memory.used --format=csv,nounits -lms 200 \
        >"$OUT/busy.csv" 2>>"$ERRORS" &
    SAMPLER=$!
fi
part 160 study "$@" >"$OUT/study.txt" 2>>"$ERRORS"
stop_sampler
tail -n 25 "$OUT/study.txt"
if [ -s "$OUT/busy.csv" ]; then
    awk -F', ' 'NR > 1 { n++; sum += $2; above += ($2 > 0) }
        END { if (n) printf "study: GPU %.1f %% busy on average, above 0 in %.1f %% of %d samples\n",
              sum / n, 100 * above / n, n }' "$OUT/busy.csv"
fi
case " $PARTS " in
*" study "*) PARTS="$PARTS front" ;;
esac
part 15 front >"$OUT/front.json" 2>>"$ERRORS"

if [ -n "$failed" ]; then
    echo "failed:$failed; see $ERRORS"
    exit 1
fi
echo "all parts went well; the results are in $OUT"
