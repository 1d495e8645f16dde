#include <stdexcept>
#include <utility>

#include "../source/cpp/support/logging.h"
#include "xgrammar_messages.h"

namespace xgrammar_messages {
namespace {

thread_local std::vector<std::string> warnings;

}  // namespace

std::vector<std::string> TakeWarnings() { return std::exchange(warnings, {}); }

std::string WithoutPlace(const std::exception& error) {
  const auto* fatal = dynamic_cast<const xgrammar::LogFatalError*>(&error);
  return fatal == nullptr ? error.what() : fatal->std::runtime_error::what();
}

}  // namespace xgrammar_messages

namespace xgrammar {

void LogFatalImpl(const std::string& file, int lineno, const std::string& message) {
  throw LogFatalError(file, lineno, message);
}

void LogMessageImpl(const std::string&, int, int level, const std::string& message) {
  if (level >= XGRAMMAR_LOG_LEVEL_WARNING) xgrammar_messages::warnings.push_back(message);
}

}  // namespace xgrammar
