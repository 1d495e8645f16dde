#!/usr/bin/env bash
# bazelw picks the right Bazel; a private installation happens once, whole or not at all. The installer is a fake one.
set -euo pipefail

source_root=$PWD
work=$TEST_TMPDIR

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

expect() {
  [[ $1 == "$2" ]] || fail "$3: expected '$2', got '$1'"
}

# A fresh copy of the scripts with a fake installer, in $tree, and an empty cache folder.
new_tree() {
  tree=$(mktemp -d "$work/tree.XXXX")
  export XDG_CACHE_HOME=$tree/cache LOG=$tree/log
  mkdir -p "$tree/build/bazel" "$tree/third_party/offline" "$tree/bin"
  cp "$source_root/bazelw" "$source_root/.bazelversion" "$tree"
  cp "$source_root/build/bazel/install_once.sh" "$tree/build/bazel"
  cat > "$tree/build/bazel/install.sh" <<'INSTALLER'
#!/usr/bin/env bash
set -e
echo installed >> "$LOG"
mkdir "$1/bin"
sleep "${INSTALL_SECONDS:-0}"
[[ -z ${INSTALL_FAILS:-} ]]
printf '#!/bin/sh\necho "private $*"\n' > "$1/bin/bazel"
chmod +x "$1/bin/bazel"
INSTALLER
  chmod +x "$tree/build/bazel/install.sh"
}

program() {
  printf '#!/bin/sh\necho "%s"\n' "$2" > "$tree/bin/$1"
  chmod +x "$tree/bin/$1"
}

bazelw() {
  env -u BAZEL PATH="$tree/bin:/usr/bin:/bin" "$tree/bazelw" "$@"
}

test_chooses() {
  new_tree
  program chosen "chosen"
  expect "$(BAZEL=$tree/bin/chosen "$tree/bazelw" test)" "chosen" "\$BAZEL comes first"
  program bazel "bazel 6.5.0"
  expect "$(bazelw test //a)" "private test //a" "an old Bazel is not used"
  program bazel "bazel 7.7.1"
  expect "$(bazelw test)" "bazel 7.7.1" "a Bazel >= 7 is used"
  program bazelisk "bazelisk"
  expect "$(bazelw test)" "bazelisk" "bazelisk comes before bazel"
}

test_installs_once() {
  new_tree
  local i
  for i in 1 2 3 4; do INSTALL_SECONDS=1 bazelw version > "$tree/out.$i" 2> "$tree/err.$i" & done
  wait
  for i in 1 2 3 4; do expect "$(cat "$tree/out.$i")" "private version" "start $i"; done
  expect "$(grep -c installed "$LOG")" 1 "installations of four starts at once"
  bazelw version > "$tree/out.later" 2> "$tree/err.later"
  expect "$(cat "$tree/err.later")" "" "a later start is silent"
}

test_survives_a_kill() {
  new_tree
  set -m
  INSTALL_SECONDS=600 bazelw version > /dev/null 2>&1 &
  set +m
  until [[ -e $LOG ]]; do sleep 0.1; done
  kill -KILL -- -$!
  wait $! 2> /dev/null || true
  expect "$(bazelw version 2> /dev/null)" "private version" "the start after a killed one"
  expect "$(find "$XDG_CACHE_HOME/gemma_executorch" -maxdepth 1 -name 'bazel-*.??????' | wc -l)" 1 "folders left"
}

test_failure_leaves_nothing() {
  new_tree
  if INSTALL_FAILS=1 bazelw version 2> /dev/null; then fail "a failed installation was used"; fi
  expect "$(find "$XDG_CACHE_HOME/gemma_executorch" -maxdepth 1 -name 'bazel-*.??????' | wc -l)" 0 "folders left"
  expect "$(bazelw version 2> /dev/null)" "private version" "the start after a failed one"
}

test_changed_inputs_install_anew() {
  new_tree
  bazelw version > /dev/null 2>&1
  echo "# changed" >> "$tree/build/bazel/install.sh"
  bazelw version > /dev/null 2>&1
  expect "$(grep -c installed "$LOG")" 2 "installations after a change"
}

test_says_what_is_missing() {
  new_tree
  mkdir "$tree/poor"
  local tool
  for tool in bash dirname find sort xargs sha256sum awk mkdir; do ln -s "$(command -v "$tool")" "$tree/poor/"; done
  if env -u BAZEL PATH="$tree/poor" "$tree/bazelw" version 2> "$tree/err"; then fail "installed without flock"; fi
  expect "$(wc -l < "$tree/err")" 1 "lines of the error"
  grep -q "flock is missing: install the package util-linux" "$tree/err" || fail "no remedy: $(cat "$tree/err")"
}

test_chooses
test_installs_once
test_survives_a_kill
test_failure_leaves_nothing
test_changed_inputs_install_anew
test_says_what_is_missing
echo "all passed"
