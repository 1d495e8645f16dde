#!/usr/bin/env bash
# install_once.sh TARGET INSTALLER: makes TARGET by running `INSTALLER FOLDER CACHE`, exactly once.
#
# What must stay true: TARGET appears complete or not at all. INSTALLER fills a fresh folder beside TARGET, which
# keeps its name (absolute paths written inside stay right), and the atomic rename of a link publishes it. A lock
# makes a second caller wait and then use the first one's result; what a killed run left is removed by the next.
# CACHE is a folder beside TARGET that outlives failed runs: downloads go there.
set -euo pipefail

die() {
  echo "bazelw: $*" >&2
  exit 1
}

target=${1:?usage: install_once.sh TARGET INSTALLER}
installer=${2:?usage: install_once.sh TARGET INSTALLER}
place=$(dirname "$target")

command -v flock > /dev/null || die "flock is missing: install the package util-linux, or put bazelisk on the PATH"
mkdir -p "$place/archives" 2> /dev/null || die "$place cannot be written: set XDG_CACHE_HOME to a folder that can"

exec 9> "$target.lock"
if ! flock --nonblock 9; then
  echo "bazelw: waiting for another process that is installing Bazel" >&2
  flock 9
fi
[[ ! -e $target ]] || exit 0

rm -rf "$target".?????? "$target.link"
folder=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$folder"' EXIT
"$installer" "$folder" "$place/archives"
ln -s "$(basename "$folder")" "$target.link"
trap - EXIT
mv -T "$target.link" "$target"
