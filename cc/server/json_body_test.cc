#include "cc/server/json_body.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gemma::server {
namespace {

using ::testing::HasSubstr;

std::string Problem(const std::string& body) {
  return std::string(ParseBody(body).status().message());
}

std::string Repeat(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(JsonBody, KeepsTheOrderOfKeys) {
  EXPECT_EQ(Dump(*ParseBody(R"({"b": 1, "a": [true, null, "\u00e9"]})")),
            "{\"b\":1,\"a\":[true,null,\"\xC3\xA9\"]}");
}

TEST(JsonBody, RefusesWhatIsNotJson) {
  for (const char* body :
       {"", "{", "{\"a\": NaN}", "{\"a\": 1e400}", "{\"a\": Infinity}", "nul", "{\"a\" 1}",
        "\"\xFF\"", "\"\\ud800\"", "{\"a\": 1} x", "[1,]", "{'a': 1}", "\xEF\xBB"}) {
    EXPECT_THAT(Problem(body), HasSubstr("is not JSON")) << body;
  }
}

TEST(JsonBody, RefusesDeepNesting) {
  EXPECT_TRUE(ParseBody(Repeat("[", 64) + Repeat("]", 64)).ok());
  EXPECT_THAT(Problem(Repeat("[", 66) + Repeat("]", 66)), HasSubstr("nested deeper than 64"));
  EXPECT_THAT(Problem(Repeat("[", 1'000'000)), HasSubstr("nested deeper than 64"));
  EXPECT_THAT(Problem(Repeat("{\"a\":", 100'000)), HasSubstr("nested deeper than 64"));
}

TEST(JsonBody, RefusesKeysThatAreThereTwiceOrTooMany) {
  EXPECT_THAT(Problem(R"({"a": {"b": 1, "b": 2}})"), HasSubstr("has the key \"b\" twice"));
  std::string many = "{\"a\": 0";
  for (int i = 0; i < kMaxJsonKeys; ++i) many += ", \"k" + std::to_string(i) + "\": 0";
  EXPECT_THAT(Problem(many + "}"), HasSubstr("an object of more than 1000 keys"));
}

TEST(JsonBody, RefusesTooManyValues) {
  EXPECT_THAT(Problem("[" + Repeat("0,", kMaxJsonValues) + "0]"),
              HasSubstr("more than 1000000 values"));
}

TEST(JsonBody, ShowsValuesInShort) {
  EXPECT_EQ(Shown(Json(3)), "3");
  EXPECT_EQ(Shown(Json::object()), "{}");
  EXPECT_EQ(Shown(Json{{"a", 1}}), "an object");
  EXPECT_EQ(Shown(Json::array({1})), "an array");
  EXPECT_EQ(Shown(Json(std::string(1000, 'x'))).size(), 63u);
}

}  // namespace
}  // namespace gemma::server
