#!/usr/bin/env bash
# Measures kidsclf on a machine with a GPU, in one command and within ten minutes:
#
#     bash benchmarks/on_gpu.sh WHEELS [OUT]
#
# The machine needs Python with CuPy and with JAX or PyTorch for its GPU, and no network: WHEELS is
# the folder that tools/carry_wheels.py filled elsewhere. The results, one JSON a benchmark and
# backend, and the logs go to OUT (default: gpu-results). A part that fails does not keep the others
# from running; the exit code tells how many did. The tests that hold the GPU's shapes against the
# processor's run where pytest, pytest-timeout, pytest-xdist and hypothesis are installed.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
wheels=${1:?"give the folder of wheels that tools/carry_wheels.py filled"}
out=$(realpath -m "${2:-gpu-results}")
wheels=$(realpath -m "$wheels")
python=${PYTHON:-python3}
size=${SIZE:-full}
mkdir -p "$out"
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
"$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl || exit 1
export PYTHONPATH="$site:$root/src:$root" XLA_PYTHON_CLIENT_PREALLOCATE=false
cd "$root" || exit 1
failed=0
limit=${LIMIT:-580} # seconds, all in all

# part NAME SECONDS COMMAND...: run it, keep what it says, and say how it ended
part() {
  local name=$1 seconds=$2 code=0 left=$((limit - SECONDS - 5))
  shift 2
  if ((left < 10)); then
    echo "$name: left out, ${SECONDS} s are gone"
    failed=$((failed + 1))
    return
  fi
  ((seconds < left)) || seconds=$left
  timeout --signal=INT --kill-after=5 "$seconds" "$@" >"$out/$name.log" 2>&1 || code=$?
  echo "$name: exit code $code after ${SECONDS} s in all"
  if ((code != 0)); then
    tail -n 5 "$out/$name.log"
    failed=$((failed + 1))
  fi
}

{ nvidia-smi 2>/dev/null || echo "no nvidia-smi: what follows is of the processor"; } | tee "$out/nvidia-smi.txt"
for backend in ${BACKENDS:-jax torch}; do
  if "$python" -c "import $backend" 2>/dev/null; then
    export KERAS_BACKEND=$backend
    part "infer-$backend" 170 "$python" -m benchmarks infer --size "$size" --out "$out/infer-$backend.json"
    part "training-$backend" 70 "$python" -m benchmarks training --size "$size" --out "$out/training-$backend.json"
  fi
done
part shapes 60 "$python" -m benchmarks shapes_on_gpu --size small --out "$out/shapes.json"
if "$python" -c "import cupy, hypothesis, pytest_timeout, xdist; cupy.cuda.runtime.getDeviceCount()" 2>/dev/null; then
  part gpu-tests 60 "$python" -m pytest -q -p no:cacheprovider tests/features/test_on_a_gpu.py
fi
echo "$failed parts failed; results in $out"
exit "$failed"
