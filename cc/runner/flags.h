// How every subcommand declares its flags, so that --help reads alike: a short type, what is
// allowed, and the default.
#ifndef CC_RUNNER_FLAGS_H_
#define CC_RUNNER_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace gemma {

// One of `choices`; the value that `value` has now is the default.
CLI::Option* AddChoice(CLI::App& parser, const std::string& name, std::string& value,
                       const std::vector<std::string>& choices, const std::string& help);

// A count of tokens, 4096 or 4k, from `least` on; the value that `value` has now is the default.
CLI::Option* AddTokenCount(CLI::App& parser, const std::string& name, int64_t& value, int64_t least,
                           const std::string& help);

// Several of them, separated by commas.
CLI::Option* AddTokenCounts(CLI::App& parser, const std::string& name, std::vector<int64_t>& values,
                            int64_t least, const std::string& help);

// The examples at the end of a subcommand's --help, a line each.
void AddExamples(CLI::App& parser, const std::vector<std::string>& lines);

}  // namespace gemma

#endif  // CC_RUNNER_FLAGS_H_
