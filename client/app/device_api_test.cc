#include "client/app/device_api.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/crypto/sha256.h"
#include "base/files.h"
#include "client/data/audit_log.h"
#include "client/data/example_store.h"
#include "client/personal/personal_shelf.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/update/adapter_update.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DeviceApiTest : public testing::Test {
 protected:
  std::string WriteModel(const TinyLlama& tiny, const std::string& name) {
    const std::string path = device_.path() + "/" + name;
    EXPECT_THAT(tiny.ToWriter().WriteFile(path), IsOk());
    return path;
  }
  ModelShelf OpenModels(const std::vector<std::string>& files) {
    std::vector<std::string> problems;
    auto shelf = ModelShelf::Open(folder_.models(), files, problems);
    EXPECT_THAT(shelf, IsOk());
    EXPECT_THAT(problems, IsEmpty());
    return *std::move(shelf);
  }
  void ServeVersion(const std::string& task, uint32_t version, const std::string& model) {
    TrainingPlan plan;
    plan.task = task;
    plan.base = *Sha256OfFile(model);
    plan.targets = {Projection::kQ};
    plan.rank = 2;
    plan.alpha = 4;
    plan.seed = version;
    const auto file = *GgufFile::Open(model);
    const Adapter adapter = Adapter::Initial(*SpecOfPlan(plan, SizesOf(*ReadLlamaShape(*file))), plan.seed);
    const StoredVersion stored = MakeStoredVersion(plan, {task, version, AdapterHash(adapter, plan.seed)}, adapter);
    ASSERT_THAT(adapters_.Keep(stored), IsOk());
    ASSERT_THAT(adapters_.Serve(stored.version), IsOk());
  }
  // Of rank 1, on q; other values for each seed.
  void KeepPersonal(const std::string& task, const std::string& model, uint64_t seed) {
    const BaseSizes sizes = SizesOf(*ReadLlamaShape(**GgufFile::Open(model)));
    const AdapterSpec spec = *AdapterSpec::Create({.rank = 1, .alpha = 2, .targets = {Projection::kQ}}, sizes);
    auto examples = *ExampleStore::Open(folder_.root, clock_);
    PersonalShelf shelf(folder_.root, &examples);
    ASSERT_THAT(shelf.Begin(), IsOk());
    ASSERT_THAT(shelf.Keep({.task = task,
                            .base = *Sha256OfFile(model),
                            .over_version = 1,
                            .trained_at = {},
                            .rank = 1,
                            .alpha = 2,
                            .targets = {Projection::kQ},
                            .a = DeriveA(spec, seed),
                            .b = std::vector<float>(spec.b_size(), 0.5f)}),
                IsOk());
  }
  std::unique_ptr<DeviceApi> Create(const ApiSettings& settings = {.listen = "127.0.0.1:0"}) {
    auto api = DeviceApi::Create(folder_, {.api = settings}, clock_);
    EXPECT_THAT(api, IsOk());
    return *std::move(api);
  }

  const TempFolder device_;
  const DeviceFolder folder_{device_.path()};
  const SystemClock clock_;
  AdapterShelf adapters_{folder_.adapters()};
};

TEST_F(DeviceApiTest, ItsTokenIsTheOwnersAlone) {
  const auto api = Create();
  struct stat facts;
  ASSERT_EQ(::stat(folder_.api_token().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  EXPECT_THAT(DeviceApi::Create(folder_, {.api = {.listen = "0.0.0.0:8080"}}, clock_),
              HasStatus(absl::StatusCode::kInvalidArgument, "this machine alone"));
}

TEST_F(DeviceApiTest, ListensOnceThereIsABaseModel) {
  const auto api = Create();
  ASSERT_THAT(api->Refresh(adapters_, OpenModels({})), IsOk());
  EXPECT_FALSE(api->port().has_value());
  const ModelShelf models = OpenModels({WriteModel({}, "a.gguf")});
  const auto news = api->Refresh(adapters_, models);
  ASSERT_THAT(news, IsOk());
  EXPECT_THAT(*news, ElementsAre(HasSubstr("the API listens on port")));
  EXPECT_TRUE(api->port().has_value());
  EXPECT_THAT(*api->Refresh(adapters_, models), IsEmpty());  // nothing changed
}

TEST_F(DeviceApiTest, TooLittleMemoryForAnAnswerIsSaid) {
  const ModelShelf models = OpenModels({WriteModel({}, "a.gguf")});
  auto api = *DeviceApi::Create(folder_, {.api = {.listen = "127.0.0.1:0"}, .memory_bytes = 100'000}, clock_);
  EXPECT_THAT(api->Refresh(adapters_, models), IsOk());
  api = *DeviceApi::Create(folder_, {.api = {.listen = "127.0.0.1:0"}, .memory_bytes = 1000}, clock_);
  EXPECT_THAT(api->Refresh(adapters_, models),
              HasStatus(absl::StatusCode::kResourceExhausted, "keys and values of one answer may take 15 bytes"));
}

TEST_F(DeviceApiTest, ServesTheShelfsVersions) {
  const std::string model = WriteModel({}, "a.gguf");
  const ModelShelf models = OpenModels({model});
  ServeVersion("home", 1, model);
  const auto api = Create();
  ASSERT_THAT(api->Refresh(adapters_, models), IsOk());
  const uint16_t port = *api->port();
  EXPECT_THAT(api->served(), ElementsAre("home@1"));
  ServeVersion("home", 2, model);
  ServeVersion("garden", 7, model);
  EXPECT_THAT(*api->Refresh(adapters_, models), IsEmpty());
  EXPECT_THAT(api->served(), ElementsAre("garden@7", "home@2"));
  EXPECT_EQ(*api->port(), port);
}

TEST_F(DeviceApiTest, LeavesOutWhatIsOverAnotherBase) {
  const std::string first = WriteModel({.seed = 1}, "a.gguf");
  const std::string second = WriteModel({.seed = 2}, "b.gguf");
  ServeVersion("garden", 1, first);
  ServeVersion("home", 1, second);
  const auto api = Create();
  const auto news = api->Refresh(adapters_, OpenModels({first, second}));
  ASSERT_THAT(news, IsOk());
  EXPECT_THAT(*news, ElementsAre(HasSubstr("listens"), HasSubstr("leaves out task home")));
  EXPECT_THAT(api->served(), ElementsAre("garden@1"));
}

TEST_F(DeviceApiTest, AnswersWithTheDevicesOwnAdapterFromTrainToDrop) {
  const std::string model = WriteModel({}, "a.gguf");
  const ModelShelf models = OpenModels({model});
  ServeVersion("home", 3, model);
  ServeVersion("garden", 1, model);
  const auto api = Create();
  ASSERT_THAT(api->Refresh(adapters_, models), IsOk());
  EXPECT_FALSE(api->IsStale());
  KeepPersonal("home", model, 1);
  EXPECT_TRUE(api->IsStale());
  EXPECT_THAT(*api->Refresh(adapters_, models), ElementsAre(HasSubstr("as home:personal with the device's own")));
  EXPECT_FALSE(api->IsStale());
  EXPECT_THAT(api->served(), ElementsAre("garden@1", "home:fleet@3", "home:personal@3", "home@3"));

  KeepPersonal("home", model, 2);  // another one
  EXPECT_TRUE(api->IsStale());
  EXPECT_THAT(*api->Refresh(adapters_, models), ElementsAre(HasSubstr("home:personal")));
  ServeVersion("home", 4, model);  // on top of the next version as well
  EXPECT_THAT(*api->Refresh(adapters_, models), ElementsAre(HasSubstr("home:personal")));
  EXPECT_THAT(api->served(), ElementsAre("garden@1", "home:fleet@4", "home:personal@4", "home@4"));

  ASSERT_EQ(*PersonalShelf::DeleteAll(folder_.root), 1u);
  EXPECT_TRUE(api->IsStale());
  EXPECT_THAT(*api->Refresh(adapters_, models), ElementsAre(HasSubstr("home with the fleet's adapter alone")));
  EXPECT_FALSE(api->IsStale());
  EXPECT_THAT(api->served(), ElementsAre("garden@1", "home@4"));
}

TEST_F(DeviceApiTest, APersonalAdapterThatDoesNotOpenIsToldOnceAndLeftOut) {
  const std::string model = WriteModel({}, "a.gguf");
  const ModelShelf models = OpenModels({model});
  ServeVersion("home", 3, model);
  KeepPersonal("home", model, 1);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.root + "/personal")) {
    std::ofstream(entry.path(), std::ios::binary) << "damaged";
  }
  const auto api = Create();
  EXPECT_THAT(*api->Refresh(adapters_, models),
              ElementsAre(HasSubstr("listens"), HasSubstr("home without the device's own adapter")));
  EXPECT_THAT(api->served(), ElementsAre("home@3"));
  EXPECT_FALSE(api->IsStale());
  EXPECT_THAT(*api->Refresh(adapters_, models), IsEmpty());
}

TEST_F(DeviceApiTest, ATasksNameMeansWhatTheOwnerSays) {
  const std::string path = WriteModel({}, "a.gguf");
  ServeVersion("home", 3, path);
  KeepPersonal("home", path, 1);
  const BaseSizes sizes = SizesOf(*ReadLlamaShape(**GgufFile::Open(path)));
  const absl::StatusOr<ServedTask> task = ServeTask(folder_, adapters_.Serving().front(), sizes, nullptr);
  ASSERT_THAT(task, IsOk());
  ASSERT_TRUE(task->personal.has_value());
  EXPECT_THAT(task->personal->identity, HasSubstr(task->fleet.identity + "+personal-"));
  const auto adapter_of = [&](const std::string& name, bool personal_by_default) {
    for (const ServedAdapter& one : ModelsOf(*task, personal_by_default)) {
      if (one.name == name) return one.adapter;
    }
    return std::shared_ptr<const Adapter>();
  };
  for (const bool by_default : {false, true}) {
    EXPECT_EQ(adapter_of("home", by_default), by_default ? task->personal->adapter : task->fleet.adapter);
    EXPECT_EQ(adapter_of("home:personal", by_default), task->personal->adapter);
    EXPECT_EQ(adapter_of("home:fleet", by_default), task->fleet.adapter);
  }
  // What was read once stays the same object.
  const absl::StatusOr<ServedTask> again = ServeTask(folder_, adapters_.Serving().front(), sizes, &*task);
  EXPECT_EQ(again->personal->adapter, task->personal->adapter);
  KeepPersonal("home", path, 2);
  const absl::StatusOr<ServedTask> other = ServeTask(folder_, adapters_.Serving().front(), sizes, &*task);
  EXPECT_EQ(other->fleet.adapter, task->fleet.adapter);
  EXPECT_NE(other->personal->identity, task->personal->identity);
  EXPECT_EQ(other->personal->adapter->spec().rank(), task->fleet.adapter->spec().rank() + 1);
}

TEST_F(DeviceApiTest, AMissingModelIsAnErrorThatPasses) {
  const std::string model = WriteModel({}, "a.gguf");
  ServeVersion("home", 1, model);
  const auto api = Create();
  EXPECT_THAT(api->Refresh(adapters_, OpenModels({})), HasStatus(absl::StatusCode::kNotFound, ""));
  ASSERT_THAT(api->Refresh(adapters_, OpenModels({model})), IsOk());
  EXPECT_TRUE(api->port().has_value());
}

TEST_F(DeviceApiTest, FeedbackBecomesAnExampleAndAPairOnce) {
  ExampleFeedbackSink sink(folder_, {.examples = "feedback", .preferences = "pairs"}, clock_);
  const AnswerFeedback bad = {.prompt = "p", .answer = "a", .correction = "c"};
  ASSERT_THAT(sink.Keep(bad), IsOk());
  ASSERT_THAT(sink.Keep(bad), IsOk());
  ASSERT_THAT(sink.Keep({.prompt = "q", .answer = "b", .correction = ""}), IsOk());
  auto examples = *ExampleStore::Open(folder_.root, clock_);
  EXPECT_THAT(*examples.Read("feedback"), ElementsAre(Record(PromptCompletion{"p", "c"}), Record(PromptCompletion{"q", "b"})));
  EXPECT_THAT(*examples.Read("pairs"), ElementsAre(Record(Preference{"p", "c", "a"})));
  auto audit = *DeviceAuditLog::Open(folder_.root);
  const auto entries = *audit.Read(1, 10);
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_THAT(entries[0].text, HasSubstr("an example from feedback on an answer (tag feedback)"));
  EXPECT_THAT(entries[1].text, HasSubstr("a pair of answers from feedback on an answer (tag pairs)"));
}

TEST_F(DeviceApiTest, FeedbackThatIsTooLargeLeavesNothingAndPairsAreKeptOnlyIfWanted) {
  ExampleFeedbackSink sink(folder_, {.examples = "feedback", .preferences = "pairs"}, clock_);
  const std::string large(kMaxRecordBytes, 'a');
  for (const AnswerFeedback& feedback : {AnswerFeedback{.prompt = large, .answer = "a", .correction = ""},
                                         AnswerFeedback{.prompt = "p", .answer = large, .correction = "c"}}) {
    EXPECT_THAT(sink.Keep(feedback), HasStatus(absl::StatusCode::kInvalidArgument, "at most"));
  }
  auto examples = *ExampleStore::Open(folder_.root, clock_);
  EXPECT_EQ(*examples.Count(""), 0u);
  ExampleFeedbackSink without(folder_, {.examples = "feedback", .preferences = ""}, clock_);
  ASSERT_THAT(without.Keep({.prompt = "p", .answer = "a", .correction = "c"}), IsOk());
  EXPECT_THAT(*examples.Read(""), ElementsAre(Record(PromptCompletion{"p", "c"})));
}

}  // namespace
}  // namespace fleetune
