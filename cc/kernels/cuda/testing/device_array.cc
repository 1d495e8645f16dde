#include "cc/kernels/cuda/testing/device_array.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cc/kernels/cuda/attention/attention.h"
#include "cc/kernels/cuda/device/activation.h"
#include "cc/kernels/cuda/gemm/gemm.h"
#include "cc/kernels/cuda/matvec/matvec.h"
#include "cc/kernels/cuda/sampling/sample.h"
#include "cc/kernels/reference.h"
#include "gtest/gtest.h"

namespace gemma::cuda {

void RequireOk(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

namespace {

Device TestDevice(int compute_major, int shared_kb) {
#ifdef GEMMA_CUDA_EMULATION
  Device device;
  device.name = "emulation";
  device.compute_major = device.code_major = compute_major;
  device.multiprocessors = 4;
  device.shared_bytes = static_cast<size_t>(shared_kb) << 10;
  return device;
#else
  (void)compute_major, (void)shared_kb;
  auto device = FindDevice(0);
  RequireOk(device.status());
  return *device;
#endif
}

void PutHalf(std::vector<std::byte>& bytes, uint64_t offset, float value) {
  const uint16_t half = reference::FloatToHalf(value);
  std::memcpy(bytes.data() + offset, &half, sizeof(half));
}

// Fills the floating-point numbers of a quantized weight, so that its values are about 0.02.
void FillScales(const WeightShape& shape, const WeightPlanes& planes, std::mt19937& random,
                std::vector<std::byte>& bytes) {
  std::normal_distribution<float> normal;
  const float scale = 0.02f / TraitsOf(shape.layout).spread;
  for (const ScaleNumbers& numbers : ScaleNumbersOf(shape, planes)) {
    for (uint64_t i = 0; i < numbers.count; ++i) {
      const float value = (numbers.mins ? -8 : 1) * scale * (1 + 0.3f * normal(random));
      const uint64_t at = numbers.offset + i * numbers.stride;
      if (numbers.floats) std::memcpy(bytes.data() + at, &value, sizeof(value));
      if (!numbers.floats) PutHalf(bytes, at, value);
    }
  }
}

void FillNumbers(const WeightShape& shape, const WeightPlanes& planes, std::mt19937& random,
                 std::vector<std::byte>& bytes) {
  const uint64_t elements = uint64_t{shape.rows} * shape.columns;
  const std::vector<float> values = RandomFloats(elements, 0.02f, random);
  for (uint64_t i = 0; i < elements; ++i) {
    if (shape.layout == WeightLayout::kF32) {
      std::memcpy(bytes.data() + planes.values + 4 * i, &values[i], 4);
    } else if (shape.layout == WeightLayout::kF16) {
      PutHalf(bytes, planes.values + 2 * i, values[i]);
    } else {
      const uint16_t bits = reference::FloatToBfloat16(values[i]);
      std::memcpy(bytes.data() + planes.values + 2 * i, &bits, 2);
    }
  }
}

// What any operation needs, of any shape that a test has.
Regions AllRegions(const Device& device) {
  Regions regions = MatvecRegions(device);
  AddRegions(GemmRegions(device), regions);
  AddRegions(SampleRegions(), regions);
  for (const auto& [head_dim, rotated] : {std::pair{256, 0}, {512, 0}, {512, 128}}) {
    DeviceCache cache;
    cache.kv_heads = 1;
    cache.head_dim = head_dim;
    cache.form = rotated > 0 ? CacheForm::kShared : CacheForm::kSeparate;
    cache.rotated = rotated;
    AddRegions(AttentionRegions(device, cache, 8, kMaxDecodeTokens), regions);
  }
  return regions;
}

}  // namespace

TestContext::TestContext(int compute_major, int shared_kb) {
  context_.device = TestDevice(compute_major, shared_kb);
  auto workspace = Workspace::Create(AllRegions(context_.device), nullptr);
  RequireOk(workspace.status());
  workspace_ = *std::move(workspace);
  context_.workspace = &workspace_;
}

RandomWeight::RandomWeight(const WeightShape& shape, std::mt19937& random)
    : shape(shape), device(0) {
  auto planned = LayOutWeight(shape);
  RequireOk(planned.status());
  planes = *planned;
  bytes.resize(planes.bytes);
  for (size_t i = 0; i < bytes.size(); i += 4) {
    const uint32_t word = static_cast<uint32_t>(random());
    std::memcpy(&bytes[i], &word, std::min<size_t>(4, bytes.size() - i));
  }
  if (IsFloat(shape.layout)) {
    FillNumbers(shape, planes, random, bytes);
  } else {
    FillScales(shape, planes, random, bytes);
  }
  device = DeviceArray<std::byte>(bytes);
}

std::vector<float> RandomFloats(size_t size, float scale, std::mt19937& random) {
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

ActivationValues RandomActivations(size_t size, float scale, std::mt19937& random) {
  ActivationValues result;
  for (const float value : RandomFloats(size, scale, random))
    result.bits.push_back(__half_as_ushort(__float2half_rn(value * kActivationScale)));
  result.values = FromActivations(result.bits);
  return result;
}

std::vector<float> FromActivations(std::span<const uint16_t> bits) {
  std::vector<float> values;
  for (const uint16_t b : bits)
    values.push_back(__half2float(__ushort_as_half(b)) * kActivationUnit);
  return values;
}

ActivationValues RandomPairs(size_t size, size_t columns, float scale, std::mt19937& random) {
  const std::vector<float> values = RandomFloats(size, scale, random);
  ActivationValues result;
  result.bits.resize(2 * size);
  for (size_t i = 0; i < size; ++i) {
    const float x = values[i] * kActivationScale;
    const __half nearest = __float2half_rn(x);
    const size_t at = i + i / columns * columns;
    result.bits[at] = __half_as_ushort(nearest);
    result.bits[at + columns] =
        __half_as_ushort(__float2half_rn(kPairScale * (x - __half2float(nearest))));
  }
  result.values = FromPairs(result.bits, columns);
  return result;
}

std::vector<float> FromPairs(std::span<const uint16_t> bits, size_t columns) {
  const std::vector<float> numbers = FromActivations(bits);
  std::vector<float> values(numbers.size() / 2);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t at = i + i / columns * columns;
    values[i] = numbers[at] + kPairUnit * numbers[at + columns];
  }
  return values;
}

void ExpectClose(const std::string& name, std::span<const float> out,
                 std::span<const float> reference, double relative, double each) {
  ASSERT_EQ(out.size(), reference.size()) << name;
  double error = 0, norm = 0, largest = 0;
  size_t first_bad = out.size(), bad = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const double difference = static_cast<double>(out[i]) - reference[i];
    if (!std::isfinite(out[i]) && bad++ == 0) first_bad = i;
    error += difference * difference;
    norm += static_cast<double>(reference[i]) * reference[i];
    largest = std::max(largest, std::abs(difference));
  }
  const double rms = std::sqrt(norm / static_cast<double>(out.size()));
  const double relative_error = std::sqrt(error / std::max(norm, 1e-300));
  const double largest_error = largest / std::max(rms, 1e-300);
  const double used = std::max(relative_error / relative, largest_error / each);
  std::printf("%-58s error %.2e  largest %.2e  tolerance used %5.1f %%\n", name.c_str(),
              relative_error, largest_error, 100 * used);
  EXPECT_EQ(bad, 0u) << name << ": of " << out.size()
                     << " values so many are not finite, the first at " << first_bad;
  EXPECT_LE(used, 1.0) << name;
}

}  // namespace gemma::cuda
