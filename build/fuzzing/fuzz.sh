#!/usr/bin/env bash
# Fuzzes one parser, guided by coverage (libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer):
#
#   build/fuzzing/fuzz.sh //cc/plan:plan_fuzz [SECONDS [LIBFUZZER_OPTION...]]
#
# Inputs that reach new code are kept in a cache folder of yours, so that the next run goes on from there. An input that
# breaks a promise ends the run and is saved in ./findings. Mend the parser, then commit the input beside the harness as
# corpus/PARSER/hostile_NAME or valid_NAME: the harness's test replays it from then on.
set -euo pipefail

usage="usage: build/fuzzing/fuzz.sh //PACKAGE:PARSER_fuzz [SECONDS [LIBFUZZER_OPTION...]]"
[[ $# -ge 1 && $1 =~ ^//(.*):((.*)_fuzz)$ ]] || { echo "$usage" >&2; exit 2; }
target=$1 package=${BASH_REMATCH[1]} name=${BASH_REMATCH[2]} parser=${BASH_REMATCH[3]}
seconds=${2:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: \"$seconds\" is no number of seconds; $usage" >&2; exit 2; }
shift $(($# < 2 ? $# : 2))

source "$(dirname "${BASH_SOURCE[0]}")/clang.sh"
require_clang

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
here=$PWD
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top"
./bazelw build --config=fuzz "$target"
binary=$(./bazelw cquery --config=fuzz --output=files "$target" 2> /dev/null)
# Bazel is not needed any more: other commands may run, and build something else in this place.
cp "$binary" "$scratch/$name"
mkdir -p "$scratch/seeds" "$here/findings"
"$scratch/$name" "--write_seeds=$scratch/seeds"
finds=${XDG_CACHE_HOME:-$HOME/.cache}/gemma_executorch/fuzz/$name
mkdir -p "$finds"

# For the names of functions in reports; without it they are addresses.
ASAN_SYMBOLIZER_PATH=$(command -v llvm-symbolizer-16 llvm-symbolizer | head -n 1 || true)
export ASAN_SYMBOLIZER_PATH
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1
"$scratch/$name" "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
  "-artifact_prefix=$here/findings/$name-" "$@" "$finds" "$package/corpus/$parser" "$scratch/seeds"
