#!/usr/bin/env bash
# fuzz.sh refuses what it cannot do in one sentence, before anything is built.
set -euo pipefail

expect() {
  local wanted=$1 code=$2 said status=0
  shift 2
  said=$("$@" 2>&1) || status=$?
  [[ $status == "$code" && $said == *"$wanted"* && $said != *$'\n'* ]] ||
    { echo "FAILED: $*: expected exit code $code and \"$wanted\", got $status and: $said" >&2; exit 1; }
}

# The tools that fuzz.sh needs before it looks for a compiler.
mkdir "$TEST_TMPDIR/bin"
ln -s "$(command -v mktemp)" "$(command -v rm)" "$TEST_TMPDIR/bin"

script=build/fuzzing/fuzz.sh
expect "usage: build/fuzzing/fuzz.sh" 2 "$script"
expect "usage: build/fuzzing/fuzz.sh" 2 "$script" //cc/plan:plan_fuzz_test
expect "\"soon\" is no number of seconds" 2 "$script" //cc/plan:plan_fuzz soon
expect "apt install clang-16 libclang-rt-16-dev libfuzzer-16-dev" 1 \
  env PATH="$TEST_TMPDIR/bin" "$BASH" "$script" //cc/plan:plan_fuzz 1
