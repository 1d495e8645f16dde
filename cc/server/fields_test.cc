#include "cc/server/fields.h"

#include <string>

#include "cc/server/api_error.h"
#include "gtest/gtest.h"

namespace gemma::server {
namespace {

// The error's sentence, and the field that it names.
std::string Sentence(const absl::Status& status) { return std::string(status.message()); }
std::string FieldOf(const absl::Status& status) { return ToApiError(status).field; }

TEST(Fields, ReadsValuesAndTheirAbsence) {
  const Json body = {{"n", 3},          {"x", 0.5},           {"t", "text"},        {"b", true},
                     {"none", nullptr}, {"a", Json::array()}, {"o", Json::object()}};
  Fields fields(body, "");
  EXPECT_EQ(**fields.Integer("n", 1, 3), 3);
  EXPECT_EQ(**fields.Number("x", 0, 1), 0.5);
  EXPECT_EQ(**fields.Number("n", 0, 9), 3);
  EXPECT_EQ(**fields.Text("t"), "text");
  EXPECT_TRUE(*fields.Boolean("b", false));
  EXPECT_TRUE(*fields.Boolean("absent", true));
  EXPECT_FALSE(fields.Integer("none", 1, 3)->has_value());
  EXPECT_FALSE(fields.Text("absent")->has_value());
  EXPECT_TRUE((*fields.Array("a"))->empty());
  EXPECT_TRUE((*fields.Object("o"))->empty());
  EXPECT_EQ(*fields.Choice("t", {"text", "other"}, ""), "text");
  EXPECT_EQ(*fields.Choice("absent", {"text"}, "text"), "text");
  EXPECT_TRUE(fields.Finish().ok());
}

TEST(Fields, RefusesOtherTypesAndRangesByName) {
  const Json body = {
      {"big", uint64_t{1} << 63}, {"half", 0.5}, {"word", "w"}, {"huge", 1e308}, {"negative", -1}};
  Fields fields(body, "messages[3]");
  EXPECT_EQ(Sentence(fields.Integer("big", 0, INT64_MAX).status()),
            "messages[3].big: is 9223372036854775808, not an integer from 0 to "
            "9223372036854775807");
  EXPECT_EQ(FieldOf(fields.Integer("half", 0, 9).status()), "messages[3].half");
  EXPECT_FALSE(fields.Integer("word", 0, 9).ok());
  EXPECT_FALSE(fields.Integer("huge", 0, 9).ok());
  EXPECT_FALSE(fields.Integer("negative", 0, 9).ok());
  EXPECT_FALSE(fields.Number("huge", 0, 1).ok());
  EXPECT_FALSE(fields.Number("word", 0, 1).ok());
  EXPECT_FALSE(fields.Boolean("negative", false).ok());
  EXPECT_FALSE(fields.Text("negative").ok());
  EXPECT_FALSE(fields.Array("word").ok());
  EXPECT_FALSE(fields.Object("word").ok());
  EXPECT_EQ(Sentence(fields.Choice("word", {"a", "b"}, "").status()),
            "messages[3].word: is \"w\", not one of a, b");
  EXPECT_EQ(Sentence(fields.Need("absent").status()), "messages[3].absent: is missing");
}

TEST(Fields, RefusesWhatNobodyRead) {
  const Json body = {{"known", 1}, {"unknown", nullptr}};
  Fields fields(body, "");
  fields.Accept("known");
  EXPECT_EQ(FieldOf(fields.Finish()), "unknown");
  const Json long_name = {{std::string(100'000, 'x'), 1}};
  EXPECT_LT(Sentence(Fields(long_name, "").Finish()).size(), 200u);
}

TEST(Fields, RefusesUnlessTheValueChangesNothing) {
  const Json body = {{"store", true}, {"background", false}, {"absent", nullptr}};
  Fields fields(body, "");
  EXPECT_EQ(Sentence(fields.RefuseUnless("store", false, "nothing is stored")),
            "store: is not supported (nothing is stored)");
  EXPECT_TRUE(fields.RefuseUnless("background", false, "").ok());
  EXPECT_TRUE(fields.Refuse("absent", "").ok());
  EXPECT_TRUE(fields.Refuse("not there", "").ok());
}

TEST(Fields, NeedsAnObject) {
  EXPECT_EQ(Sentence(Fields(Json(3), "").CheckObject()), "the body: is 3, not an object");
  EXPECT_EQ(Sentence(Fields(Json("x"), "tools[0]").CheckObject()),
            "tools[0]: is \"x\", not an object");
}

}  // namespace
}  // namespace gemma::server
