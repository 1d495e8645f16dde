#!/usr/bin/env bash
# Fuzzes every parser of a pack (build/fuzzing/pack.sh makes one) at the same time, each in a process of its own:
#
#   fuzz_all.sh SECONDS OUT
#
# A run with the same OUT goes on from what the last one found. After a finding the rest of the time is used, too.
# At the end OUT has, beside a folder for each parser:
#   summary.txt       one line a parser, as printed
#   findings.tar.gz   inputs that broke a promise, crashed, ran for over 10 s or took over 2 GB, and the reports
#   new_corpus.tar.gz inputs that reached new code
# The exit code is 1 where something was found.
set -euo pipefail

usage="usage: fuzz_all.sh SECONDS OUT"
[[ $# -eq 2 && $1 =~ ^[1-9][0-9]*$ ]] || { echo "$usage" >&2; exit 2; }
seconds=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
pack=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
most_restarts=20

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1
# AddressSanitizer of clang 16 may not find its place among addresses as random as newer kernels make them.
fixed_addresses=()
if setarch "$(uname -m)" -R true 2> /dev/null; then fixed_addresses=(setarch "$(uname -m)" -R); fi

# Runs one parser until the time is over, again after each finding; once however short the time is.
fuzz() {
  local name=$1 folder=$out/$1 end=$((SECONDS + seconds)) left restarts
  mkdir -p "$folder/new" "$folder/findings"
  [[ ! -f $folder/log ]] || cat "$folder/log" >> "$folder/earlier_log"
  : > "$folder/log"
  for ((restarts = 0; restarts < most_restarts; ++restarts)); do
    left=$((end - SECONDS))
    ((left > 0 || restarts == 0)) || return 0
    ((left > 0)) || left=1
    if LD_LIBRARY_PATH=$pack/lib "${fixed_addresses[@]}" "$pack/bin/$name" "-max_total_time=$left" -timeout=10 \
      -rss_limit_mb=2048 -print_final_stats=1 "-artifact_prefix=$folder/findings/" \
      "$folder/new" "$pack/corpus/$name" >> "$folder/log" 2>&1; then
      return 0
    fi
  done
}

# The last number after WORD in a parser's log; 0 where there is none.
last() {
  grep -oE "$2 *[0-9]+" "$out/$1/log" | tail -n 1 | grep -oE '[0-9]+$' || echo 0
}

executions() {
  awk '/^stat::number_of_executed_units:/ { sum += $2 } END { print sum + 0 }' "$out/$1/log"
}

# Files of a folder that a run left.
count() { find "$1" -type f | wc -l; }

report() {
  local name=$1 before=$2 took=$3 findings verdict
  findings=$(find "$out/$name/findings" -type f ! -name 'slow-unit-*' | wc -l)
  verdict=clean
  ((findings == 0)) || verdict="crashed ($findings findings)"
  if [[ $(executions "$name") == 0 && $findings == 0 ]]; then verdict="FAILED to run (see its log)"; fi
  printf '%-26s %10s executions %5s s %7s features %6s edges %6s new files  %s\n' "$name" "$(executions "$name")" \
    "$took" "$(last "$name" ft:)" "$(last "$name" cov:)" "$(($(count "$out/$name/new") - before))" "$verdict"
}

names=()
declare -A before
for binary in "$pack"/bin/*_fuzz; do
  name=$(basename "$binary")
  names+=("$name")
  mkdir -p "$out/$name/new"
  before[$name]=$(count "$out/$name/new")
  fuzz "$name" &
done
start=$SECONDS
wait
for name in "${names[@]}"; do report "$name" "${before[$name]}" "$((SECONDS - start))"; done | tee "$out/summary.txt"
cd "$out"
tar -czf findings.tar.gz --exclude='*/new' "${names[@]}"
tar -czf new_corpus.tar.gz "${names[@]/%//new}"
! grep -qv ' clean$' summary.txt
