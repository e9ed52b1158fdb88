#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "examples/household/base_text.h"
#include "examples/household/home.h"
#include "examples/household/household_files.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune::household {
namespace {

using absl::StatusCode;

std::set<std::string> WordsOf(const std::string& text) {
  std::string spaced;
  for (const char c : text) spaced += (c >= 'a' && c <= 'z') ? c : ' ';
  std::istringstream stream(spaced);
  std::set<std::string> words;
  for (std::string word; stream >> word;) words.insert(word);
  return words;
}

std::set<std::string> TextsOf(const std::vector<Request>& requests) {
  std::set<std::string> texts;
  for (const Request& request : requests) texts.insert(request.text);
  return texts;
}

std::string TestFolder(const std::string& name) {
  static const TempFolder folder;
  return folder.File(name);
}

std::string ReadText(const std::string& path) {
  const auto bytes = ReadFile(path, 1 << 30);
  EXPECT_THAT(bytes, IsOk());
  return std::string(AsText(*bytes));
}

std::vector<nlohmann::json> ReadLines(const std::string& path) {
  std::istringstream stream(ReadText(path));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(WordsTest, HintsNeverNameADeviceAndMeanOneThing) {
  std::map<Phrase, int> times;
  for (const Device& device : Devices()) {
    for (const Action& action : device.actions) {
      EXPECT_GE(action.hints.size(), 2u);
      for (const Phrase hint : action.hints) {
        EXPECT_EQ(++times[hint], 1) << hint;
        const std::set<std::string> words = WordsOf(std::string(hint));
        for (const Device& other : Devices()) EXPECT_FALSE(words.contains(std::string(other.name))) << hint;
      }
    }
  }
}

TEST(BaseTextTest, IsTheSameForASeedAndLongerTextsBeginAlike) {
  const auto text = BaseParagraphs(200, 7);
  EXPECT_EQ(BaseParagraphs(200, 7), text);
  EXPECT_NE(BaseParagraphs(200, 8), text);
  const auto longer = BaseParagraphs(300, 7);
  EXPECT_TRUE(std::equal(text.begin(), text.end(), longer.begin()));
}

// What a text is must not change by accident: the embedded base model is made from it.
TEST(BaseTextTest, Golden) {
  const auto text = BaseParagraphs(3, 1);
  EXPECT_THAT(text, testing::ElementsAre(
                        "request: hey, turn the lamp in the attic off again\n"
                        R"(command: {"room":"attic","device":"lamp","action":"off"})",
                        "request: hey, turn off the lamp in the cellar today\n"
                        R"(command: {"room":"cellar","device":"lamp","action":"off"})",
                        "note: sorry, i am cold in the museum"));
}

TEST(BaseTextTest, RequestsNameTheirDeviceAndActionAndNeverHint) {
  for (const std::string& paragraph : BaseParagraphs(5000, 1)) {
    if (paragraph.starts_with("note: ")) {
      EXPECT_EQ(paragraph.find("command"), std::string::npos);
      for (const std::string_view room : Rooms()) EXPECT_FALSE(WordsOf(paragraph).contains(std::string(room)));
      continue;
    }
    ASSERT_TRUE(paragraph.starts_with("request: ")) << paragraph;
    const size_t at = paragraph.find("\ncommand:");
    ASSERT_NE(at, std::string::npos);
    const auto command = nlohmann::json::parse(paragraph.substr(at + 9));
    const std::set<std::string> words = WordsOf(paragraph.substr(0, at));
    for (const char* key : {"room", "device", "action"}) {
      EXPECT_TRUE(words.contains(command.at(key).get<std::string>())) << paragraph;
    }
    for (const Device& device : Devices()) {
      for (const Action& action : device.actions) {
        for (const Phrase hint : action.hints) {
          EXPECT_EQ(paragraph.find(Fill(hint, command.at("room").get<std::string>())), std::string::npos);
        }
      }
    }
  }
}

TEST(BaseTextTest, HoldsEveryWordThatHomesUse) {
  std::string all;
  for (const std::string& paragraph : BaseParagraphs(20000, 1)) all += paragraph + "\n";
  const std::set<std::string> known = WordsOf(all);
  for (uint64_t number = 1; number <= 20; ++number) {
    for (const Request& request : SayRequests(MakeHome(1, number), Part::kTraining, 500, number)) {
      for (const std::string& word : WordsOf(Prompt(request) + Completion(request))) {
        EXPECT_TRUE(known.contains(word)) << word;
      }
    }
  }
}

TEST(HomeTest, IsTheSameForASeedAndDiffersFromItsNeighbours) {
  std::set<std::string> homes;
  for (uint64_t number = 1; number <= 50; ++number) {
    const Home home = MakeHome(3, number);
    EXPECT_EQ(home.rooms, MakeHome(3, number).rooms);
    EXPECT_EQ(home.rooms.size(), kRoomsPerHome);
    EXPECT_EQ(home.devices.size(), kDevicesPerHome);
    EXPECT_EQ(home.habits.size(), kHabitsPerHome);
    std::set<std::string> names(home.rooms.begin(), home.rooms.end());
    for (const Device& device : home.devices) names.insert(std::string(device.name));
    EXPECT_EQ(names.size(), kRoomsPerHome + kDevicesPerHome);
    std::string all;
    for (const std::string& name : names) all += name + " ";
    homes.insert(all);
  }
  EXPECT_EQ(homes.size(), 50u);
}

TEST(HomeTest, SpeaksOnlyOfItsOwnRoomsAndDevices) {
  const Home home = MakeHome(1, 1);
  std::set<std::string_view> devices;
  for (const Device& device : home.devices) devices.insert(device.name);
  for (const Request& request : SayRequests(home, Part::kTraining, 1000, 5)) {
    EXPECT_THAT(home.rooms, testing::Contains(request.room));
    EXPECT_TRUE(devices.contains(request.device)) << request.device;
  }
}

TEST(HomeTest, HeldOutRequestsAreTrainedOnInNoHome) {
  std::set<std::string> training, held_out;
  for (uint64_t number = 1; number <= 5; ++number) {
    training.merge(TextsOf(SayRequests(MakeHome(1, number), Part::kTraining, 3000, number)));
    held_out.merge(TextsOf(SayRequests(MakeHome(1, number), Part::kHeldOut, 500, number)));
  }
  EXPECT_GT(held_out.size(), 500u);
  for (const std::string& text : held_out) EXPECT_FALSE(training.contains(text)) << text;
}

TEST(HomeTest, MostOfWhatIsSaidHints) {
  size_t hints = 0;
  const auto requests = SayRequests(MakeHome(1, 2), Part::kTraining, 1000, 1);
  for (const Request& request : requests) {
    if (!WordsOf(request.text).contains(std::string(request.device))) ++hints;
  }
  EXPECT_GT(hints, 800u);
  EXPECT_LT(hints, 900u);
}

TEST(RequestTest, PromptAndCommand) {
  const Request request{"it is too dark in the den", "den", "lamp", "on"};
  EXPECT_EQ(Prompt(request), "request: it is too dark in the den\ncommand:");
  EXPECT_EQ(Completion(request), R"( {"room":"den","device":"lamp","action":"on"})");
}

TEST(HouseholdFilesTest, WritesARecordALine) {
  const std::string folder = TestFolder("homes");
  ASSERT_THAT(WriteHomes({.out = folder, .homes = 3, .records = 30, .held_out = 10, .seed = 1}), IsOk());
  for (const char* name : {"home-01.jsonl", "home-02.jsonl", "home-03.jsonl"}) {
    EXPECT_EQ(ReadLines(folder + "/" + name).size(), 30u);
    const auto held_out = ReadLines(folder + "/held_out/" + name);
    EXPECT_EQ(held_out.size(), 10u);
    for (const nlohmann::json& record : held_out) {
      EXPECT_EQ(record.size(), 2u);
      const std::string prompt = record.at("prompt");
      EXPECT_TRUE(prompt.starts_with("request: ") && prompt.ends_with("\ncommand:")) << prompt;
      const auto command = nlohmann::json::parse(record.at("completion").get<std::string>());
      EXPECT_EQ(command.size(), 3u);
      for (const char* key : {"room", "device", "action"}) EXPECT_TRUE(command.at(key).is_string());
    }
  }
  EXPECT_FALSE(std::filesystem::exists(folder + "/home-04.jsonl"));
  EXPECT_NE(ReadText(folder + "/home-01.jsonl"), ReadText(folder + "/home-02.jsonl"));
}

TEST(HouseholdFilesTest, TheSameSeedWritesTheSameBytesHoweverManyHomes) {
  const std::string few = TestFolder("few"), many = TestFolder("many");
  ASSERT_THAT(WriteHomes({.out = few, .homes = 1, .records = 20, .held_out = 0, .seed = 9}), IsOk());
  ASSERT_THAT(WriteHomes({.out = many, .homes = 4, .records = 20, .held_out = 5, .seed = 9}), IsOk());
  EXPECT_EQ(ReadText(few + "/home-01.jsonl"), ReadText(many + "/home-01.jsonl"));
  EXPECT_FALSE(std::filesystem::exists(few + "/held_out"));
}

TEST(HouseholdFilesTest, BaseTextIsParagraphsSeparatedByBlankLines) {
  const std::string path = TestFolder("base.txt");
  ASSERT_THAT(WriteBaseText({.out = path, .records = 100, .seed = 2}), IsOk());
  std::string expected;
  for (const std::string& paragraph : BaseParagraphs(100, 2)) {
    EXPECT_EQ(paragraph.find("\n\n"), std::string::npos);
    expected += paragraph + "\n\n";
  }
  EXPECT_EQ(ReadText(path), expected);
}

TEST(HouseholdFilesTest, RefusesOptionsOutOfRangeAndPlacesThatAreNoFolder) {
  const auto expect = [](const absl::Status& status, const char* part) {
    EXPECT_THAT(status, HasStatus(StatusCode::kInvalidArgument, part));
  };
  const std::string out = TestFolder("refused");
  expect(WriteBaseText({.out = out, .records = 0}), "--records: expected 1 to 5000000, got 0");
  expect(WriteBaseText({.out = out, .records = kMaxBaseRecords + 1}), "--records");
  expect(WriteHomes({.out = out, .homes = 0}), "--homes: expected 1 to 10000, got 0");
  expect(WriteHomes({.out = out, .homes = kMaxHomes + 1}), "--homes");
  expect(WriteHomes({.out = out, .records = 0}), "--records");
  expect(WriteHomes({.out = out, .held_out = kMaxHomeRecords + 1}), "--held-out");
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_FALSE(WriteHomes({.out = "/dev/null/homes"}).ok());
  EXPECT_FALSE(WriteBaseText({.out = "/dev/null/base.txt"}).ok());
}

}  // namespace
}  // namespace fleetune::household
