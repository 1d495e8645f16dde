#!/usr/bin/env bash
# install.sh PREFIX ARCHIVES: fills the empty folder PREFIX with a Bazel that needs neither root nor a module
# registry, taken from Debian's packages; PREFIX/bin/bazel runs it. Downloads are kept in ARCHIVES.
#
# - Bazel, its rule sets and its Java come from Debian "forky", whose programs need a newer libc than this machine
#   may have: they are pointed at the libc unpacked beside them. Build actions still use the machine's own compiler.
# - The C++ libraries come as sources or headers from forky, and libcrypto.a from the older "bookworm", so that our
#   programs link against the machine's own libc. libisocline.a is forky's: it asks libc for nothing that is newer.
#   BUILD files for them lie in third_party/offline.
# - apt checks every download against Debian's signed index. The mirror is the one that this machine's apt uses.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
prefix=${1:?usage: install.sh PREFIX ARCHIVES}
archives=${2:?usage: install.sh PREFIX ARCHIVES}
state=$prefix/apt

forky_roots=(bazel-bootstrap bazel-rules-python bazel-rules-shell)
forky_libraries=(googletest nlohmann-json3-dev libcli11-dev libflatbuffers-dev flatbuffers-compiler
  libisocline-dev)
forky_sources=(abseil cpp-httplib)
bookworm=(patchelf libssl-dev)

# The closure of bazel-bootstrap also names a compiler, a JDK, a Python and a base system; these two patterns keep what
# the server, its Java and the client load.
wanted='^(bazel-.*|openjdk-[0-9]+-jre-headless|junit4|velocity|zlib1g|lib.*|.*-java)$'
unwanted='^(lib.*-(dev|dev-bin|perl)|lib(python|perl|isl|mpc|mpfr|gmp|binutils|ctf|gprofng|sframe|pam|readline|sqlite|'
unwanted+='ncurses|db5|gdbm|js-|blkid|mount|smartcols|gomp|atomic|itm|quadmath|c-|tinfo|jansson|jpeg|lcms|bz2|lzma|ffi|'
unwanted+='crypt1|uuid|cc1).*|lib[a-z]*san[0-9]+|ca-certificates.*)$'

die() {
  echo "bazelw: $*" >&2
  exit 1
}

progress() {
  if [[ -t 2 ]]; then printf '\r\033[Kbazelw: %s' "$*" >&2; else echo "bazelw: $*" >&2; fi
}

check_prerequisites() {
  local remedy="or put bazelisk (or a Bazel >= 7) on the PATH" tool
  for tool in apt-get dpkg-deb; do
    command -v "$tool" > /dev/null || die "no Bazel >= 7 is on the PATH and this machine has no $tool to install one" \
      "from Debian's packages: put bazelisk on the PATH"
  done
  for tool in tar sha256sum g++; do
    command -v "$tool" > /dev/null || die "$tool is missing: install it, $remedy"
  done
  find_python
  keyring=$(find /usr/share/keyrings -name 'debian-archive-keyring.*' 2> /dev/null | sort | tail -n 1)
  [[ -n $keyring ]] || die "Debian's archive keyring is missing: install debian-archive-keyring, $remedy"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
  [[ -n $mirror ]] || die "apt names no Debian mirror: set one up, $remedy"
}

# Sets python to an interpreter that builds can use: as @python_interpreter chooses one (third_party/python).
find_python() {
  local versions
  mapfile -t versions < <(grep -v '^#' "$here/third_party/python/versions.txt")
  for python in ${GEMMA_PYTHON:-python3 "${versions[@]/#/python}"}; do
    ! "$python" -c 'import ensurepip, sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv)' \
      "${versions[@]}" 2> /dev/null || return 0
  done
  die "no Python of ${versions[*]} with its venv module is here: install it (Debian: python3-venv)"
}

# apt-get with a state of its own: it sees no installed package and changes none.
private_apt() {
  apt-get -qq -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::State::Lists="$state/lists" \
    -o Dir::Cache="$state" -o Dir::Cache::archives="$state/cache" -o Dir::Etc::SourceList="$state/sources.list" \
    -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
    -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Acquire::Languages=none \
    -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 "$@"
}

fetch_indexes() {
  mkdir -p "$state"/{lists,cache}/partial
  : > "$state/status"
  {
    echo "deb [signed-by=$keyring] $mirror forky main"
    echo "deb-src [signed-by=$keyring] $mirror forky main"
    echo "deb [signed-by=$keyring] $mirror bookworm main"
  } > "$state/sources.list"
  private_apt update || die "Debian's package lists could not be fetched: check the network, or put bazelisk on the PATH"
}

# Prints the packages of Bazel's closure that are needed to run it.
bazel_closure() {
  private_apt -y -t forky --print-uris install "${forky_roots[@]}" | awk '/^\x27/ {sub("_.*", "", $2); print $2}' |
    grep -E "$wanted" | grep -vE "$unwanted"
}

# fetch COMMAND...: runs an apt download in the archive folder and prints the names of its files. apt keeps a file that
# is already there if its digest is right, so a download that was killed goes on where it stopped. (It names only files
# that are not there, hence the empty folder for the names.)
fetch() {
  { (cd "$archives" && private_apt "$@" >&2) &&
    (cd "$prefix/apt" && private_apt --print-uris "$@") | awk '/^\x27/ {print $2}'; } ||
    die "Debian's packages could not be fetched: check the network, or put bazelisk on the PATH"
}

unpack_packages() {
  local packages debs deb
  packages=$(bazel_closure) || die "Debian's Bazel could not be resolved: put bazelisk on the PATH"
  mapfile -t packages <<< "$packages"
  debs=$(fetch download "${packages[@]/%//forky}" "${forky_libraries[@]/%//forky}" "${bookworm[@]/%//bookworm}")
  progress "unpacking Bazel"
  for deb in $debs; do dpkg-deb -x "$archives/$deb" "$prefix"; done
}

unpack_sources() {
  local file files
  files=$(fetch --download-only source "${forky_sources[@]}")
  mkdir "$prefix/sources"
  for file in $files; do
    # Python reads .tar.xz without the program xz.
    [[ $file != *.orig.tar.* ]] || "$python" -W ignore::DeprecationWarning -m tarfile -e "$archives/$file" "$prefix/sources" ||
      die "$python could not unpack $file: is its lzma module there?"
  done
}

# Points the programs at the libc beside them.
patch_programs() {
  local loader elf
  loader=$(echo "$lib"/ld-linux-*.so.*)
  for elf in "$prefix"/usr/bin/{bazel,flatc} "$prefix"/usr/libexec/*/bazel/* "$java"/bin/java "$java"/lib/jspawnhelper; do
    "$prefix/usr/bin/patchelf" --set-interpreter "$loader" --force-rpath \
      --set-rpath "$lib:\$ORIGIN/../lib:\$ORIGIN/../lib/server" "$elf"
  done
}

# The class path and the settings of Java name /usr and /etc: point both into the prefix. The jars' own manifests name
# /usr/share/java too, so the jars that are reached through a manifest alone are put on the class path here.
patch_java() {
  local classpath=$prefix/usr/share/bazel/bazel_classpath_debian_depends.txt jar link
  sed -i "s#/usr/share/java#$prefix/usr/share/java#g" "$classpath"
  for jar in perfmark-api failureaccess opencensus-api opencensus-contrib-grpc-metrics animal-sniffer-annotations \
    error-prone-annotations; do
    jar=$prefix/usr/share/java/$jar.jar
    [[ ! -e $jar ]] || echo "$jar" >> "$classpath"
  done
  find "$java/" -type l -lname '/etc/*' | while read -r link; do ln -sfn "$prefix$(readlink "$link")" "$link"; done
}

# module NAME [SOURCE LINK]...: makes the folder of a module from third_party/offline/NAME and the unpacked files.
module() {
  local folder=$prefix/modules/$1
  mkdir -p "$folder"
  [[ ! -d $here/third_party/offline/$1 ]] || cp "$here/third_party/offline/$1"/* "$folder"
  shift
  while (($#)); do
    cp -r "$prefix"/$1 "$folder/$2"
    shift 2
  done
}

make_modules() {
  module abseil-cpp 'sources/abseil-cpp-*/absl' absl 'sources/abseil-cpp-*/BUILD.bazel' . 'sources/abseil-cpp-*/LICENSE' .
  # Debian's rules_cc does not know this compiler; the constraint of the same meaning stands in.
  find "$prefix/modules/abseil-cpp" -name BUILD.bazel -exec \
    sed -i 's#@rules_cc//cc/compiler:emscripten#@platforms//os:emscripten#' {} +
  module boringssl usr/include/openssl openssl "${lib#"$prefix"/}/libcrypto.a" libcrypto.a
  cp -r "$prefix"/usr/include/*-linux-gnu/openssl/. "$prefix/modules/boringssl/openssl"
  module cli11 usr/include/CLI CLI
  module cpp-httplib 'sources/cpp-httplib-*/httplib.h' httplib.h
  module flatbuffers usr/include/flatbuffers flatbuffers
  module googletest usr/src/googletest/googletest googletest usr/src/googletest/googlemock googlemock
  module isocline usr/include/isocline.h . "${lib#"$prefix"/}/libisocline.a" .
  module nlohmann_json usr/include/nlohmann nlohmann
  ln -s ../../usr/bin/flatc "$prefix/modules/flatbuffers/flatc"
}

write_bazelrc() {
  local share=$prefix/usr/share/bazel rules module
  echo "startup --install_base=$share --trust_install_base --server_javabase=$java"
  echo "common --config=offline"
  # What one checkout compiled, the others need not. Test results are not shared: each checkout runs its own tests.
  echo "common --disk_cache=$(dirname "$archives")/actions"
  echo "common --experimental_disk_cache_gc_max_size=10G"
  echo "common --modify_execution_info=TestRunner=+no-cache"
  for rules in tools/platforms tools/features:bazel_features tools/skylib:bazel_skylib rules/cc:rules_cc \
    rules/java:rules_java rules/license:rules_license rules/proto:rules_proto rules/python:rules_python \
    rules/shell:rules_shell; do
    module=${rules##*[:/]}
    echo "common:offline --override_module=$module=$share/${rules%%:*}"
  done
  for module in "$prefix"/modules/*; do
    echo "common:offline --override_module=$(basename "$module")=$module"
  done
}

write_launcher() {
  mkdir "$prefix/bin"
  printf '#!/bin/sh\nexec "%s" --nosystem_rc --bazelrc="%s" "$@"\n' "$prefix/usr/bin/bazel" "$prefix/bazelrc" \
    > "$prefix/bin/bazel"
  chmod +x "$prefix/bin/bazel"
}

check_prerequisites
progress "installing Bazel $(cat "$here/.bazelversion") for this user only, about half a minute ..."
fetch_indexes
unpack_packages
unpack_sources
lib=$(dirname "$(echo "$prefix"/usr/lib/*/libc.so.6)")
java=$(find "$prefix/usr/lib/jvm" -maxdepth 1 -type d -name 'java-*-openjdk-*')
patch_programs
patch_java
make_modules
write_bazelrc > "$prefix/bazelrc"
write_launcher
rm -rf "$state" "$prefix/sources"
version=$("$prefix/bin/bazel" --version) || die "the Bazel of Debian's packages does not run here: put bazelisk on the PATH"
progress "installed $version"
[[ ! -t 2 ]] || echo >&2
