// Compares a kernel's result with its reference and says how much of the tolerance was used.
#ifndef CC_KERNELS_TESTING_ERROR_REPORT_H_
#define CC_KERNELS_TESTING_ERROR_REPORT_H_

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "gtest/gtest.h"

namespace gemma {

// Gathers the largest error and the largest share of its tolerance over many comparisons; prints
// them when it goes.
class ErrorReport {
 public:
  explicit ErrorReport(std::string name) : name_(std::move(name)) {}
  ErrorReport(const ErrorReport&) = delete;
  ErrorReport& operator=(const ErrorReport&) = delete;
  ~ErrorReport() {
    std::printf("%-44s max error %.2e, %5.1f %% of the tolerance, %lld values\n", name_.c_str(),
                max_error_, 100 * max_share_, static_cast<long long>(count_));
  }

  // `what` names the place in a failure. A NaN fails.
  void Add(double actual, double expected, double tolerance, const std::string& what) {
    const double error = std::abs(actual - expected);
    ++count_;
    if (!(error <= max_error_)) max_error_ = error;
    if (!(error / tolerance <= max_share_)) max_share_ = error / tolerance;
    if (!(error <= tolerance)) {
      ADD_FAILURE() << name_ << ", " << what << ": " << actual << " instead of " << expected
                    << ", tolerance " << tolerance;
    }
  }

  // actual[i] within tolerance * magnitude of expected[i], where magnitude is the largest
  // |expected| of all.
  void AddAll(std::span<const float> actual, std::span<const float> expected, double tolerance,
              const std::string& what) {
    ASSERT_EQ(actual.size(), expected.size());
    double magnitude = 0;
    for (float value : expected)
      magnitude = std::max(magnitude, std::abs(static_cast<double>(value)));
    for (size_t i = 0; i < actual.size() && !testing::Test::HasFailure(); ++i) {
      Add(actual[i], expected[i], tolerance * magnitude, what + " [" + std::to_string(i) + "]");
    }
  }

 private:
  std::string name_;
  double max_error_ = 0;
  double max_share_ = 0;
  int64_t count_ = 0;
};

}  // namespace gemma

#endif  // CC_KERNELS_TESTING_ERROR_REPORT_H_
