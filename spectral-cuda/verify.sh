#!/usr/bin/env bash
# Verifies the backend on a GPU in one call of a few minutes: what docs/cuda.md says. `verify.sh build`, where Rust is,
# puts the programs into .cuda/verify; `verify.sh`, where a GPU is, runs them and needs nothing but a driver and CUDA's
# libraries.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=.cuda/verify

if [ "${1:-}" = build ]; then
    mkdir -p "$programs"
    cargo build --release --locked -p spectral-cuda --features cuda --example measure
    tests="$(cargo test --release --locked -p spectral-cuda --features cuda --test suite --no-run 2>&1 | tee /dev/stderr)"
    suite="$(sed -n 's/.*Executable .*(\(.*\))$/\1/p' <<<"$tests")"
    install -s target/release/examples/measure "$programs/measure"
    install -s "$suite" "$programs/suite"
    exit
fi

export SPECTRAL_CUDA="$PWD/.cuda"
# Ends here with a sentence where there is no GPU, which the tests would pass over.
"$programs/measure"
"$programs/suite" gpu:: --nocapture --test-threads=1
