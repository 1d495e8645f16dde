// MergeTable: which neighbours a byte-pair encoding joins, and the merging itself.
//
// Merging repeats one step until no pair of neighbours can be joined: of all such pairs, join the
// one of the lowest rank, and of equal ranks the leftmost. Joining n symbols takes O(n log n)
// steps, whatever the text.
#ifndef CC_TEXT_MERGE_TABLE_H_
#define CC_TEXT_MERGE_TABLE_H_

#include <cstdint>
#include <vector>

#include "cc/text/vocabulary.h"

namespace gemma {

class MergeTable {
 public:
  struct Result {
    int32_t right = 0;
    int32_t rank = 0;
    int32_t merged = 0;
  };

  // The merges of `vocabulary` between NORMAL and USER pieces; others are left out, so that text
  // never makes a CONTROL piece.
  explicit MergeTable(const Vocabulary& vocabulary);

  // What `left` followed by `right` becomes; null when nothing.
  const Result* Find(int32_t left, int32_t right) const;

 private:
  std::vector<int32_t>
      begins_;  // [pieces + 1]: where the results of each left piece begin in results_
  std::vector<Result> results_;  // ascending by (left, right)
};

// Merges symbols by a table. It keeps its buffers from call to call,
// and is not for several threads at once.
class Merger {
 public:
  // `table` must outlive this.
  explicit Merger(const MergeTable& table) : table_(table) {}

  // Replaces `symbols` (ids, at most 2^31 - 1 of them) by what they merge to.
  void Merge(std::vector<int32_t>& symbols);

 private:
  // A pair of neighbours that could be joined when it was seen.
  struct Candidate {
    int32_t rank;
    int32_t position;  // of the left symbol
    int32_t left;
    int32_t right;
    int32_t merged;
    // Orders a heap so that the lowest rank, then the leftmost, is on top.
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };

  void LinkSymbols(int32_t count);
  bool AddCandidate(const std::vector<int32_t>& symbols, int32_t position);
  void PushCandidate(const std::vector<int32_t>& symbols, int32_t position);
  bool IsCurrent(const std::vector<int32_t>& symbols, const Candidate& candidate) const;
  void Join(std::vector<int32_t>& symbols, const Candidate& candidate);

  const MergeTable& table_;
  // A linked list over the symbols that are left, -1 at its ends; a symbol joined to its left
  // neighbour is -1.
  std::vector<int32_t> next_;
  std::vector<int32_t> previous_;
  std::vector<Candidate> heap_;
};

}  // namespace gemma

#endif  // CC_TEXT_MERGE_TABLE_H_
