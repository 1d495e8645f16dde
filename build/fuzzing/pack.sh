#!/usr/bin/env bash
# Builds every fuzz target and makes a folder of them that runs elsewhere, without clang, Bazel or a network:
#
#   build/fuzzing/pack.sh FOLDER
#
# FOLDER gets fuzz_all.sh, which runs all of them at once, bin/PARSER_fuzz (their line numbers are in FOLDER.debug),
# corpus/PARSER_fuzz (the corpus, the seeds, and what libFuzzer has found here so far) and lib/ (the shared libraries
# that they need, but for the C library: it must be as new as this machine's).
set -euo pipefail

usage="usage: build/fuzzing/pack.sh FOLDER"
[[ $# -eq 1 && $1 != -* ]] || { echo "$usage" >&2; exit 2; }
[[ ! -e $1 ]] || { echo "pack: $1 is there already (remove it, or name another folder)" >&2; exit 1; }

source "$(dirname "${BASH_SOURCE[0]}")/clang.sh"
require_clang

mkdir -p "$1"/{bin,corpus,lib} "$1.debug"
pack=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

mapfile -t targets < <(./bazelw query 'filter("_fuzz$", kind(cc_binary, //cc/...))' 2> /dev/null)
((${#targets[@]} > 0)) || { echo "pack: no fuzz target was found (./bazelw query says why)" >&2; exit 1; }
./bazelw build --config=fuzz "${targets[@]}"
mapfile -t binaries < <(./bazelw cquery --config=fuzz --output=files "set(${targets[*]})" 2> /dev/null)

# Shared libraries of a program, but for those of the C library.
libraries() {
  ldd "$1" | awk '$2 == "=>" { print $3 }' | grep -vE '/lib(c|m|dl|rt|pthread|resolv)\.so'
}

finds=${XDG_CACHE_HOME:-$HOME/.cache}/gemma_executorch/fuzz
for binary in "${binaries[@]}"; do
  name=$(basename "$binary")
  folder=$(dirname "${binary#*/bin/}")
  cp "$binary" "$pack.debug/$name"
  strip --strip-debug -o "$pack/bin/$name" "$binary"
  for library in $(libraries "$binary"); do cp -L "$library" "$pack/lib"; done
  mkdir "$pack/corpus/$name"
  "$binary" "--write_seeds=$pack/corpus/$name"
  for known in "$folder/corpus/${name%_fuzz}" "$finds/$name"; do
    [[ ! -d $known ]] || cp -r "$known/." "$pack/corpus/$name"
  done
done
cp build/fuzzing/fuzz_all.sh "$pack"
du -sh "$pack" | awk -v targets="${#binaries[@]}" '{ print targets " fuzz targets, " $1 "B: " $2 }'
