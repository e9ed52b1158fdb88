// Includes go one way: each file's includes against layers.txt and owners.txt, and each *_test.cc and
// *_fuzz.cc against the build files (a test that the build does not run does not exist).

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = FLEETUNE_SOURCE_DIR;
const std::vector<std::string> kTopFolders = {"base",        "proto",  "inference", "lora",     "aggregation",
                                              "coordinator", "client", "tools",     "examples", "tests"};

std::string ReadText(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// "key: a b" or "key a b" lines; '#' begins a comment.
std::map<std::string, std::vector<std::string>> ReadTable(const std::string& name) {
  std::map<std::string, std::vector<std::string>> table;
  std::istringstream lines(ReadText(kRoot / "tests/layers" / name));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string key;
    if (!(words >> key)) continue;
    if (key.ends_with(':')) key.pop_back();
    table[key] = {std::istream_iterator<std::string>(words), {}};
  }
  return table;
}

bool Lies(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder + "/");
}

std::vector<fs::path> SourceFiles() {
  std::vector<fs::path> files;
  for (const std::string& top : kTopFolders) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / top)) {
      const std::string extension = entry.path().extension();
      if (extension == ".h" || extension == ".cc") files.push_back(entry.path());
    }
  }
  return files;
}

struct Include {
  std::string file;
  std::string target;
};

std::vector<Include> IncludesOf(const fs::path& path) {
  std::vector<Include> includes;
  std::istringstream lines(ReadText(path));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#include ")) continue;
    const size_t open = line.find_first_of("\"<");
    const size_t close = line.find_first_of("\">", open + 1);
    if (close == std::string::npos) continue;
    includes.push_back({fs::relative(path, kRoot).string(), line.substr(open + 1, close - open - 1)});
  }
  return includes;
}

bool IsOurs(const std::string& target) {
  return std::any_of(kTopFolders.begin(), kTopFolders.end(),
                     [&](const std::string& top) { return Lies(target, top); });
}

bool MayInclude(const std::map<std::string, std::vector<std::string>>& rules, const std::string& folder,
                const Include& include) {
  const std::string& target = include.target;
  if (Lies(target, folder)) return !(folder == "base" && Lies(target, "base/crypto"));
  if (Lies(target, "base") && !Lies(target, "base/crypto")) return true;
  if (Lies(target, "tests/support") && include.file.ends_with("_test.cc")) return true;
  const std::vector<std::string>& allowed = rules.at(folder);
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& a) { return Lies(target, a); });
}

TEST(LayersTest, EveryIncludeGoesDownward) {
  const auto rules = ReadTable("layers.txt");
  size_t checked = 0;
  for (const fs::path& path : SourceFiles()) {
    for (const Include& include : IncludesOf(path)) {
      if (!IsOurs(include.target)) continue;
      std::string folder;
      for (const auto& [name, allowed] : rules) {
        if (Lies(include.file, name) && name.size() > folder.size()) folder = name;
      }
      ASSERT_FALSE(folder.empty()) << include.file << " lies in a folder without a rule";
      EXPECT_TRUE(MayInclude(rules, folder, include))
          << include.file << " includes " << include.target << ", which " << folder << " may not";
      ++checked;
    }
  }
  EXPECT_GT(checked, 100u);
}

TEST(LayersTest, EveryOutsideHeaderHasItsOwner) {
  const auto owners = ReadTable("owners.txt");
  for (const fs::path& path : SourceFiles()) {
    for (const Include& include : IncludesOf(path)) {
      for (const auto& [header, folders] : owners) {
        if (!include.target.starts_with(header)) continue;
        const bool owned = std::any_of(folders.begin(), folders.end(),
                                       [&](const std::string& f) { return Lies(include.file, f); });
        EXPECT_TRUE(owned) << include.file << " includes " << include.target << ", whose owner is another folder";
      }
    }
  }
}

// All that a file includes of ours, and what that includes, and so on: its headers, and the .cc beside each.
std::set<std::string> Reach(const std::string& file) {
  std::set<std::string> reached;
  std::vector<std::string> left = {file};
  while (!left.empty()) {
    const std::string next = left.back();
    left.pop_back();
    if (!fs::exists(kRoot / next) || !reached.insert(next).second) continue;
    for (const Include& include : IncludesOf(kRoot / next)) {
      if (!IsOurs(include.target)) continue;
      left.push_back(include.target);
      left.push_back(fs::path(include.target).replace_extension(".cc").string());
    }
  }
  return reached;
}

// Whatever makes, keeps or sends what leaves a device does not know that there is a personal adapter.
TEST(LayersTest, NothingThatSendsReachesThePersonalAdapter) {
  std::vector<std::string> sources = {"client/app/daemon.cc", "client/app/enroll.cc", "client/app/identity.cc"};
  for (const char* folder : {"client/core", "client/transport", "client/update", "client/trainer", "client/data"}) {
    for (const auto& entry : fs::directory_iterator(kRoot / folder)) {
      if (entry.path().extension() == ".cc") sources.push_back(fs::relative(entry.path(), kRoot).string());
    }
  }
  const auto personal = [](const std::set<std::string>& reached) {
    return std::count_if(reached.begin(), reached.end(), [](const auto& file) { return Lies(file, "client/personal"); });
  };
  for (const std::string& source : sources) EXPECT_EQ(personal(Reach(source)), 0) << source;
  EXPECT_TRUE(Reach("client/app/daemon.cc").contains("client/app/training_run.cc"));  // the search has teeth
  EXPECT_GT(personal(Reach("client/app/generate_verb.cc")), 0);
}

// And what answers with it answers programs of this machine, and calls nobody: no file of it knows the coordinator, and the
// only one that knows HTTP makes no requests.
TEST(LayersTest, NothingThatReachesThePersonalAdapterSends) {
  size_t checked = 0;
  for (const auto& entry : fs::directory_iterator(kRoot / "client/app")) {
    const std::string source = fs::relative(entry.path(), kRoot).string();
    if (entry.path().extension() != ".cc" || source.ends_with("_test.cc")) continue;
    const std::set<std::string> reached = Reach(source);
    const bool answers = std::any_of(reached.begin(), reached.end(), [](const auto& f) { return Lies(f, "client/personal"); });
    // It is where both halves are put together.
    if (!answers || source == "client/app/main.cc") continue;
    ++checked;
    for (const std::string& file : reached) {
      const std::string stem = fs::path(file).replace_extension("").string();
      for (const char* sender : {"client/transport", "client/app/step_performer", "client/app/cell_performer",
                                 "client/app/payload_files", "client/app/training_run", "client/app/daemon"}) {
        EXPECT_FALSE(Lies(stem, sender)) << source << " reaches " << file;
      }
      EXPECT_EQ(ReadText(kRoot / file).find("httplib::Client"), std::string::npos) << source << " reaches " << file;
    }
  }
  EXPECT_GE(checked, 4u);
  EXPECT_TRUE(Reach("client/app/device_api.cc").contains("client/personal/personal_shelf.cc"));
  EXPECT_TRUE(Reach("client/app/device_api.cc").contains("inference/server/http_server.cc"));
}

TEST(LayersTest, EveryTestIsBuilt) {
  std::set<std::string> missing;
  for (const fs::path& path : SourceFiles()) {
    const std::string name = path.filename();
    if (!name.ends_with("_test.cc") && !name.ends_with("_fuzz.cc")) continue;
    bool named = false;
    for (fs::path folder = path.parent_path(); !named && folder != kRoot; folder = folder.parent_path()) {
      named = ReadText(folder / "CMakeLists.txt").find(name) != std::string::npos;
    }
    if (!named) missing.insert(fs::relative(path, kRoot));
  }
  EXPECT_THAT(missing, testing::IsEmpty()) << "not named in a CMakeLists.txt";
}

TEST(LayersTest, RulesRefuseWhatTheyShould) {
  const auto rules = ReadTable("layers.txt");
  EXPECT_FALSE(MayInclude(rules, "client/core", {"client/core/a.cc", "coordinator/core/fleet.h"}));
  EXPECT_FALSE(MayInclude(rules, "lora/adapter", {"lora/adapter/a.cc", "base/crypto/sha256.h"}));
  EXPECT_FALSE(MayInclude(rules, "base", {"base/a.cc", "base/crypto/sha256.h"}));
  EXPECT_FALSE(MayInclude(rules, "lora/update", {"lora/update/a.cc", "tests/support/a.h"}));
  EXPECT_TRUE(MayInclude(rules, "lora/update", {"lora/update/a_test.cc", "tests/support/a.h"}));
}

}  // namespace
}  // namespace fleetune
