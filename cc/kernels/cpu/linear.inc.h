// Linear, for any number of tokens.

inline void MultiplyLinear(const Linear& op, const Workspace& workspace, Slice slice,
                           Claims* claims) {
  if (LinearPacksInput(op.tokens)) {
    MultiplyManyTokens(op, workspace, slice, claims);
  } else {
    MultiplyFewTokens(op, workspace, slice, claims);
  }
}
