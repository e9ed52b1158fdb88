#include "client/app/step_performer.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/crypto/sha256.h"
#include "base/files.h"
#include "client/app/payload_files.h"
#include "client/data/checkpoint_files.h"
#include "client/data/control_files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/update/adapter_update.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// A coordinator that answers as told, and remembers what it heard.
class ScriptedLink final : public CoordinatorLink {
 public:
  absl::Status failure;  // of every call, if it is one
  CheckInReply reply;
  std::map<Digest, Bytes> models;
  Bytes control;
  OpenedUpload opened{.chunk_bytes = 4, .missing_chunks = {0, 1, 2}};

  uint32_t fetches = 0;
  std::map<uint32_t, Bytes> chunks;
  std::vector<std::string> told;

  absl::StatusOr<CheckInReply> CheckIn(const CheckInReport&) override {
    if (!failure.ok()) return failure;
    return reply;
  }
  absl::StatusOr<ModelPart> FetchModel(const Digest& sha256, uint64_t offset) override {
    ++fetches;
    if (!failure.ok()) return failure;
    const Bytes& bytes = models.at(sha256);
    return ModelPart{.bytes = {bytes.begin() + static_cast<ptrdiff_t>(offset), bytes.end()}, .file_size = bytes.size()};
  }
  absl::StatusOr<std::vector<OfferedPiece>> PlanUpdate(const UpdateWish&) override {
    return absl::UnavailableError("no updates here");
  }
  absl::StatusOr<Bytes> FetchUpdate(const std::string&, const Digest&, uint64_t) override {
    return absl::UnavailableError("no updates here");
  }
  absl::StatusOr<ControlPart> FetchControl(const std::string&, uint64_t offset) override {
    if (!failure.ok()) return failure;
    return ControlPart{.bytes = {control.begin() + static_cast<ptrdiff_t>(offset), control.end()},
                       .size = control.size(),
                       .sha256 = Sha256(control)};
  }
  absl::StatusOr<OfferedSeat> TakeSeat(const std::string&) override { return absl::UnimplementedError("not here"); }
  absl::StatusOr<CellNews> ExchangeCell(const std::string&, std::span<const uint8_t>) override {
    return absl::UnimplementedError("not here");
  }
  absl::StatusOr<OpenedUpload> OpenUpload(const std::string&, uint64_t, const Digest&) override {
    if (!failure.ok()) return failure;
    return opened;
  }
  absl::Status PutUploadChunk(const std::string&, uint32_t index, std::span<const uint8_t> chunk) override {
    chunks[index] = Bytes(chunk.begin(), chunk.end());
    return failure;
  }
  absl::Status CommitUpload(const std::string& round, const Digest&) override {
    told.push_back("commit " + round);
    return failure;
  }
  absl::Status DeclineRound(const std::string& round, const std::string& reason) override {
    told.push_back("decline " + round + ": " + reason);
    return failure;
  }
  absl::StatusOr<std::string> RenewCertificate(const std::string&) override {
    return absl::UnavailableError("no certificates here");
  }
};

class StepPerformerTest : public testing::Test {
 protected:
  // The event of type T that ends `step`.
  template <typename T>
  T Perform(const AgentStep& step) {
    const std::optional<AgentEvent> event = performer_.Perform(step, {});
    const T* wanted = event.has_value() ? std::get_if<T>(&*event) : nullptr;
    EXPECT_NE(wanted, nullptr) << "another event, or none";
    return wanted == nullptr ? T{} : *wanted;
  }

  static TrainingPlan PlanOver(const Digest& base) {
    TrainingPlan plan;
    plan.task = "t";
    plan.base = base;
    plan.targets = {Projection::kQ};
    return plan;
  }
  SignedOffer OfferSignedBy(const SigningKey& key) const {
    SignedOffer offer;
    offer.plan = FormatTrainingPlan(PlanOver(Digest{}));
    offer.plan_signature = key.Sign(SignPurpose::kTrainingPlan, AsBytes(offer.plan));
    return offer;
  }
  static TrainRound Round(const Digest& base) {
    TrainRound round{.order = {}, .plan = PlanOver(base), .memory_bytes = 1 << 20};
    round.order.round = "t-1";
    round.order.task = "t";
    round.order.version = 1;
    return round;
  }
  // A model that the coordinator has.
  Digest Offered(Bytes bytes) {
    const Digest sha256 = Sha256(bytes);
    link_.models[sha256] = std::move(bytes);
    return sha256;
  }

  const TempFolder device_;
  const SystemClock clock_;
  const SigningKey release_key_ = SigningKey::Generate();
  ScriptedLink link_;
  ExampleStore examples_ = *ExampleStore::Open(device_.path(), clock_);
  CheckpointFiles checkpoints_{device_.path(), &examples_};
  ControlFiles controls_{device_.path(), &examples_};
  PayloadFiles payloads_{device_.path() + "/uploads", Secret32()};
  AdapterShelf adapters_{device_.path() + "/adapters"};
  std::vector<std::string> problems_;
  ModelShelf models_ = *ModelShelf::Open(device_.path() + "/models", {}, problems_);
  SplitMix64 random_{1};
  std::vector<std::string> warnings_;
  StepPerformer performer_{{.link = &link_,
                            .examples = &examples_,
                            .payloads = &payloads_,
                            .checkpoints = &checkpoints_,
                            .controls = &controls_,
                            .adapters = &adapters_,
                            .models = &models_,
                            .random = &random_},
                           {.downloads = device_.path() + "/downloads",
                            .trainer = {.program = device_.path() + "/trainer"},
                            .checkpoint_steps = 4,
                            .release_key = release_key_.verify_key(),
                            .warn = [this](const std::string& text) { warnings_.push_back(text); }}};
};

TEST_F(StepPerformerTest, WaitingIsNoEvent) { EXPECT_FALSE(performer_.Perform(WaitUntil{}, {}).has_value()); }

TEST_F(StepPerformerTest, ACheckInKeepsOnlyTasksThatTheReleaseKeySigned) {
  RoundCall call;
  call.round = "t-1";
  link_.reply = {.next_check_in = std::chrono::seconds(9),
                 .offers = {OfferSignedBy(SigningKey::Generate()), OfferSignedBy(release_key_)},
                 .invitation = call};
  const auto answered = Perform<CheckInAnswered>(CheckInNow{});
  EXPECT_EQ(answered.next_check_in, std::chrono::seconds(9));
  EXPECT_THAT(answered.tasks, SizeIs(1));
  EXPECT_EQ(answered.invitation->round, "t-1");
  EXPECT_THAT(warnings_, SizeIs(1));
}

TEST_F(StepPerformerTest, AFailureOfTheLinkIsTheStepsFailure) {
  link_.failure = absl::UnavailableError("away");
  EXPECT_THAT(Perform<StepFailed>(CheckInNow{}).status, HasStatus(absl::StatusCode::kUnavailable, "away"));
  EXPECT_THAT(Perform<StepFailed>(FetchBaseModel{}).status, HasStatus(absl::StatusCode::kUnavailable, "away"));
  EXPECT_THAT(Perform<StepFailed>(TellDecline{}).status, HasStatus(absl::StatusCode::kUnavailable, "away"));
}

TEST_F(StepPerformerTest, ExaminingTellsShapeAndExamples) {
  const Digest base = Offered(TinyLlama{}.ToBytes());
  EXPECT_THAT(Perform<StepFailed>(ExamineTask{PlanOver(base)}).status, HasStatus(absl::StatusCode::kNotFound, ""));
  EXPECT_EQ(Perform<ModelReady>(FetchBaseModel{.sha256 = base}).sha256, base);
  const std::vector<Record> records = {PlainText{"one"}, PlainText{"two"}};
  ASSERT_THAT(examples_.Add("notes", records), IsOk());
  const auto examined = Perform<TaskExamined>(ExamineTask{PlanOver(base)});
  EXPECT_EQ(examined.task, "t");
  EXPECT_EQ(examined.examples, 2u);
  EXPECT_EQ(examined.model.context, TinyLlama{}.context);
  EXPECT_EQ(examined.model.file_bytes, link_.models[base].size());
}

TEST_F(StepPerformerTest, AModelThatCannotBeReadIsFetchedAgain) {
  const Digest base = Offered(TinyLlama{}.ToBytes());
  (void)Perform<ModelReady>(FetchBaseModel{.sha256 = base});
  ASSERT_THAT(WriteFileAtomic(*models_.Path(base), AsBytes("GGUF")), IsOk());
  EXPECT_EQ(Perform<ModelLost>(Round(base)).sha256, base);
  EXPECT_THAT(models_.models(), IsEmpty());
  EXPECT_EQ(Perform<ModelReady>(FetchBaseModel{.sha256 = base}).sha256, base);
  EXPECT_EQ(link_.fetches, 2u);
  (void)Perform<TaskExamined>(ExamineTask{PlanOver(base)});
}

TEST_F(StepPerformerTest, TrainingNeedsTheVersionThatTheRoundStartsFrom) {
  const Digest base = Offered(TinyLlama{}.ToBytes());
  (void)Perform<ModelReady>(FetchBaseModel{.sha256 = base});
  EXPECT_EQ(Perform<AdapterLost>(Round(base)).task, "t");
  EXPECT_EQ(performer_.run(), nullptr);
}

TEST_F(StepPerformerTest, AnUploadGoesInSlices) {
  const Bytes payload = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const Digest sha256 = Sha256(payload);
  ASSERT_THAT(payloads_.Put(sha256, payload), IsOk());
  const auto opened = Perform<UploadOpened>(OpenRoundUpload{.round = "t-1", .size = 9, .sha256 = sha256});
  EXPECT_THAT(opened.missing_chunks, ElementsAre(0, 1, 2));
  for (uint32_t index = 0; index < 3; ++index) {
    const SendChunk send{.round = "t-1", .sha256 = sha256, .index = index, .chunk_bytes = opened.chunk_bytes};
    EXPECT_EQ(Perform<ChunkStored>(send).index, index);
  }
  EXPECT_THAT(link_.chunks[0], ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(link_.chunks[2], ElementsAre(9));
  const SendChunk past_the_end{.round = "t-1", .sha256 = sha256, .index = 3, .chunk_bytes = 4};
  EXPECT_THAT(Perform<StepFailed>(past_the_end).status, HasStatus(absl::StatusCode::kUnavailable, "opened again"));
  (void)Perform<UpdateCounted>(CommitRoundUpload{.round = "t-1", .sha256 = sha256});
  EXPECT_THAT(link_.told, ElementsAre("commit t-1"));
}

TEST_F(StepPerformerTest, NothingIsSentOfAnUploadThatIsNotOpenOrDamaged) {
  const Bytes payload = {1, 2, 3, 4, 5};
  const Digest sha256 = Sha256(payload);
  const SendChunk send{.round = "t-1", .sha256 = sha256, .index = 0, .chunk_bytes = 4};
  const OpenRoundUpload open{.round = "t-1", .size = 5, .sha256 = sha256};
  EXPECT_THAT(Perform<StepFailed>(send).status, HasStatus(absl::StatusCode::kUnavailable, "opened again"));
  EXPECT_THAT(Perform<PayloadLost>(open).status, HasStatus(absl::StatusCode::kNotFound, ""));
  ASSERT_THAT(payloads_.Put(sha256, payload), IsOk());
  const std::string path = device_.path() + "/uploads/" + sha256.ToHex() + ".sealed";
  ASSERT_THAT(WriteFileAtomic(path, AsBytes("other")), IsOk());
  EXPECT_THAT(Perform<PayloadLost>(open).status, HasStatus(absl::StatusCode::kDataLoss, ""));
  EXPECT_THAT(Perform<StepFailed>(send).status, HasStatus(absl::StatusCode::kUnavailable, "opened again"));
  EXPECT_THAT(link_.chunks, IsEmpty());
}

TEST_F(StepPerformerTest, ADeclineIsTold) {
  (void)Perform<DeclineHeard>(TellDecline{{.round = "t-1", .reason = "too large"}});
  EXPECT_THAT(link_.told, ElementsAre("decline t-1: too large"));
}

class StepPerformerControlTest : public StepPerformerTest {
 protected:
  // A round over a model that is here, of 2 layers' q: rank 8 of B trained.
  TrainRound ControlledRound() {
    const Digest base = Offered(TinyLlama{}.ToBytes());
    (void)Perform<ModelReady>(FetchBaseModel{.sha256 = base});
    TrainRound round = Round(base);
    round.plan.train.control_variates = true;
    round.plan.encoding.lane_bits = 24;
    values_ = AdapterSpec::Create(AdapterOptionsOf(round.plan), Perform<TaskExamined>(ExamineTask{round.plan}).model.sizes)
                  ->b_size();
    round.order.version = 0;
    round.order.version_hash = AdapterHash(Initial(round.plan), round.plan.seed);
    return round;
  }
  Adapter Initial(const TrainingPlan& plan) {
    const ModelFootprint model = Perform<TaskExamined>(ExamineTask{plan}).model;
    return Adapter::Initial(*AdapterSpec::Create(AdapterOptionsOf(plan), model.sizes), plan.seed);
  }
  uint64_t values_ = 0;
};

TEST_F(StepPerformerControlTest, TheServersComeOrAreRefused) {
  const TrainRound round = ControlledRound();
  const BringControl bring{.order = round.order, .plan = round.plan};
  link_.control = Bytes(values_ * 4 - 4, 0);
  EXPECT_THAT(Perform<StepFailed>(bring).status, HasStatus(absl::StatusCode::kInvalidArgument, "t-1"));
  link_.control.resize(values_ * 4);
  EXPECT_EQ(Perform<ControlReady>(bring).round, "t-1");
  link_.failure = absl::UnavailableError("away");
  EXPECT_EQ(Perform<ControlReady>(bring).round, "t-1");  // they are here
  BringControl next = bring;
  next.order.round = "t-2";
  EXPECT_THAT(Perform<StepFailed>(next).status, HasStatus(absl::StatusCode::kUnavailable, "away"));
}

TEST_F(StepPerformerControlTest, NoTrainingBeginsWithoutThem) {
  const TrainRound round = ControlledRound();
  const ServedVersion version{"t", 0, round.order.version_hash};
  ASSERT_EQ(Perform<AdapterReady>(BringAdapter{.plan = round.plan, .version = version}).version, version);
  EXPECT_THAT(Perform<AttemptFailed>(round).status, HasStatus(absl::StatusCode::kUnavailable, "brought again"));
  (void)Perform<ControlReady>(BringControl{.order = round.order, .plan = round.plan});
  // Now it is the trainer that is missing.
  EXPECT_THAT(Perform<AttemptFailed>(round).status, HasStatus(absl::StatusCode::kNotFound, device_.path() + "/trainer"));
  TrainRound later = round;
  later.order.round = "t-2";
  EXPECT_THAT(Perform<AttemptFailed>(later).status, HasStatus(absl::StatusCode::kUnavailable, "brought again"));
}

// The trainer writes down the job that it is given, and dies of it.
TEST_F(StepPerformerControlTest, AnAttemptGoesOnFromTheCheckpointOfTheLast) {
  const std::string program = device_.path() + "/trainer", job_file = device_.path() + "/job";
  std::ofstream(program) << "#!/bin/sh\nsize=$(head -c 4 <&3 | od -An -tu4)\nhead -c $size <&3 > " << job_file << "\n";
  chmod(program.c_str(), 0755);
  const TrainRound round = ControlledRound();
  (void)Perform<AdapterReady>(BringAdapter{.plan = round.plan, .version = {"t", 0, round.order.version_hash}});
  (void)Perform<ControlReady>(BringControl{.order = round.order, .plan = round.plan});
  ASSERT_THAT(checkpoints_.Begin("t-1"), IsOk());
  ASSERT_THAT(checkpoints_.Put(Bytes{1, 2, 3}), IsOk());

  ASSERT_FALSE(performer_.Perform(round, {}).has_value());
  const auto end = performer_.run()->Poll(std::chrono::minutes(1));  // not waited for in a test that passes
  ASSERT_TRUE(end.has_value() && std::holds_alternative<AttemptFailed>(*end));
  const auto job = DecodeJobFrame(*ReadFile(job_file, kMaxJobFrameBytes));
  ASSERT_THAT(job, IsOk());
  const auto& given = std::get<TrainingJob>(*job);
  EXPECT_EQ(given.checkpoint, (Bytes{1, 2, 3}));
  EXPECT_EQ(given.checkpoint_steps, 4u);
  EXPECT_THAT(given.correction, SizeIs(values_));
}

}  // namespace
}  // namespace fleetune
