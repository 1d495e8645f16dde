#!/usr/bin/env bash
# What Bazel's stamped builds (--config=stamp) know of the checkout: the commit, and whether files differ from it.
set -euo pipefail
commit=$(git rev-parse --short=12 HEAD 2> /dev/null) || exit 0
[[ -z $(git status --porcelain --untracked-files=no) ]] || commit+=-dirty
echo "STABLE_COMMIT $commit"
