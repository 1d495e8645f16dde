// Drawing a token and scoring, without sorting the vocabulary: what the filters keep are always the
// first so many of the ranked tokens, so a bound on the logits finds a few candidates, and only
// these are ranked.

// The vocabulary is looked at in blocks;
// a block's largest logit says whether it needs a second look.
constexpr int64_t kLogitBlocks = 1024;

struct LogitBlocks {
  int64_t size;   // logits a block, a multiple of kLanes
  int64_t count;  // at most kLogitBlocks
  float largest[kLogitBlocks];

  LogitBlocks(const float* logits, int64_t vocab) {
    size = ((vocab + kLogitBlocks - 1) / kLogitBlocks + kLanes - 1) / kLanes * kLanes;
    count = (vocab + size - 1) / size;
    for (int64_t b = 0; b < count; ++b) {
      const Range range = Of(b, vocab);
      F block = Set(-std::numeric_limits<float>::infinity());
      int64_t i = range.begin;
      // Max gives its second operand where one is NaN, so that NaN never wins.
      for (; i + kLanes <= range.end; i += kLanes) block = Max(Load(logits + i), block);
      largest[b] = Largest(block);
      for (; i < range.end; ++i) largest[b] = logits[i] > largest[b] ? logits[i] : largest[b];
    }
  }

  Range Of(int64_t block, int64_t vocab) const {
    return {block * size, std::min(vocab, (block + 1) * size)};
  }
};

// The larger logit first; of equals, the lower id.
inline bool RanksBefore(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

inline int64_t ArgMax(const float* logits, int64_t vocab, const LogitBlocks& blocks) {
  const int64_t block =
      std::max_element(blocks.largest, blocks.largest + blocks.count) - blocks.largest;
  const Range range = blocks.Of(block, vocab);
  for (int64_t i = range.begin; i < range.end; ++i) {
    if (logits[i] == blocks.largest[block]) return i;
  }
  return 0;  // every logit is NaN
}

// Puts every token with a logit >= bound into `out`, ids ascending, and returns how many there are.
inline int64_t Gather(const Sample& op, const LogitBlocks& blocks, float bound, Candidate* out) {
  int64_t count = 0;
  for (int64_t b = 0; b < blocks.count; ++b) {
    if (blocks.largest[b] < bound) continue;
    const Range range = blocks.Of(b, op.vocab);
    for (int64_t i = range.begin; i < range.end; ++i) {
      if (op.logits[i] >= bound) out[count++] = {op.logits[i], static_cast<int32_t>(i)};
    }
  }
  return count;
}

// A logit that at least k tokens reach: the k-th largest of the blocks' largest.
inline float BoundOfTop(const LogitBlocks& blocks, int64_t k) {
  if (k > blocks.count) return -std::numeric_limits<float>::infinity();
  float largest[kLogitBlocks];
  std::copy(blocks.largest, blocks.largest + blocks.count, largest);
  std::nth_element(largest, largest + k - 1, largest + blocks.count, std::greater<float>());
  return largest[k - 1];
}

// Probabilities relative to the most likely token's.
struct Likelihood {
  double largest;
  double temperature;
  double operator()(float logit) const { return std::exp((logit - largest) / temperature); }
};

// The sum of relative probabilities over a block, or over a part of it.
inline double BlockLikelihood(const float* logits, Range range, const Likelihood& likelihood) {
  const F largest = Set(static_cast<float>(likelihood.largest));
  const F inverse = Set(static_cast<float>(std::min(1 / likelihood.temperature, 1e38)));
  F sum = Set(0);
  for (int64_t i = range.begin; i < range.end; i += kLanes) {
    const int64_t count = std::min<int64_t>(kLanes, range.end - i);
    const F logit = count == kLanes ? Load(logits + i) : LoadPart(logits + i, count);
    F e = Max(Exp((logit - largest) * inverse), Set(0));  // NaN counts as 0
    if (count < kLanes) {
      float part[kLanes] = {};
      StorePart(part, e, count);
      e = Load(part);
    }
    sum = sum + e;
  }
  return Sum(sum);
}

inline double TotalLikelihood(const float* logits, int64_t vocab, const LogitBlocks& blocks,
                              const Likelihood& likelihood) {
  double total = 0;
  for (int64_t b = 0; b < blocks.count; ++b)
    total += BlockLikelihood(logits, blocks.Of(b, vocab), likelihood);
  return total;
}

// Ranks just enough of the candidates to find how few of the first sum to `target`; they are then
// at the front.
inline int64_t SmallestPrefix(Candidate* candidates, int64_t count, const Likelihood& likelihood,
                              double target) {
  int64_t begin = 0, end = count;
  double before = 0;
  // Halve the stretch in which the sum reaches the target: the cost is linear in `count`.
  while (end - begin > 64) {
    const int64_t middle = begin + (end - begin) / 2;
    std::nth_element(candidates + begin, candidates + middle, candidates + end, RanksBefore);
    double half = 0;
    for (int64_t i = begin; i < middle; ++i) half += likelihood(candidates[i].logit);
    if (before + half >= target) {
      end = middle;
    } else {
      before += half;
      begin = middle;
    }
  }
  std::sort(candidates + begin, candidates + end, RanksBefore);
  for (int64_t i = begin; i < end; ++i) {
    before += likelihood(candidates[i].logit);
    if (before >= target) return i + 1;
  }
  return end;
}

inline double SumOf(const Candidate* candidates, int64_t count, const Likelihood& likelihood) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += likelihood(candidates[i].logit);
  return sum;
}

// A logit that every token reaches which the filters keep.
// (The filters keep a prefix of the ranked tokens each.)
inline float BoundOfKept(const Sample& op, const LogitBlocks& blocks,
                         const Likelihood& likelihood) {
  const SamplingParams& sampling = op.sampling;
  if (sampling.top_k > 0) return BoundOfTop(blocks, sampling.top_k);
  double least = sampling.min_p;
  // What is rarer than this has, all together, less than 1 - top_p of the probability.
  if (sampling.top_p < 1)
    least =
        std::max(least, (1 - static_cast<double>(sampling.top_p)) / static_cast<double>(op.vocab));
  const double bound = likelihood.largest + likelihood.temperature * std::log(least);
  return std::nextafter(static_cast<float>(bound), -std::numeric_limits<float>::infinity());
}

// Fills `candidates` with the tokens that the filters keep and returns their number.
inline int64_t Filter(const Sample& op, const LogitBlocks& blocks, const Likelihood& likelihood,
                      Candidate* candidates) {
  const SamplingParams& sampling = op.sampling;
  int64_t count = Gather(op, blocks, BoundOfKept(op, blocks, likelihood), candidates);
  if (sampling.top_k > 0 && count > sampling.top_k) {
    std::nth_element(candidates, candidates + sampling.top_k - 1, candidates + count, RanksBefore);
    count = sampling.top_k;
  }
  if (sampling.top_p < 1) {
    const double total = sampling.top_k > 0
                             ? SumOf(candidates, count, likelihood)
                             : TotalLikelihood(op.logits, op.vocab, blocks, likelihood);
    count = SmallestPrefix(candidates, count, likelihood, sampling.top_p * total);
  }
  const Candidate* end =
      std::partition(candidates, candidates + count, [&](const Candidate& candidate) {
        return likelihood(candidate.logit) >= sampling.min_p ||
               candidate.logit == likelihood.largest;
      });
  return end - candidates;
}

// The first of the candidates, ids ascending, at which the sum of relative probabilities exceeds u
// times the total.
inline int64_t Draw(const Candidate* candidates, int64_t count, const Likelihood& likelihood,
                    double target) {
  double sum = 0;
  int64_t last = candidates[0].id;
  for (int64_t i = 0; i < count; ++i) {
    const double probability = likelihood(candidates[i].logit);
    sum += probability;
    if (probability > 0) last = candidates[i].id;
    if (sum > target) break;
  }
  return last;
}

inline int64_t DrawFiltered(const Sample& op, const LogitBlocks& blocks,
                            const Likelihood& likelihood, double u, Candidate* candidates) {
  const int64_t count = Filter(op, blocks, likelihood, candidates);
  std::sort(candidates, candidates + count,
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  return Draw(candidates, count, likelihood, u * SumOf(candidates, count, likelihood));
}

// Without filters: finds the block, then the token in it.
inline int64_t DrawUnfiltered(const Sample& op, const LogitBlocks& blocks,
                              const Likelihood& likelihood, double u, Candidate* candidates) {
  double target = u * TotalLikelihood(op.logits, op.vocab, blocks, likelihood);
  int64_t chosen = 0;
  double chosen_likelihood = 0;
  for (int64_t b = 0; b < blocks.count; ++b) {
    const double block = BlockLikelihood(op.logits, blocks.Of(b, op.vocab), likelihood);
    if (block == 0) continue;
    if (chosen_likelihood > 0) target -= chosen_likelihood;
    chosen = b;
    chosen_likelihood = block;
    if (block > target) break;
  }
  const Range range = blocks.Of(chosen, op.vocab);
  int64_t count = 0;
  for (int64_t i = range.begin; i < range.end; ++i) {
    if (op.logits[i] == op.logits[i]) candidates[count++] = {op.logits[i], static_cast<int32_t>(i)};
  }
  return Draw(candidates, count, likelihood, target);
}

inline int64_t SampleToken(const Sample& op, const Workspace& workspace) {
  const LogitBlocks blocks(op.logits, op.vocab);
  const int64_t best = ArgMax(op.logits, op.vocab, blocks);
  const SamplingParams& sampling = op.sampling;
  if (!(sampling.temperature > 0) || !std::isfinite(op.logits[best])) return best;
  const Likelihood likelihood{op.logits[best], sampling.temperature};
  const double u = SamplingUniform(sampling.seed, op.position);
  const bool filtered = sampling.top_k > 0 || sampling.top_p < 1 || sampling.min_p > 0;
  return filtered ? DrawFiltered(op, blocks, likelihood, u, workspace.candidates())
                  : DrawUnfiltered(op, blocks, likelihood, u, workspace.candidates());
}

// The `top` largest logits of a row, most likely first.
inline void FindTop(const float* logits, int64_t vocab, const LogitBlocks& blocks, int64_t top,
                    Candidate* out) {
  const float bound = BoundOfTop(blocks, top);
  int64_t count = 0;
  for (int64_t b = 0; b < blocks.count; ++b) {
    if (blocks.largest[b] < bound) continue;
    const Range range = blocks.Of(b, vocab);
    for (int64_t i = range.begin; i < range.end; ++i) {
      // NaN counts as minus infinity.
      // An equal that was found earlier has the lower id and stays before.
      const float logit =
          logits[i] == logits[i] ? logits[i] : -std::numeric_limits<float>::infinity();
      if (count == top && logit <= out[top - 1].logit) continue;
      int64_t place = count < top ? count++ : top - 1;
      for (; place > 0 && out[place - 1].logit < logit; --place) out[place] = out[place - 1];
      out[place] = {logit, static_cast<int32_t>(i)};
    }
  }
}

inline void ComputeScore(const Score& op, Slice slice) {
  const Range tokens = Share(op.tokens, slice);
  for (int64_t t = tokens.begin; t < tokens.end; ++t) {
    const float* logits = op.logits + t * op.vocab;
    const LogitBlocks blocks(logits, op.vocab);
    const Likelihood likelihood{logits[ArgMax(logits, op.vocab, blocks)], 1};
    const double normalizer =
        likelihood.largest + std::log(TotalLikelihood(logits, op.vocab, blocks, likelihood));
    op.logprobs[t] = op.targets[t] < 0 ? std::numeric_limits<float>::quiet_NaN()
                                       : static_cast<float>(logits[op.targets[t]] - normalizer);
    Candidate top[kMaxScoreTop];
    FindTop(logits, op.vocab, blocks, op.top, top);
    for (int64_t i = 0; i < op.top; ++i) {
      op.top_ids[t * op.top + i] = top[i].id;
      op.top_logprobs[t * op.top + i] = static_cast<float>(top[i].logit - normalizer);
    }
  }
}
