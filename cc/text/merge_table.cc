#include "cc/text/merge_table.h"

#include <algorithm>
#include <numeric>

namespace gemma {
namespace {

bool IsMergeable(PieceKind kind) { return kind == PieceKind::kNormal || kind == PieceKind::kUser; }

}  // namespace

MergeTable::MergeTable(const Vocabulary& vocabulary) : begins_(vocabulary.size() + 1) {
  results_.reserve(vocabulary.merges().size());
  int32_t next = 0;  // the first piece whose begin is not known yet
  for (const MergeRule& merge : vocabulary.merges()) {
    if (!IsMergeable(vocabulary.Kind(merge.left)) || !IsMergeable(vocabulary.Kind(merge.right)) ||
        !IsMergeable(vocabulary.Kind(merge.merged))) {
      continue;
    }
    while (next <= merge.left) begins_[next++] = static_cast<int32_t>(results_.size());
    results_.push_back({merge.right, merge.rank, merge.merged});
  }
  while (next <= vocabulary.size()) begins_[next++] = static_cast<int32_t>(results_.size());
}

const MergeTable::Result* MergeTable::Find(int32_t left, int32_t right) const {
  const auto begin = results_.begin() + begins_[left];
  const auto end = results_.begin() + begins_[left + 1];
  const auto found = std::ranges::lower_bound(begin, end, right, {}, &Result::right);
  return found != end && found->right == right ? &*found : nullptr;
}

void Merger::Merge(std::vector<int32_t>& symbols) {
  const int32_t count = static_cast<int32_t>(symbols.size());
  LinkSymbols(count);
  heap_.clear();
  for (int32_t position = 0; position + 1 < count; ++position) AddCandidate(symbols, position);
  std::make_heap(heap_.begin(), heap_.end());
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Candidate candidate = heap_.back();
    heap_.pop_back();
    if (IsCurrent(symbols, candidate)) Join(symbols, candidate);
  }
  std::erase(symbols, -1);
}

void Merger::LinkSymbols(int32_t count) {
  next_.resize(count);
  previous_.resize(count);
  std::iota(next_.begin(), next_.end(), 1);
  std::iota(previous_.begin(), previous_.end(), -1);
  if (count > 0) next_.back() = -1;
}

// Whether the pair of `position` and its right neighbour can be joined; it is then at the heap's
// back, not yet in order.
bool Merger::AddCandidate(const std::vector<int32_t>& symbols, int32_t position) {
  const int32_t left = symbols[position];
  const int32_t right = symbols[next_[position]];
  const MergeTable::Result* result = table_.Find(left, right);
  if (result == nullptr) return false;
  heap_.push_back({result->rank, position, left, right, result->merged});
  return true;
}

void Merger::PushCandidate(const std::vector<int32_t>& symbols, int32_t position) {
  if (AddCandidate(symbols, position)) std::push_heap(heap_.begin(), heap_.end());
}

// Whether both symbols are still what they were when the candidate was seen. Symbols only grow, so
// equal ids mean that nothing has happened to them.
bool Merger::IsCurrent(const std::vector<int32_t>& symbols, const Candidate& candidate) const {
  const int32_t next = next_[candidate.position];
  return symbols[candidate.position] == candidate.left && next != -1 &&
         symbols[next] == candidate.right;
}

void Merger::Join(std::vector<int32_t>& symbols, const Candidate& candidate) {
  const int32_t position = candidate.position;
  const int32_t joined = next_[position];
  symbols[position] = candidate.merged;
  symbols[joined] = -1;
  next_[position] = next_[joined];
  if (next_[position] != -1) {
    previous_[next_[position]] = position;
    PushCandidate(symbols, position);
  }
  if (previous_[position] != -1) PushCandidate(symbols, previous_[position]);
}

}  // namespace gemma
