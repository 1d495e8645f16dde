#include "cc/engine/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>

#include "nlohmann/json.hpp"

namespace gemma {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json GoodManifest() {
  return {{"format_version", 1},
          {"model", {{"name", "tiny"}, {"config", {{"layers", 3}}}}},
          {"recipe", "none"},
          {"max_seq_len", 64},
          {"max_prefill_chunk", 16},
          {"methods", {"decode", "prefill"}},
          {"files",
           {{{"name", "model.pte"}, {"bytes", 5}, {"sha256", std::string(64, 'a')}},
            {{"name", "tokenizer.bin"}, {"bytes", 7}, {"sha256", std::string(64, '0')}}}},
          {"tokenizer",
           {{"file", "tokenizer.bin"},
            {"bos_id", 2},
            {"add_bos", true},
            {"stop_ids", {1, 106}},
            {"chat_template", "gemma4"}}},
          {"sampling", {{"temperature", 1.0}, {"top_k", 64}, {"top_p", 0.95}}},
          {"versions", {{"torch", "2.13.0"}}}};
}

std::string Message(const std::string& text) {
  const auto manifest = ParseManifest(text, "manifest.json");
  return manifest.ok() ? "accepted" : std::string(manifest.status().message());
}

std::string MessageAfter(const std::function<void(json&)>& spoil) {
  json manifest = GoodManifest();
  spoil(manifest);
  return Message(manifest.dump());
}

TEST(ManifestTest, ReadsEveryField) {
  const auto manifest = ParseManifest(GoodManifest().dump(), "manifest.json");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->model_name, "tiny");
  EXPECT_EQ(manifest->config, "{\"layers\":3}");
  EXPECT_EQ(manifest->max_seq_len, 64);
  EXPECT_EQ(manifest->max_prefill_chunk, 16);
  EXPECT_THAT(manifest->methods, ::testing::ElementsAre("decode", "prefill"));
  EXPECT_EQ(manifest->FindFile("tokenizer.bin")->bytes, 7u);
  EXPECT_EQ(manifest->FindFile("absent"), nullptr);
  EXPECT_THAT(manifest->tokenizer->stop_ids, ::testing::ElementsAre(1, 106));
  EXPECT_EQ(*manifest->tokenizer->chat_template, "gemma4");
  EXPECT_EQ(manifest->sampling.top_k, 64);
  EXPECT_EQ(manifest->versions.at("torch"), "2.13.0");
}

TEST(ManifestTest, NullsAreAbsent) {
  EXPECT_EQ(MessageAfter([](json& m) { m["tokenizer"] = nullptr; }), "accepted");
  EXPECT_EQ(MessageAfter([](json& m) { m["tokenizer"]["chat_template"] = nullptr; }), "accepted");
}

TEST(ManifestTest, SuppressedIdsMayBeAbsent) {
  json manifest = GoodManifest();
  EXPECT_TRUE(ParseManifest(manifest.dump(), "")->suppressed_ids.empty());
  manifest["suppressed_ids"] = {5, 258881};
  EXPECT_THAT(ParseManifest(manifest.dump(), "")->suppressed_ids,
              ::testing::ElementsAre(5, 258881));
}

json WithSections() {
  json manifest = GoodManifest();
  manifest["files"][0]["bytes"] = (2 << 20) + 1;
  manifest["files"][0]["sections"] = {{"bytes", 1 << 20},
                                      {"sha256", json(3, std::string(64, 'b'))}};
  return manifest;
}

std::string MessageOfSections(const std::function<void(json&)>& spoil) {
  json manifest = WithSections();
  spoil(manifest["files"][0]);
  return Message(manifest.dump());
}

TEST(ManifestTest, SectionsAreReadAndMayBeAbsent) {
  const auto manifest = ParseManifest(WithSections().dump(), "manifest.json");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_TRUE(manifest->files[0].sections.has_value());
  EXPECT_EQ(manifest->files[0].sections->bytes, 1u << 20);
  EXPECT_EQ(manifest->files[0].sections->sha256, std::vector(3, std::string(64, 'b')));
  EXPECT_FALSE(manifest->files[1].sections.has_value());
  // An empty file has none.
  EXPECT_EQ(MessageOfSections([](json& file) {
              file["bytes"] = 0;
              file["sections"]["sha256"] = json::array();
            }),
            "accepted");
}

TEST(ManifestTest, WrongSectionsAreRefused) {
  EXPECT_THAT(MessageOfSections([](json& file) { file["bytes"] = 2 << 20; }),
              HasSubstr("has 3 digests, but 2097152 bytes are 2 sections"));
  EXPECT_THAT(MessageOfSections([](json& file) { file["sections"]["bytes"] = 2 << 20; }),
              HasSubstr("has 3 digests, but 2097153 bytes are 2 sections"));
  EXPECT_THAT(MessageOfSections([](json& file) { file["sections"]["sha256"] = json::array(); }),
              HasSubstr("sha256 of 'sections' of model.pte has 0 digests"));
  for (const json& bytes : {json(1 << 19), json(int64_t{1} << 31), json(0), json(-1), json("1"),
                            json(nullptr), json(1048576.0)}) {
    EXPECT_THAT(MessageOfSections([&](json& file) { file["sections"]["bytes"] = bytes; }),
                HasSubstr("not an integer from 1048576 to 1073741824"))
        << bytes;
  }
  EXPECT_THAT(MessageOfSections([](json& file) { file["sections"]["bytes"] = 3 << 20; }),
              HasSubstr("is 3145728, not a power of two"));
  for (const json& digest : {json(7), json(std::string(64, 'B')), json(std::string(63, 'b'))}) {
    EXPECT_THAT(MessageOfSections([&](json& file) { file["sections"]["sha256"][1] = digest; }),
                HasSubstr("has an entry that is not 64 lower-case hexadecimal digits"))
        << digest;
  }
  EXPECT_THAT(MessageOfSections([](json& file) { file["sections"] = nullptr; }),
              HasSubstr("is null, not an object"));
  EXPECT_THAT(MessageOfSections([](json& file) { file["sections"]["surprise"] = 1; }),
              HasSubstr("\"surprise\" of 'sections' of model.pte is unknown"));
  for (const std::string key : {"bytes", "sha256"}) {
    EXPECT_THAT(MessageOfSections([&](json& file) { file["sections"].erase(key); }),
                HasSubstr(key + " of 'sections' of model.pte is missing"));
  }
}

// Every key of every object is needed, and no other is known.
TEST(ManifestTest, KeysAreExact) {
  const json good = GoodManifest();
  for (const std::string object : {"", "/model", "/files/0", "/tokenizer", "/sampling"}) {
    const json::json_pointer place(object);
    for (const auto& [key, value] : good[place].items()) {
      json manifest = good;
      manifest[place].erase(key);
      EXPECT_THAT(Message(manifest.dump()), HasSubstr(key + " of ")) << object;
      EXPECT_THAT(Message(manifest.dump()), HasSubstr("is missing")) << object;
    }
    json manifest = good;
    manifest[place]["surprise"] = 1;
    EXPECT_THAT(Message(manifest.dump()), HasSubstr("\"surprise\" of ")) << object;
  }
}

TEST(ManifestTest, ValuesAreChecked) {
  EXPECT_THAT(MessageAfter([](json& m) { m["format_version"] = 2; }),
              HasSubstr("format_version of the manifest is 2, not an integer from 1 to 1"));
  EXPECT_THAT(MessageAfter([](json& m) { m["format_version"] = 1.0; }), HasSubstr("is 1.0"));
  EXPECT_THAT(MessageAfter([](json& m) { m["max_seq_len"] = 0; }), HasSubstr("max_seq_len"));
  EXPECT_THAT(MessageAfter([](json& m) { m["max_seq_len"] = 1ull << 63; }),
              HasSubstr("max_seq_len"));
  EXPECT_THAT(MessageAfter([](json& m) { m["max_prefill_chunk"] = 65; }),
              HasSubstr("is 65, not an integer from 1 to 64"));
  EXPECT_THAT(MessageAfter([](json& m) { m["methods"] = {"decode", "decode"}; }),
              HasSubstr("methods"));
  EXPECT_THAT(MessageAfter([](json& m) { m["methods"] = json::array(); }), HasSubstr("is empty"));
  EXPECT_THAT(MessageAfter([](json& m) { m["methods"] = {"train"}; }), HasSubstr("methods"));
  EXPECT_THAT(MessageAfter([](json& m) { m["model"] = 5; }), HasSubstr("is 5, not an object"));
  EXPECT_THAT(MessageAfter([](json& m) { m["recipe"] = nullptr; }), HasSubstr("not a string"));
  EXPECT_THAT(MessageAfter([](json& m) { m["sampling"]["top_p"] = 1.5; }), HasSubstr("is 1.5"));
  EXPECT_THAT(MessageAfter([](json& m) { m["tokenizer"]["stop_ids"] = {-1}; }),
              HasSubstr("stop_ids of 'tokenizer' has an entry that is not a token id"));
  EXPECT_THAT(MessageAfter([](json& m) { m["suppressed_ids"] = {1 << 24}; }),
              HasSubstr("suppressed_ids of the manifest has an entry that is not a token id"));
  EXPECT_THAT(MessageAfter([](json& m) { m["suppressed_ids"] = {7, 5}; }),
              HasSubstr("suppressed_ids of the manifest does not ascend"));
  EXPECT_THAT(MessageAfter([](json& m) { m["suppressed_ids"] = {5, 5}; }),
              HasSubstr("suppressed_ids of the manifest does not ascend"));
  EXPECT_THAT(MessageAfter([](json& m) { m["tokenizer"]["chat_template"] = "chatml"; }),
              HasSubstr("is not gemma3, gemma4, gemma4_april or null"));
  EXPECT_EQ(MessageAfter([](json& m) { m["tokenizer"]["chat_template"] = "gemma4_april"; }),
            "accepted");
  EXPECT_EQ(MessageAfter([](json& m) { m["tokenizer"]["chat_template_file"] = "model.pte"; }),
            "accepted");
  EXPECT_THAT(MessageAfter([](json& m) { m["tokenizer"]["chat_template_file"] = "x.jinja"; }),
              HasSubstr("the tokenizer's chat_template_file is not in 'files'"));
  EXPECT_THAT(MessageAfter([](json& m) { m["tokenizer"]["file"] = "other.bin"; }),
              HasSubstr("the tokenizer's file is not in 'files'"));
}

TEST(ManifestTest, FilesStayInTheFolder) {
  for (const std::string name : {"", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b",
                                 "manifest.json", "a\nb", "a b", "\x1b[2J"}) {
    EXPECT_THAT(MessageAfter([&](json& m) { m["files"][0]["name"] = name; }),
                HasSubstr("not the plain name of a file"))
        << name;
  }
  EXPECT_THAT(MessageAfter([](json& m) { m["files"][1]["name"] = "model.pte"; }),
              HasSubstr("'files' names model.pte twice"));
  EXPECT_THAT(MessageAfter([](json& m) { m["files"].erase(0); }),
              HasSubstr("'files' does not have model.pte"));
  EXPECT_THAT(MessageAfter([](json& m) { m["files"][0]["sha256"] = std::string(64, 'A'); }),
              HasSubstr("64 lower-case hexadecimal digits"));
  EXPECT_THAT(MessageAfter([](json& m) { m["files"][0]["bytes"] = -1; }), HasSubstr("bytes"));
}

TEST(ManifestTest, TextThatIsNotOneJsonDocumentIsRefused) {
  const std::string good = GoodManifest().dump();
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_NE(Message(good.substr(0, size)), "accepted") << size;
  }
  EXPECT_NE(Message(good + "{}"), "accepted");
  EXPECT_NE(Message("\xff" + good), "accepted");
  EXPECT_THAT(Message("{\"recipe\": 1, \"recipe\": 2}"), HasSubstr("has the key \"recipe\" twice"));
  EXPECT_THAT(Message(std::string(100000, '[')), HasSubstr("nested deeper than 64 levels"));
}

TEST(ManifestTest, WhatIsNoArtifactIsSaidWithWhatMakesOne) {
  const std::string folder = ::testing::TempDir();
  const auto message = [](const std::string& path) {
    return std::string(ReadManifest(path).status().message());
  };
  EXPECT_THAT(message(folder), HasSubstr("is not an artifact folder (it has no manifest.json; "));
  EXPECT_THAT(message(folder), HasSubstr("export makes one of a checkpoint"));
  EXPECT_EQ(message(folder + "/no"), folder + "/no: there is no such folder");
  const std::string file = folder + "/model.gguf";
  std::ofstream(file) << "GGUF";
  EXPECT_THAT(message(file), HasSubstr("is not an artifact folder (a file has no manifest.json; "));
}

}  // namespace
}  // namespace gemma
