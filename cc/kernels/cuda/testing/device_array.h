// Arrays in device memory for tests and benchmarks, and what the tests of this folder share: a
// stream's context, random weights, and the comparison that prints the error and how much of the
// tolerance it used.
#ifndef CC_KERNELS_CUDA_TESTING_DEVICE_ARRAY_H_
#define CC_KERNELS_CUDA_TESTING_DEVICE_ARRAY_H_

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "cc/kernels/cuda/runtime/context.h"
#include "cc/kernels/weight_layout.h"

namespace gemma::cuda {

// Aborts the test with the status; a test cannot go on without its memory.
void RequireOk(const absl::Status& status);

template <typename T>
class DeviceArray {
 public:
  // Filled with bytes 0xff: NaN as float, so that what a kernel forgets to write is seen.
  explicit DeviceArray(size_t size) : size_(size) {
    // 16 readable bytes follow, as the kernels may ask.
    auto buffer = DeviceBuffer::Allocate(size * sizeof(T) + 16, "a test");
    RequireOk(buffer.status());
    buffer_ = *std::move(buffer);
    RequireOk(ToStatus(cudaMemset(buffer_.data(), 0xff, buffer_.bytes()), "memset"));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { Write(values); }

  T* get() const { return static_cast<T*>(buffer_.data()); }
  size_t size() const { return size_; }

  void Write(const std::vector<T>& values) {
    RequireOk(ToStatus(cudaMemcpy(get(), values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice),
                       "copy"));
  }
  // Waits for the device.
  std::vector<T> Read() const {
    std::vector<T> values(size_);
    RequireOk(ToStatus(cudaDeviceSynchronize(), "kernel"));
    RequireOk(ToStatus(cudaMemcpy(values.data(), get(), size_ * sizeof(T), cudaMemcpyDeviceToHost),
                       "copy"));
    return values;
  }

 private:
  DeviceBuffer buffer_;
  size_t size_;
};

// The GPU 0 with its default stream. Under emulation:
// 4 multiprocessors with a H100's shared memory.
class TestContext {
 public:
  // Of the emulated GPU; shared_kb: that a block may use.
  explicit TestContext(int compute_major = 9, int shared_kb = 227);
  const Context& get() const { return context_; }
  Context* operator->() { return &context_; }

 private:
  Workspace workspace_;
  Context context_;
};

// A weight with random bytes: quantized values uniform, scales around 0.01 with both signs where
// the layout allows.
struct RandomWeight {
  RandomWeight(const WeightShape& shape, std::mt19937& random);
  WeightView host() const { return View(bytes.data()); }
  WeightView on_device() const { return View(device.get()); }

  WeightShape shape;
  WeightPlanes planes;
  std::vector<std::byte> bytes;
  DeviceArray<std::byte> device;

 private:
  WeightView View(const std::byte* data) const { return {shape, planes, data}; }
};

// Normal numbers, times `scale`.
std::vector<float> RandomFloats(size_t size, float scale, std::mt19937& random);
// Rounded to what activation.h stores, as float32 and as bits.
struct ActivationValues {
  std::vector<float> values;
  std::vector<uint16_t> bits;
};
ActivationValues RandomActivations(size_t size, float scale, std::mt19937& random);
std::vector<float> FromActivations(std::span<const uint16_t> bits);

// As pairs (activation.h): each row of `columns` becomes two. FromPairs is the way back; values are
// what the bits hold.
ActivationValues RandomPairs(size_t size, size_t columns, float scale, std::mt19937& random);
std::vector<float> FromPairs(std::span<const uint16_t> bits, size_t columns);

// Compares with a reference: `relative` is the tolerance on |out - ref| / |ref|, as norms over
// everything, and `each` on the largest single difference in units of the reference's root mean
// square. Prints both and the share of the tolerance used; a test failure where it is above 1 or
// anything is NaN.
void ExpectClose(const std::string& name, std::span<const float> out,
                 std::span<const float> reference, double relative, double each);

}  // namespace gemma::cuda

#endif  // CC_KERNELS_CUDA_TESTING_DEVICE_ARRAY_H_
