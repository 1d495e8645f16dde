// The runtime API under emulation: device memory is host memory, and everything has happened when a
// call returns, except that what is launched while a stream is captured runs with the graph.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "cc/kernels/cuda/emulation/emulation.h"

namespace {

using Work = std::vector<std::function<cudaError_t()>>;
using Clock = std::chrono::steady_clock;

// The capture that is under way; null: none.
thread_local std::unique_ptr<Work> capture;

// The rest of a buffer's pages are taken when they are written: loading a model reserves 256 MB.
constexpr size_t kFilledHostBytes = 64 << 10;

bool is_stuck = false;
int launches_to_failure = 0;

// What a call answers that waits for the GPU.
cudaError_t Waited(const char* call) {
  if (!is_stuck) return cudaSuccess;
  std::fprintf(stderr, "emulation: %s would wait for ever\n", call);
  std::abort();
}

cudaError_t Do(std::function<cudaError_t()> work) {
  if (capture == nullptr) return work();
  capture->push_back(std::move(work));
  return cudaSuccess;
}

template <typename Handle, typename T>
Handle ToHandle(T* object) {
  return reinterpret_cast<Handle>(object);
}
template <typename T, typename Handle>
T* FromHandle(Handle handle) {
  return reinterpret_cast<T*>(handle);
}

}  // namespace

namespace gemma::emulation {

void SetStuck(bool stuck) { is_stuck = stuck; }
void FailLaunch(int count) { launches_to_failure = count; }

cudaError_t Launch(dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> kernel) {
  return Do([=] {
    if (launches_to_failure > 0 && --launches_to_failure == 0) return cudaErrorLaunchFailure;
    return RunGrid(grid, block, shared_bytes, kernel);
  });
}

}  // namespace gemma::emulation

extern "C" {

// ---- memory ----

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  // Exactly `bytes`, so that the address sanitizer sees a kernel that reads past the end.
  if (posix_memalign(pointer, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*pointer, 0xff, bytes);
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  const cudaError_t error = Waited("cudaFree");
  std::free(pointer);
  return error;
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  if (posix_memalign(pointer, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*pointer, 0xff, std::min(bytes, kFilledHostBytes));
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* pointer) { return cudaFree(pointer); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = *total = size_t{1} << 40;
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  return Do([=] { return cudaMemcpy(to, from, bytes, kind); });
}
cudaError_t cudaMemset(void* pointer, int value, size_t bytes) {
  std::memset(pointer, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t) {
  return Do([=] { return cudaMemset(pointer, value, bytes); });
}

// ---- streams and events ----

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = ToHandle<cudaStream_t>(new char);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete FromHandle<char>(stream);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return Waited("cudaDeviceSynchronize"); }
cudaError_t cudaStreamQuery(cudaStream_t) { return is_stuck ? cudaErrorNotReady : cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = ToHandle<cudaEvent_t>(new Clock::time_point);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete FromHandle<Clock::time_point>(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  *FromHandle<Clock::time_point>(event) = Clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) { return is_stuck ? cudaErrorNotReady : cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(*FromHandle<Clock::time_point>(end) -
                                                           *FromHandle<Clock::time_point>(begin))
                      .count();
  return cudaSuccess;
}

// ---- graphs ----

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  if (capture != nullptr) return cudaErrorIllegalState;
  capture = std::make_unique<Work>();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  if (capture == nullptr) return cudaErrorIllegalState;
  *graph = ToHandle<cudaGraph_t>(capture.release());
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = ToHandle<cudaGraphExec_t>(new Work(*FromHandle<Work>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete FromHandle<Work>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete FromHandle<Work>(executable);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  for (const auto& work : *FromHandle<Work>(executable)) {
    if (const cudaError_t error = work(); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

// ---- errors and devices ----

cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "emulated error";
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaSuccess ? "cudaSuccess" : "cudaError";
}

// There is no GPU to find.
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int) { return cudaErrorNoDevice; }
cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int) { return cudaErrorNoDevice; }
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 0;
  return cudaSuccess;
}

}  // extern "C"
