"""Compiler options for code that includes FlatBuffers."""

# FlatBuffers' code is inline, and libexecutorch.so holds another version of it under the same symbol names. Symbols that
# the dynamic linker can see would replace those inside libexecutorch.so; hidden ones do not (gemma_delegate_test).
HIDDEN_SYMBOLS = ["-fvisibility=hidden"]
