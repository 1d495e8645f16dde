#!/usr/bin/env bash
# fuzz.sh and pack.sh refuse what they cannot do in one sentence, before anything is built; fuzz_all.sh tells clean
# parsers from broken ones, and keeps what they found.
set -euo pipefail

expect() {
  local wanted=$1 code=$2 said status=0
  shift 2
  said=$("$@" 2>&1) || status=$?
  [[ $status == "$code" && $said == *"$wanted"* && $said != *$'\n'* ]] ||
    { echo "FAILED: $*: expected exit code $code and \"$wanted\", got $status and: $said" >&2; exit 1; }
}

# The tools that the programs need before they look for a compiler.
mkdir "$TEST_TMPDIR/bin"
ln -s "$(command -v mktemp)" "$(command -v rm)" "$(command -v dirname)" "$TEST_TMPDIR/bin"

script=build/fuzzing/fuzz.sh
expect "usage: build/fuzzing/fuzz.sh" 2 "$script"
expect "usage: build/fuzzing/fuzz.sh" 2 "$script" //cc/plan:plan_fuzz_test
expect "\"soon\" is no number of seconds" 2 "$script" //cc/plan:plan_fuzz soon
expect "apt install clang-16 libclang-rt-16-dev libfuzzer-16-dev" 1 \
  env PATH="$TEST_TMPDIR/bin" "$BASH" "$script" //cc/plan:plan_fuzz 1

script=build/fuzzing/pack.sh
expect "usage: build/fuzzing/pack.sh" 2 "$script"
expect "is there already" 1 "$script" "$TEST_TMPDIR/bin"
expect "apt install clang-16 libclang-rt-16-dev libfuzzer-16-dev" 1 \
  env PATH="$TEST_TMPDIR/bin" "$BASH" "$script" "$TEST_TMPDIR/pack"

# A pack of two: one parser reaches new code in every run, one is broken and says so a moment later.
pack=$TEST_TMPDIR/pack out=$TEST_TMPDIR/out
mkdir -p "$pack/bin" "$pack/corpus/good_fuzz" "$pack/corpus/broken_fuzz"
cp build/fuzzing/fuzz_all.sh "$pack"
cat > "$pack/bin/good_fuzz" << 'EOF'
#!/usr/bin/env bash
for argument; do [[ $argument != */new ]] || mktemp "$argument/XXXXXX" > /dev/null; done
echo "#8 INITED cov: 5 ft: 6 corp: 1/1b"
echo "#9 DONE   cov: 70 ft: 800 corp: 1/1b"
echo "stat::number_of_executed_units: 1234"
EOF
cat > "$pack/bin/broken_fuzz" << 'EOF'
#!/usr/bin/env bash
for argument; do [[ $argument != -artifact_prefix=* ]] || echo broken > "${argument#*=}crash-1"; done
echo "#2 INITED cov: 3 ft: 4 corp: 1/1b"
echo "stat::number_of_executed_units: 2"
sleep 0.3
exit 77
EOF
chmod +x "$pack"/bin/*
said=$("$pack/fuzz_all.sh" 1 "$out") && { echo "FAILED: a broken parser ends in 0" >&2; exit 1; }
for line in "broken_fuzz .* 4 features .* 3 edges .* 0 new files  crashed .1 findings" \
  "good_fuzz .* 1234 executions .* 800 features .* 70 edges .* 1 new files  clean"; do
  grep -q "$line" <<< "$said" || { echo "FAILED: no \"$line\" in: $said" >&2; exit 1; }
done
[[ $(tar -xzOf "$out/findings.tar.gz" broken_fuzz/findings/crash-1) == broken ]]
tar -tzf "$out/new_corpus.tar.gz" | grep -q '^good_fuzz/new/.'
rm "$pack/bin/broken_fuzz"
"$pack/fuzz_all.sh" 1 "$out" | grep -q clean || { echo "FAILED: clean parsers do not end in 0" >&2; exit 1; }
expect "usage: fuzz_all.sh SECONDS OUT" 2 "$pack/fuzz_all.sh" soon "$out"
