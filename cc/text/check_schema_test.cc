#include "cc/text/check_schema.h"

#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gemma {
namespace {

std::string Sentence(const std::string& schema) {
  return std::string(CheckSchema(nlohmann::json::parse(schema)).message());
}

TEST(CheckSchemaTest, WhatCanBeEnforcedIsAccepted) {
  EXPECT_EQ(Sentence(R"({"type": "object", "properties": {"a": {"type": "integer", "minimum": 0},
      "b": {"$ref": "#/$defs/c"}}, "required": ["a"], "additionalProperties": false,
      "$defs": {"c": {"enum": ["x", null]}}, "title": "T", "x-note": 1})"),
            "");
  EXPECT_EQ(Sentence(R"({"type": ["string", "null"], "maxLength": 5})"), "");
  EXPECT_EQ(Sentence(R"({"anyOf": [{"type": "integer"}, {"const": "x", "type": "string"}]})"), "");
  EXPECT_EQ(Sentence(R"({"propertyNames": {"pattern": "^a"}, "type": "object"})"), "");
  EXPECT_EQ(Sentence("{}"), "");
}

TEST(CheckSchemaTest, WhatWouldBeLeftOutIsNamed) {
  EXPECT_EQ(Sentence(R"({"type": "object", "properties": {"a": {"not": {}}}})"),
            "schema.properties.a: \"not\" is not supported without a \"type\"");
  EXPECT_EQ(Sentence(R"({"type": "array", "uniqueItems": true})"),
            "schema: \"uniqueItems\" is not supported for the type array");
  EXPECT_EQ(Sentence(R"({"anyOf": [{}], "properties": {}})"),
            "schema: \"properties\" is not supported beside \"anyOf\"");
  EXPECT_EQ(Sentence(R"({"$ref": "#", "type": "object"})"),
            "schema: \"type\" is not supported beside \"$ref\"");
  EXPECT_EQ(Sentence(R"({"minLength": 3})"),
            "schema: \"minLength\" is not supported without a \"type\"");
  EXPECT_EQ(Sentence(R"({"type": "string", "format": "color"})"),
            "schema: \"format \"color\"\" is not supported");
  EXPECT_EQ(Sentence(R"({"type": "number", "multipleOf": 0.1})"),
            "schema: \"multipleOf\" is not supported for the type number");
  EXPECT_EQ(Sentence(R"({"type": "text"})"),
            "schema has the type \"text\", which is none of JSON's");
  EXPECT_EQ(Sentence(R"({"type": "integer", "enum": [1, "x"]})"),
            "schema allows \"x\", which its type does not");
}

TEST(CheckSchemaTest, BadAndHugeSchemasAreRefused) {
  EXPECT_EQ(Sentence(R"({"items": 1})"), "schema.items is no schema (an object is one)");
  EXPECT_EQ(Sentence(R"({"type": "array", "maxItems": 1000000})"),
            "schema has maxItems 1000000 (0 to 10000 is supported)");
  EXPECT_EQ(Sentence(R"({"type": "array", "minItems": -1})"),
            "schema has minItems -1 (0 to 10000 is supported)");
  EXPECT_EQ(Sentence(R"({"type": "string", "pattern": ")" + std::string(2000, 'a') + "\"}"),
            "schema has a pattern that is not a text of at most 1000 bytes");
  std::string deep = "{}";
  for (int i = 0; i < 40; ++i) deep = R"({"type": "array", "items": )" + deep + "}";
  EXPECT_NE(Sentence(deep).find("is nested deeper than the 32 levels allowed"), std::string::npos);
}

}  // namespace
}  // namespace gemma
