// A decoder of random weights with the shapes of a real model,
// run with the kernels as the delegate runs them.
#ifndef CC_KERNELS_CUDA_BENCHMARK_DECODER_H_
#define CC_KERNELS_CUDA_BENCHMARK_DECODER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/kernels/cuda/attention/attention.h"
#include "cc/kernels/cuda/benchmark/measure.h"
#include "cc/kernels/cuda/pointwise/pointwise.h"
#include "cc/kernels/cuda/product/product.h"
#include "cc/kernels/cuda/sampling/sample.h"

namespace gemma::cuda {

struct DecoderShape {
  int layers = 60;
  int full_every = 6;  // layers 5, 11, ... attend to everything
  int hidden = 5376;
  int intermediate = 21504;
  int vocab = 262144;
  int heads = 32;
  int sliding_kv_heads = 16;
  int sliding_head_dim = 256;
  int full_kv_heads = 4;
  int full_head_dim = 512;
  int rotated = 128;  // of a full layer's shared cache; 0: separate keys and values
  int window = 1024;
  WeightLayout layout = WeightLayout::kInt4;
  WeightLayout head_layout = WeightLayout::kInt8;
  int max_context = 4096;
  int max_tokens = 1;  // of a call
};

// Scratch memory for the layers of all shapes that the benchmarks run.
Regions DecoderRegions(const Device& device);

class Decoder {
 public:
  // Takes and fills device memory; ResourceExhausted when it does not fit.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(const DecoderShape& shape,
                                                         const Context& context);

  // What a decode step reads: weights, and the cache at `position`.
  double WeightBytes() const { return weight_bytes_; }
  double CacheBytesAt(int64_t position) const;

  absl::Status SetPosition(int64_t position);

  // Parts that a run leaves out, to see what they take.
  struct Parts {
    bool attention = true;
    bool linears = true;
    bool head = true;
    bool sample = true;
  };
  // One token: embedding to drawn token.
  absl::Status DecodeStep(const Context& context, const Parts& parts);

 private:
  struct Layer {
    std::vector<WeightView> projections;  // q, k and, where values have their own, v
    WeightView o, gate, up, down;
    const float* norms[4];
    const float* scalar;
    const float* q_norm;
    const float* k_norm;
    const float* frequencies;
    DeviceCache cache;
  };

  Decoder(const DecoderShape& shape, Arena arena) : shape_(shape), arena_(std::move(arena)) {}
  absl::StatusOr<WeightView> TakeWeight(WeightLayout layout, int rows, int columns, Stream stream);
  absl::StatusOr<const float*> TakeFloats(int count, float low, float high, Stream stream);
  absl::StatusOr<DeviceCache> TakeCache(bool full, Stream stream);
  absl::StatusOr<Layer> TakeLayer(int index, Stream stream);
  absl::Status TakeBuffers(Stream stream);
  bool IsFull(int layer) const { return layer % shape_.full_every == shape_.full_every - 1; }
  size_t SharedBytes(const Context& context) const;

  // A product of these weights alone.
  static Product ProductOf(const std::vector<WeightView>& weights);
  absl::Status RunLayer(const Layer& layer, const Layer* before, const Layer* after,
                        const Context& context, const Parts& parts);

  const DecoderShape shape_;
  Arena arena_;
  double weight_bytes_ = 0;
  uint32_t seed_ = 1;
  std::vector<Layer> layers_;
  WeightView embedding_;
  const float* final_norm_ = nullptr;
  float* stream_[2] = {};  // float32 [hidden], used in turn
  int current_ = 0;
  float* qkv_[3] = {};
  uint16_t* attended_ = nullptr;
  float* branch_ = nullptr;  // float32 [hidden]
  uint16_t* gated_ = nullptr;
  float* logits_ = nullptr;
  int64_t* position_ = nullptr;
  int64_t* token_ = nullptr;
  SampleRequest* request_ = nullptr;
};

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_BENCHMARK_DECODER_H_
