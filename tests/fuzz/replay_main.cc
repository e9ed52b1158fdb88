// Runs a fuzz target's function over every file of the folders and files named, each also cut
// off at every length up to 512 bytes: what a fuzzer found once is tried on every build.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

namespace {

size_t Replay(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> content((std::istreambuf_iterator<char>(file)),
                                  std::istreambuf_iterator<char>());
  const auto* bytes = reinterpret_cast<const uint8_t*>(content.data());
  LLVMFuzzerTestOneInput(bytes, content.size());
  for (size_t cut = 0; cut < content.size() && cut < 512; ++cut) {
    // A copy of exactly this size, so that a sanitizer sees a read past its end.
    const std::vector<uint8_t> part(bytes, bytes + cut);
    LLVMFuzzerTestOneInput(part.data(), part.size());
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  size_t files = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("-")) continue;  // libFuzzer's flags
    if (!std::filesystem::is_directory(argument)) {
      files += Replay(argument);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argument)) {
      if (entry.is_regular_file()) files += Replay(entry.path());
    }
  }
  std::printf("%zu corpus files replayed\n", files);
  return files > 0 ? 0 : 1;  // an empty corpus tests nothing
}
