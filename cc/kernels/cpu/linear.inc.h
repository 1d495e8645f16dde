// Linear, for any number of tokens.

inline void MultiplyLinear(const Linear& op, const Workspace& workspace, Slice slice) {
  if (LinearPacksInput(op.tokens)) {
    MultiplyManyTokens(op, workspace, slice);
  } else {
    MultiplyFewTokens(op, workspace, slice);
  }
}
