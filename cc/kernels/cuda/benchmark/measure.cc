#include "cc/kernels/cuda/benchmark/measure.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/kernels/cuda/benchmark/device_work.h"

namespace gemma::cuda {
namespace {

class Event {
 public:
  Event() { cudaEventCreate(&event_); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

absl::StatusOr<double> TimeOnce(const std::function<cudaError_t()>& launch, Stream stream) {
  Event begin, end;
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaEventRecord(begin.get(), stream), "event"));
  GEMMA_RETURN_IF_ERROR(ToStatus(launch(), "launch"));
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaEventRecord(end.get(), stream), "event"));
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaStreamSynchronize(stream), "run"));
  float ms = 0;
  GEMMA_RETURN_IF_ERROR(ToStatus(cudaEventElapsedTime(&ms, begin.get(), end.get()), "event"));
  return 1000.0 * ms;
}

absl::StatusOr<Timing> Time(const std::function<cudaError_t()>& launch, Stream stream,
                            int repetitions) {
  constexpr int kWarmUps = 3;
  std::vector<double> times;
  for (int i = 0; i < kWarmUps + repetitions; ++i) {
    GEMMA_ASSIGN_OR_RETURN(const double us, TimeOnce(launch, stream));
    if (i >= kWarmUps) times.push_back(us);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  return Timing{median, (times.back() - times.front()) / median};
}

absl::Status FillScales(const WeightView& weight, uint32_t seed, Stream stream) {
  const WeightShape& shape = weight.shape;
  std::byte* const data = const_cast<std::byte*>(weight.data);
  if (!IsFloat(shape.layout)) {
    const float scale = 0.02f / TraitsOf(shape.layout).spread;
    for (const ScaleNumbers& n : ScaleNumbersOf(shape, weight.planes)) {
      const float low = (n.mins ? -9 : 0.5f) * scale, high = (n.mins ? -7 : 1.5f) * scale;
      const Stored type = n.floats ? Stored::kF32 : Stored::kF16;
      GEMMA_RETURN_IF_ERROR(
          ToStatus(FillNumbers(data + n.offset, n.count, type, low, high, seed, stream, n.stride),
                   "random weights"));
    }
    return absl::OkStatus();
  }
  const Stored type = shape.layout == WeightLayout::kF32   ? Stored::kF32
                      : shape.layout == WeightLayout::kF16 ? Stored::kF16
                                                           : Stored::kBF16;
  return ToStatus(FillNumbers(data + weight.planes.values, size_t{shape.rows} * shape.columns, type,
                              -0.03f, 0.03f, seed, stream),
                  "random weights");
}

}  // namespace

absl::StatusOr<Timing> TimeGraph(const std::function<absl::Status()>& work, Stream stream,
                                 int repetitions) {
  GEMMA_RETURN_IF_ERROR(
      ToStatus(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture"));
  const absl::Status status = work();
  cudaGraph_t graph = nullptr;
  const cudaError_t end = cudaStreamEndCapture(stream, &graph);
  GEMMA_RETURN_IF_ERROR(status);
  GEMMA_RETURN_IF_ERROR(ToStatus(end, "capture"));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t instantiate = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  GEMMA_RETURN_IF_ERROR(ToStatus(instantiate, "graph"));
  auto timing = Time([&] { return cudaGraphLaunch(executable, stream); }, stream, repetitions);
  cudaGraphExecDestroy(executable);
  return timing;
}

absl::StatusOr<double> ReadBandwidth(const Device& device, size_t bytes, Stream stream) {
  GEMMA_ASSIGN_OR_RETURN(const DeviceBuffer buffer,
                         DeviceBuffer::Allocate(bytes, "the bandwidth measurement"));
  GEMMA_ASSIGN_OR_RETURN(const DeviceBuffer sum,
                         DeviceBuffer::Allocate(4, "the bandwidth measurement"));
  GEMMA_RETURN_IF_ERROR(ToStatus(FillBytes(buffer.data(), bytes, 1, stream), "fill"));
  GEMMA_ASSIGN_OR_RETURN(const Timing timing,
                         Time(
                             [&] {
                               return ReadAll(buffer.data(), bytes, device.multiprocessors,
                                              static_cast<uint32_t*>(sum.data()), stream);
                             },
                             stream, 9));
  return static_cast<double>(bytes) / timing.median_us * 1e6;
}

absl::StatusOr<Arena> Arena::Create(size_t bytes) {
  Arena arena;
  GEMMA_ASSIGN_OR_RETURN(arena.memory_, DeviceBuffer::Allocate(bytes, "random weights"));
  return arena;
}

absl::StatusOr<void*> Arena::Take(size_t bytes) {
  const size_t start = (used_ + 255) / 256 * 256;
  if (start > memory_.bytes() || bytes > memory_.bytes() - start) {
    return absl::ResourceExhaustedError(
        absl::StrCat("an arena of ", memory_.bytes(), " bytes has no room for ", bytes));
  }
  used_ = start + bytes;
  return static_cast<std::byte*>(memory_.data()) + start;
}

absl::StatusOr<WeightView> RandomDeviceWeight(const WeightShape& shape, Arena& arena, uint32_t seed,
                                              Stream stream) {
  WeightView weight;
  weight.shape = shape;
  GEMMA_ASSIGN_OR_RETURN(weight.planes, LayOutWeight(shape));
  GEMMA_ASSIGN_OR_RETURN(void* data, arena.Take(weight.planes.bytes + 16));
  weight.data = static_cast<const std::byte*>(data);
  GEMMA_RETURN_IF_ERROR(
      ToStatus(FillBytes(data, weight.planes.bytes, seed, stream), "random weights"));
  GEMMA_RETURN_IF_ERROR(FillScales(weight, seed, stream));
  return weight;
}

}  // namespace gemma::cuda
