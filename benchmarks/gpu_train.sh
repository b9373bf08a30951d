#!/bin/bash
# What there is to measure of training on a GPU, on a machine without a network that has PyTorch and little else.
#
#   benchmarks/gpu_train.sh fetch WHEELS                     where there is a network: the packages that it lacks
#   benchmarks/gpu_train.sh tests WHEELS OUT                 pytest -m gpu
#   benchmarks/gpu_train.sh speed WHEELS OUT CORPORA         tokens/s, MFU and memory of small and base
#   benchmarks/gpu_train.sh engines WHEELS OUT               each engine beside plain loops, IWSLT size and base
#   benchmarks/gpu_train.sh multi30k WHEELS OUT CORPORA      how long to 41.0 BLEU, cold
#   benchmarks/gpu_train.sh tatoeba WHEELS OUT CORPORA       how long to the BLEU of a converged run, cold
#
# All but the first end within ten minutes. CORPORA holds multi30k/ and tatoeba-en-de/, OUT gets the results. Variables:
# SEEDS, FLAGS (more flags of mtcli train), MINUTES (of one training), TARGET, DEVICE, and COMMIT for a copy without .git.
set -euo pipefail

stage=$1 wheels=$(realpath "$2") out=$(realpath "${3:-.}") corpora=$(realpath "${4:-.}")
multi30k=$corpora/multi30k tatoeba=$corpora/tatoeba-en-de
cd "$(dirname "$0")/.."
limit=580
read -ra seeds <<< "${SEEDS:-1}"
read -ra flags <<< "${FLAGS:-}"

fetch() {
    local machine=(--python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64)
    python3 -m pip download -q --only-binary=:all: "${machine[@]}" -d "$wheels" \
        pydantic tomli-w zstandard typer jaxtyping beartype sacremoses transformers
}

install() {
    local site
    site=$(mktemp -d)
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl
    export PYTHONPATH=$site:$PWD
}

# Of one training MINUTES count: it then ends, and is scored, before the time is up.
speedrun() {
    timeout "$limit" python3 benchmarks/speedrun.py "$@" --seeds "${seeds[@]}" --device "${DEVICE:-cuda}" \
        --results "$out" -- --max-minutes "${MINUTES:-7}" "${flags[@]}"
}

[ "$stage" = fetch ] || install
case $stage in
    fetch)
        fetch
        ;;
    tests)
        timeout "$limit" python3 -m pytest -m gpu 2>&1 | tee "$out/tests.txt"
        ;;
    speed)
        timeout "$limit" python3 benchmarks/gpu.py --multi30k "$multi30k" --tatoeba "$tatoeba" --out "$out" \
            --budget "$((limit - 20))" --device "${DEVICE:-cuda}" --parts throughput
        ;;
    engines)
        timeout "$limit" python3 benchmarks/gpu_speed.py --device "${DEVICE:-cuda}" --results "$out"
        ;;
    multi30k)
        speedrun data/recipes/multi30k-en-de.toml --train "$multi30k/train" --valid "$multi30k/val" \
            --test "$multi30k/test_2016_flickr" --target "${TARGET:-41.0}" --protocol multi30k-lc --name speedrun-multi30k
        ;;
    tatoeba) # 39.7: what 88 minutes of a processor reached, see results/tatoeba-en-de-small-2026-11-21.md
        speedrun --train "$tatoeba/train" --valid "$tatoeba/dev" --test "$tatoeba/test" \
            --target "${TARGET:-39.7}" --name speedrun-tatoeba
        ;;
    *)
        echo "there is no stage $stage: fetch, tests, speed, engines, multi30k or tatoeba" >&2
        exit 2
        ;;
esac
