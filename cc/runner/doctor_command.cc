// doctor: what this machine offers, and whether every file of an artifact is what its manifest
// says.

#include <sys/sysinfo.h>

#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "cc/base/status_macros.h"
#include "cc/engine/artifact_files.h"
#include "cc/engine/describe_cpu.h"
#include "cc/engine/describe_gpu.h"
#include "cc/engine/engine_impl.h"
#include "cc/engine/manifest.h"
#include "cc/runner/command.h"
#include "cc/runner/model_flags.h"

namespace gemma {
namespace {

struct Flags {
  std::string model;
};

void PrintMachine() {
  struct sysinfo memory = {};
  sysinfo(&memory);
  std::printf("kernels   %s\n", CpuKernels().c_str());
  std::printf("CPUs      %u\n", std::thread::hardware_concurrency());
  std::printf("memory    %.1f GB, %.1f GB of it free\n", memory.totalram * memory.mem_unit / 1e9,
              memory.freeram * memory.mem_unit / 1e9);
  std::printf("GPU       %s\n", DescribeGpu().c_str());
}

absl::Status CheckFile(const std::string& folder, const ManifestFile& file) {
  GEMMA_RETURN_IF_ERROR(VerifyFile(folder, file));
  std::printf("%-14s %12llu bytes, sha256 as the manifest says\n", file.name.c_str(),
              static_cast<unsigned long long>(file.bytes));
  return absl::OkStatus();
}

absl::Status Diagnose(const Flags& flags) {
  PrintMachine();
  if (flags.model.empty()) return absl::OkStatus();
  const std::string folder = UserPath(flags.model);
  GEMMA_ASSIGN_OR_RETURN(const ArtifactDescription artifact,
                         DescribeArtifact(folder, /*random_weights=*/false));
  for (const ManifestFile& file : artifact.manifest.files)
    GEMMA_RETURN_IF_ERROR(CheckFile(folder, file));
  return absl::OkStatus();
}

}  // namespace

Command DoctorCommand(CLI::App& root) {
  auto flags = std::make_shared<Flags>();
  CLI::App* parser = root.add_subcommand(
      "doctor", "What this machine offers; with --model, checks every file of it.");
  parser->add_option("--model", flags->model, "An artifact folder to check.");
  return {parser, [flags] { return Diagnose(*flags); }};
}

}  // namespace gemma
