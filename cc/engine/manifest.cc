#include "cc/engine/manifest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cc/base/file.h"
#include "cc/base/status_macros.h"
#include "cc/engine/strict_json.h"

namespace gemma {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxBytes = 4 << 20;
constexpr int64_t kMaxPositions = 1 << 24;
constexpr int64_t kMaxId = (1 << 24) - 1;
constexpr int64_t kMaxFileBytes = int64_t{1} << 50;
constexpr size_t kMaxFiles = 1000;
constexpr int64_t kMinSectionBytes = 1 << 20;
constexpr int64_t kMaxSectionBytes = 1 << 30;
constexpr absl::string_view kFileName = "manifest.json";

bool IsOneOf(const std::string& text, std::initializer_list<absl::string_view> choices) {
  return std::any_of(choices.begin(), choices.end(),
                     [&](absl::string_view choice) { return choice == text; });
}

// A name of a file in the folder itself: no way out of it,
// and nothing that a terminal would act on.
bool IsPlainName(const std::string& name) {
  if (name.empty() || name.size() > 255 || name == "." || name == ".." || name == kFileName)
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '/' && c != '\\';
  });
}

bool IsDigest(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c)) || (c >= 'a' && c <= 'f');
         });
}

absl::StatusOr<ManifestSections> ReadSections(const json& value, const ManifestFile& file,
                                              const std::string& where) {
  StrictObject object(value, where, absl::StrCat("'sections' of ", file.name));
  ManifestSections sections;
  GEMMA_ASSIGN_OR_RETURN(const int64_t bytes,
                         object.Integer("bytes", kMinSectionBytes, kMaxSectionBytes));
  sections.bytes = static_cast<uint64_t>(bytes);
  if (!std::has_single_bit(sections.bytes))
    return object.Refuse("bytes", absl::StrCat("is ", bytes, ", not a power of two"));
  GEMMA_ASSIGN_OR_RETURN(const json* digests, object.Array("sha256"));
  const uint64_t count = file.bytes / sections.bytes + (file.bytes % sections.bytes != 0);
  if (digests->size() != count) {
    return object.Refuse("sha256", absl::StrCat("has ", digests->size(), " digests, but ",
                                                file.bytes, " bytes are ", count, " sections"));
  }
  for (const json& digest : *digests) {
    if (!digest.is_string() || !IsDigest(digest.get<std::string>()))
      return object.Refuse("sha256", "has an entry that is not 64 lower-case hexadecimal digits");
    sections.sha256.push_back(digest.get<std::string>());
  }
  GEMMA_RETURN_IF_ERROR(object.Finish());
  return sections;
}

absl::StatusOr<ManifestFile> ReadFileEntry(const json& value, const std::string& where) {
  StrictObject object(value, where, "an entry of 'files'");
  ManifestFile file;
  GEMMA_ASSIGN_OR_RETURN(file.name, object.Text("name"));
  if (!IsPlainName(file.name)) {
    return object.Refuse(
        "name",
        absl::StrCat(
            "is ",
            json(file.name).dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 60),
            ", not the plain name of a file"));
  }
  GEMMA_ASSIGN_OR_RETURN(const int64_t bytes, object.Integer("bytes", 0, kMaxFileBytes));
  file.bytes = static_cast<uint64_t>(bytes);
  GEMMA_ASSIGN_OR_RETURN(file.sha256, object.Text("sha256"));
  if (!IsDigest(file.sha256))
    return object.Refuse("sha256", "is not 64 lower-case hexadecimal digits");
  if (object.Has("sections")) {
    GEMMA_ASSIGN_OR_RETURN(const json* sections, object.Object("sections"));
    GEMMA_ASSIGN_OR_RETURN(file.sections, ReadSections(*sections, file, where));
  }
  GEMMA_RETURN_IF_ERROR(object.Finish());
  return file;
}

absl::StatusOr<std::vector<ManifestFile>> ReadFiles(const json& values, const std::string& where) {
  if (values.size() > kMaxFiles) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": 'files' has ", values.size(), " entries, more than ", kMaxFiles));
  }
  std::vector<ManifestFile> files;
  std::set<std::string> names;
  for (const json& value : values) {
    GEMMA_ASSIGN_OR_RETURN(ManifestFile file, ReadFileEntry(value, where));
    if (!names.insert(file.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": 'files' names ", file.name, " twice"));
    }
    files.push_back(std::move(file));
  }
  return files;
}

absl::StatusOr<std::vector<int32_t>> ReadIds(StrictObject& object, const std::string& key) {
  GEMMA_ASSIGN_OR_RETURN(const json* values, object.Array(key));
  std::vector<int32_t> ids;
  for (const json& value : *values) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(kMaxId)) {
      return object.Refuse(key, "has an entry that is not a token id");
    }
    ids.push_back(value.get<int32_t>());
  }
  return ids;
}

// Absent where the checkpoint suppresses nothing.
absl::StatusOr<std::vector<int32_t>> ReadSuppressedIds(StrictObject& object) {
  const std::string key = "suppressed_ids";
  if (!object.Has(key)) return std::vector<int32_t>();
  GEMMA_ASSIGN_OR_RETURN(std::vector<int32_t> ids, ReadIds(object, key));
  if (std::adjacent_find(ids.begin(), ids.end(), std::greater_equal<>()) != ids.end())
    return object.Refuse(key, "does not ascend from one id to the next");
  return ids;
}

absl::StatusOr<ManifestTokenizer> ReadTokenizer(const json& value, const std::string& where) {
  StrictObject object(value, where, "'tokenizer'");
  ManifestTokenizer tokenizer;
  GEMMA_ASSIGN_OR_RETURN(tokenizer.file, object.Text("file"));
  GEMMA_ASSIGN_OR_RETURN(const int64_t bos_id, object.Integer("bos_id", 0, kMaxId));
  tokenizer.bos_id = static_cast<int32_t>(bos_id);
  GEMMA_ASSIGN_OR_RETURN(tokenizer.add_bos, object.Boolean("add_bos"));
  GEMMA_ASSIGN_OR_RETURN(tokenizer.stop_ids, ReadIds(object, "stop_ids"));
  GEMMA_ASSIGN_OR_RETURN(const json* chat_template, object.Get("chat_template"));
  if (!chat_template->is_null()) {
    GEMMA_ASSIGN_OR_RETURN(tokenizer.chat_template, object.Text("chat_template"));
    if (!IsOneOf(*tokenizer.chat_template, {"gemma3", "gemma4", "gemma4_april"})) {
      return object.Refuse("chat_template", "is not gemma3, gemma4, gemma4_april or null");
    }
  }
  if (object.Has("chat_template_file")) {
    GEMMA_ASSIGN_OR_RETURN(tokenizer.chat_template_file, object.Text("chat_template_file"));
  }
  GEMMA_RETURN_IF_ERROR(object.Finish());
  return tokenizer;
}

absl::StatusOr<SamplingParams> ReadSampling(const json& value, const std::string& where) {
  StrictObject object(value, where, "'sampling'");
  SamplingParams sampling;
  GEMMA_ASSIGN_OR_RETURN(const double temperature, object.Number("temperature", 0, 1e6));
  GEMMA_ASSIGN_OR_RETURN(sampling.top_k, object.Integer("top_k", 0, kMaxId));
  GEMMA_ASSIGN_OR_RETURN(const double top_p, object.Number("top_p", 0, 1));
  sampling.temperature = static_cast<float>(temperature);
  sampling.top_p = static_cast<float>(top_p);
  GEMMA_RETURN_IF_ERROR(object.Finish());
  return sampling;
}

absl::StatusOr<std::vector<std::string>> ReadMethods(const json& values, StrictObject& object) {
  std::vector<std::string> methods;
  for (const json& value : values) {
    const std::string name = value.is_string() ? value.get<std::string>() : "";
    const bool again = std::find(methods.begin(), methods.end(), name) != methods.end();
    if (again || !IsOneOf(name, {"decode", "prefill", "score"})) {
      return object.Refuse("methods",
                           "is not a list of different names among decode, prefill and score");
    }
    methods.push_back(name);
  }
  if (methods.empty()) return object.Refuse("methods", "is empty");
  return methods;
}

absl::StatusOr<std::map<std::string, std::string>> ReadVersions(const json& values,
                                                                StrictObject& object) {
  std::map<std::string, std::string> versions;
  for (const auto& [name, value] : values.items()) {
    if (!value.is_string()) return object.Refuse("versions", "has a value that is not a string");
    versions[name] = value.get<std::string>();
  }
  return versions;
}

absl::Status ReadModel(const json& value, const std::string& where, Manifest& manifest) {
  StrictObject object(value, where, "'model'");
  GEMMA_ASSIGN_OR_RETURN(manifest.model_name, object.Text("name"));
  GEMMA_ASSIGN_OR_RETURN(const json* config, object.Object("config"));
  manifest.config = config->dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  return object.Finish();
}

// What the entries say about one another.
absl::Status CheckReferences(const Manifest& manifest, const std::string& where) {
  if (manifest.FindFile("model.pte") == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": 'files' does not have model.pte"));
  }
  if (manifest.tokenizer.has_value() && manifest.FindFile(manifest.tokenizer->file) == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": the tokenizer's file is not in 'files'"));
  }
  if (manifest.tokenizer.has_value() && manifest.tokenizer->chat_template_file.has_value() &&
      manifest.FindFile(*manifest.tokenizer->chat_template_file) == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": the tokenizer's chat_template_file is not in 'files'"));
  }
  return absl::OkStatus();
}

// What the path is instead, and what makes an artifact: many have a GGUF or a Hugging Face folder.
std::string NoArtifact(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status)) return absl::StrCat(path, ": there is no such folder");
  return absl::StrCat(path, ": is not an artifact folder (",
                      std::filesystem::is_directory(status) ? "it has no " : "a file has no ",
                      kFileName, "; gemma-export or //python/export makes one of a checkpoint)");
}

}  // namespace

const ManifestFile* Manifest::FindFile(absl::string_view name) const {
  const auto found = std::find_if(files.begin(), files.end(),
                                  [&](const ManifestFile& file) { return file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

absl::StatusOr<Manifest> ParseManifest(const std::string& text, const std::string& where) {
  GEMMA_ASSIGN_OR_RETURN(const json document, ParseStrictJson(text, where));
  StrictObject object(document, where, "the manifest");
  Manifest manifest;
  GEMMA_RETURN_IF_ERROR(object.Integer("format_version", 1, 1).status());
  GEMMA_ASSIGN_OR_RETURN(const json* model, object.Object("model"));
  GEMMA_RETURN_IF_ERROR(ReadModel(*model, where, manifest));
  GEMMA_ASSIGN_OR_RETURN(manifest.recipe, object.Text("recipe"));
  GEMMA_ASSIGN_OR_RETURN(manifest.max_seq_len, object.Integer("max_seq_len", 1, kMaxPositions));
  GEMMA_ASSIGN_OR_RETURN(manifest.max_prefill_chunk,
                         object.Integer("max_prefill_chunk", 1, manifest.max_seq_len));
  GEMMA_ASSIGN_OR_RETURN(const json* methods, object.Array("methods"));
  GEMMA_ASSIGN_OR_RETURN(manifest.methods, ReadMethods(*methods, object));
  GEMMA_ASSIGN_OR_RETURN(const json* files, object.Array("files"));
  GEMMA_ASSIGN_OR_RETURN(manifest.files, ReadFiles(*files, where));
  GEMMA_ASSIGN_OR_RETURN(const json* tokenizer, object.Get("tokenizer"));
  if (!tokenizer->is_null()) {
    GEMMA_ASSIGN_OR_RETURN(manifest.tokenizer, ReadTokenizer(*tokenizer, where));
  }
  GEMMA_ASSIGN_OR_RETURN(const json* sampling, object.Object("sampling"));
  GEMMA_ASSIGN_OR_RETURN(manifest.sampling, ReadSampling(*sampling, where));
  GEMMA_ASSIGN_OR_RETURN(manifest.suppressed_ids, ReadSuppressedIds(object));
  GEMMA_ASSIGN_OR_RETURN(const json* versions, object.Object("versions"));
  GEMMA_ASSIGN_OR_RETURN(manifest.versions, ReadVersions(*versions, object));
  GEMMA_RETURN_IF_ERROR(object.Finish());
  GEMMA_RETURN_IF_ERROR(CheckReferences(manifest, where));
  return manifest;
}

absl::StatusOr<Manifest> ReadManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kFileName);
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxBytes);
  if (absl::IsNotFound(text.status())) return absl::NotFoundError(NoArtifact(folder));
  GEMMA_RETURN_IF_ERROR(text.status());
  return ParseManifest(*text, path);
}

}  // namespace gemma
