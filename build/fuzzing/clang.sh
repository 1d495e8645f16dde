# Sourced by the programs beside it: require_clang ends a program, in one sentence, where no clang has libFuzzer.
require_clang() {
  local probe
  probe=$(mktemp)
  if ! clang++-16 -x c++ -fsanitize=fuzzer,address,undefined -o "$probe" - 2> /dev/null \
    <<< 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }'; then
    rm -f "$probe"
    echo "fuzz: clang 16 with libFuzzer is not here (apt install clang-16 libclang-rt-16-dev libfuzzer-16-dev)" >&2
    exit 1
  fi
  rm -f "$probe"
}
