// Random weights in place of those that a model's files lack: for measuring, and for comparing
// devices, where a checkpoint cannot be brought. The same key has the same bytes on every machine.
//
// Matrices have values of deviation about 1 / sqrt(columns), vectors are about 1, so that
// activations neither vanish nor explode, as in a trained model. Several threads make them, each
// one weight at a time and piece by piece.
#ifndef CC_WEIGHTS_RANDOM_WEIGHTS_H_
#define CC_WEIGHTS_RANDOM_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cc/kernels/weight_layout.h"
#include "cc/plan/plan.h"
#include "cc/weights/load_tasks.h"
#include "cc/weights/weight_source.h"

namespace gemma {

class RandomWeights final : public WeightSource {
 public:
  // `stored` has what is not random, and `is_stored` says of a key whether that is so. `weights`:
  // of all plans. `progress` as in PtdFile::Options.
  RandomWeights(std::span<const PlanWeight> weights, WeightSource& stored,
                std::function<bool(const std::string&)> is_stored,
                std::function<void(uint64_t, uint64_t)> progress);

  absl::Status Read(std::span<const WeightRequest> requests, WeightSink& sink) override;

 private:
  absl::Status Make(size_t index, const WeightRequest& request, WeightSink& sink,
                    ByteProgress& progress, const LoadStopped& stopped) const;

  std::map<std::string, WeightShape> shapes_;  // by key
  WeightSource& stored_;
  const std::function<bool(const std::string&)> is_stored_;
  const std::function<void(uint64_t, uint64_t)> progress_;
};

// The bytes of one weight from the first to the last, without holding more than is asked for.
class RandomWeightBytes {
 public:
  // `seed` alone decides.
  RandomWeightBytes(const WeightShape& shape, uint64_t seed);
  ~RandomWeightBytes();
  // The next bytes, a multiple of 8 unless they are the last.
  void Next(std::span<std::byte> bytes);

 private:
  struct Scales;
  struct State;
  static std::vector<Scales> PlanScales(const WeightShape& shape, const WeightPlanes& planes);

  std::unique_ptr<State> state_;
};

// Fills a whole weight; `seed` alone decides.
void FillRandomWeight(const WeightShape& shape, uint64_t seed, std::span<std::byte> bytes);

}  // namespace gemma

#endif  // CC_WEIGHTS_RANDOM_WEIGHTS_H_
