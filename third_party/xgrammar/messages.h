// What XGrammar has to say: its warnings name each part of a schema that it would not enforce. They
// are collected here instead of being printed.
#ifndef THIRD_PARTY_XGRAMMAR_MESSAGES_H_
#define THIRD_PARTY_XGRAMMAR_MESSAGES_H_

#include <exception>
#include <string>
#include <vector>

namespace xgrammar_messages {

// The warnings of this thread since the last call, oldest first.
std::vector<std::string> TakeWarnings();

// What an exception of XGrammar says, without the time and the place in its source.
std::string WithoutPlace(const std::exception& error);

}  // namespace xgrammar_messages

#endif  // THIRD_PARTY_XGRAMMAR_MESSAGES_H_
