#include "client/trainer/job_message.h"

#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/plan/training_plan.h"
#include "lora/records/record.h"

namespace fleetune {
namespace {

// The kinds of frame: values of the format.
enum class FrameKind : uint8_t {
  kJob = 1, kStop = 2, kProgress = 3, kDone = 4, kFailed = 5, kPause = 6, kResume = 7, kBegun = 8, kPaused = 9,
  kCheckpoint = 10
};

absl::Status CheckLimit(const char* field, uint64_t size, uint64_t limit) {
  if (size <= limit) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(field, ": at most ", limit, ", got ", size));
}

// Writes one kind's frame, its length first: 0 until Finish().
class FrameWriter {
 public:
  explicit FrameWriter(uint8_t kind) {
    writer_.Write(uint32_t{0});
    writer_.Write(kind);
  }

  absl::Status operator()(const TrainingJob& job) {
    RETURN_IF_ERROR(Text("plan", job.plan, kMaxPlanBytes));
    RETURN_IF_ERROR(Text("model_path", job.model_path, kMaxModelPathBytes));
    RETURN_IF_ERROR(CheckLimit("threads", job.threads, kMaxTrainerThreads));
    writer_.Write(job.threads);
    writer_.Write(job.memory_limit_bytes);
    RETURN_IF_ERROR(CheckLimit("ranks", job.ranks, kMaxAdapterRank));
    writer_.Write(job.version);
    writer_.Write(job.ranks);
    RETURN_IF_ERROR(Floats("a", job.a));
    RETURN_IF_ERROR(Floats("b", job.b));
    RETURN_IF_ERROR(CheckLimit("records", job.records.size(), kMaxRecordsPerFile));
    writer_.Write(static_cast<uint32_t>(job.records.size()));
    uint64_t total = 0;
    for (size_t i = 0; i < job.records.size(); ++i) {
      total += job.records[i].size();
      RETURN_IF_ERROR(CheckLimit("all records", total, kMaxJobFrameBytes));
      RETURN_IF_ERROR(Text(absl::StrCat("record ", i, " of the job, bytes").c_str(), job.records[i], kMaxRecordBytes));
    }
    writer_.Write(job.checkpoint_steps);
    RETURN_IF_ERROR(Blob("checkpoint", job.checkpoint, kMaxJobCheckpointBytes));
    RETURN_IF_ERROR(Blob("held_out_secret", job.held_out_secret, kMaxHeldOutSecretBytes));
    return Floats("correction", job.correction);
  }

  absl::Status operator()(const StopTraining&) { return absl::OkStatus(); }
  absl::Status operator()(const PauseTraining&) { return absl::OkStatus(); }
  absl::Status operator()(const ResumeTraining&) { return absl::OkStatus(); }

  absl::Status operator()(const TrainingBegun& begun) {
    writer_.Write(begun.step);
    return Text("not_used", std::string_view(begun.not_used).substr(0, kMaxFailureBytes), kMaxFailureBytes);
  }

  absl::Status operator()(const TrainingPaused& paused) {
    writer_.Write(paused.step);
    return absl::OkStatus();
  }

  absl::Status operator()(const TrainingCheckpoint& checkpoint) {
    writer_.Write(checkpoint.step);
    return Blob("state", checkpoint.state, kMaxJobCheckpointBytes);
  }

  absl::Status operator()(const TrainingProgress& progress) {
    writer_.Write(progress.step);
    writer_.Write(progress.steps);
    writer_.Write(progress.loss);
    writer_.Write(progress.tokens);
    return absl::OkStatus();
  }

  absl::Status operator()(const TrainingDone& done) {
    RETURN_IF_ERROR(Floats("a", done.a));
    RETURN_IF_ERROR(Floats("b", done.b));
    writer_.Write(done.first_loss);
    writer_.Write(done.last_loss);
    writer_.Write(done.tokens);
    writer_.Write(done.examples);
    writer_.Write(done.steps);
    Optional(done.held_out_before);
    Optional(done.held_out_after);
    return Floats("mean_gradient", done.mean_gradient);
  }

  absl::Status operator()(const TrainingFailed& failed) {
    CHECK(!failed.status.ok());
    writer_.Write(static_cast<int32_t>(failed.status.code()));
    const std::string message(failed.status.message());
    return Text("message", std::string_view(message).substr(0, kMaxFailureBytes), kMaxFailureBytes);
  }

  absl::StatusOr<Bytes> Finish() {
    const uint64_t size = writer_.bytes().size() - sizeof(uint32_t);
    RETURN_IF_ERROR(CheckLimit("frame", size, kMaxJobFrameBytes));
    Bytes frame = writer_.Take();
    const auto length = static_cast<uint32_t>(size);
    std::memcpy(frame.data(), &length, sizeof(length));
    return frame;
  }

 private:
  absl::Status Text(const char* field, std::string_view text, uint64_t limit) {
    return Blob(field, AsBytes(text), limit);
  }

  absl::Status Blob(const char* field, std::span<const uint8_t> bytes, uint64_t limit) {
    RETURN_IF_ERROR(CheckLimit(field, bytes.size(), limit));
    writer_.WriteBlob(bytes);
    return absl::OkStatus();
  }

  void Optional(const std::optional<double>& value) {
    writer_.Write(static_cast<uint8_t>(value.has_value() ? 1 : 0));
    if (value.has_value()) writer_.Write(*value);
  }

  absl::Status Floats(const char* field, const std::vector<float>& values) {
    RETURN_IF_ERROR(CheckLimit(field, values.size(), kMaxAdapterParameters));
    writer_.Write(static_cast<uint32_t>(values.size()));
    writer_.WriteBytes({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
    return absl::OkStatus();
  }

  ByteWriter writer_;
};

// A count of things of at least `size` bytes, checked against what is left before anything is allocated.
absl::StatusOr<uint32_t> ReadCount(ByteReader& reader, const char* field, uint64_t limit, uint64_t size) {
  ASSIGN_OR_RETURN(const uint32_t count, reader.Read<uint32_t>());
  RETURN_IF_ERROR(CheckLimit(field, count, limit));
  if (count * size > reader.remaining()) {
    return absl::DataLossError(absl::StrCat(field, ": ", count, " of them need ", count * size, " bytes, ",
                                            reader.remaining(), " are left"));
  }
  return count;
}

absl::StatusOr<std::string> ReadText(ByteReader& reader, uint32_t limit) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader.ReadBlob(limit));
  return std::string(AsText(bytes));
}

absl::StatusOr<Bytes> ReadBlob(ByteReader& reader, uint32_t limit) {
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader.ReadBlob(limit));
  return Bytes(bytes.begin(), bytes.end());
}

absl::StatusOr<std::vector<float>> ReadFiniteFloats(ByteReader& reader, const char* field) {
  ASSIGN_OR_RETURN(const uint32_t count, ReadCount(reader, field, kMaxAdapterParameters, sizeof(float)));
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader.ReadBytes(uint64_t{count} * sizeof(float)));
  std::vector<float> values(count);
  if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) return absl::InvalidArgumentError(absl::StrCat(field, "[", i, "] is not finite"));
  }
  return values;
}

absl::StatusOr<double> ReadFinite(ByteReader& reader, const char* field) {
  ASSIGN_OR_RETURN(const double value, reader.Read<double>());
  if (!std::isfinite(value)) return absl::InvalidArgumentError(absl::StrCat(field, " is not finite"));
  return value;
}

absl::StatusOr<std::optional<double>> ReadOptional(ByteReader& reader, const char* field) {
  ASSIGN_OR_RETURN(const uint8_t there, reader.Read<uint8_t>());
  if (there > 1) return absl::InvalidArgumentError(absl::StrCat(field, ": expected 0 or 1 before it, got ", there));
  if (there == 0) return std::optional<double>();
  ASSIGN_OR_RETURN(const double value, ReadFinite(reader, field));
  return std::optional<double>(value);
}

absl::StatusOr<JobMessage> ReadJob(ByteReader& reader) {
  TrainingJob job;
  ASSIGN_OR_RETURN(job.plan, ReadText(reader, kMaxPlanBytes));
  ASSIGN_OR_RETURN(job.model_path, ReadText(reader, kMaxModelPathBytes));
  ASSIGN_OR_RETURN(job.threads, reader.Read<uint32_t>());
  RETURN_IF_ERROR(CheckLimit("threads", job.threads, kMaxTrainerThreads));
  ASSIGN_OR_RETURN(job.memory_limit_bytes, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(job.version, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(job.ranks, reader.Read<uint32_t>());
  RETURN_IF_ERROR(CheckLimit("ranks", job.ranks, kMaxAdapterRank));
  ASSIGN_OR_RETURN(job.a, ReadFiniteFloats(reader, "a"));
  ASSIGN_OR_RETURN(job.b, ReadFiniteFloats(reader, "b"));
  // A record has at least the four bytes of its length.
  ASSIGN_OR_RETURN(const uint32_t records, ReadCount(reader, "records", kMaxRecordsPerFile, sizeof(uint32_t)));
  for (uint32_t i = 0; i < records; ++i) {
    ASSIGN_OR_RETURN(std::string record, ReadText(reader, kMaxRecordBytes));
    job.records.push_back(std::move(record));
  }
  ASSIGN_OR_RETURN(job.checkpoint_steps, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(job.checkpoint, ReadBlob(reader, kMaxJobCheckpointBytes));
  ASSIGN_OR_RETURN(job.held_out_secret, ReadBlob(reader, kMaxHeldOutSecretBytes));
  ASSIGN_OR_RETURN(job.correction, ReadFiniteFloats(reader, "correction"));
  return job;
}

absl::StatusOr<JobMessage> ReadBegun(ByteReader& reader) {
  TrainingBegun begun;
  ASSIGN_OR_RETURN(begun.step, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(begun.not_used, ReadText(reader, kMaxFailureBytes));
  return begun;
}

absl::StatusOr<JobMessage> ReadPaused(ByteReader& reader) {
  TrainingPaused paused;
  ASSIGN_OR_RETURN(paused.step, reader.Read<uint32_t>());
  return paused;
}

absl::StatusOr<JobMessage> ReadCheckpoint(ByteReader& reader) {
  TrainingCheckpoint checkpoint;
  ASSIGN_OR_RETURN(checkpoint.step, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(checkpoint.state, ReadBlob(reader, kMaxJobCheckpointBytes));
  return checkpoint;
}

absl::StatusOr<JobMessage> ReadProgress(ByteReader& reader) {
  TrainingProgress progress;
  ASSIGN_OR_RETURN(progress.step, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(progress.steps, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(progress.loss, ReadFinite(reader, "loss"));
  ASSIGN_OR_RETURN(progress.tokens, reader.Read<uint64_t>());
  return progress;
}

absl::StatusOr<JobMessage> ReadDone(ByteReader& reader) {
  TrainingDone done;
  ASSIGN_OR_RETURN(done.a, ReadFiniteFloats(reader, "a"));
  ASSIGN_OR_RETURN(done.b, ReadFiniteFloats(reader, "b"));
  ASSIGN_OR_RETURN(done.first_loss, ReadFinite(reader, "first_loss"));
  ASSIGN_OR_RETURN(done.last_loss, ReadFinite(reader, "last_loss"));
  ASSIGN_OR_RETURN(done.tokens, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(done.examples, reader.Read<uint64_t>());
  ASSIGN_OR_RETURN(done.steps, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(done.held_out_before, ReadOptional(reader, "held_out_before"));
  ASSIGN_OR_RETURN(done.held_out_after, ReadOptional(reader, "held_out_after"));
  ASSIGN_OR_RETURN(done.mean_gradient, ReadFiniteFloats(reader, "mean_gradient"));
  return done;
}

absl::StatusOr<JobMessage> ReadFailed(ByteReader& reader) {
  ASSIGN_OR_RETURN(const int32_t code, reader.Read<int32_t>());
  if (code < 1 || code > static_cast<int32_t>(absl::StatusCode::kUnauthenticated)) {
    return absl::InvalidArgumentError(absl::StrCat("a failure has a code of 1 to 16, got ", code));
  }
  ASSIGN_OR_RETURN(const std::string message, ReadText(reader, kMaxFailureBytes));
  return TrainingFailed{absl::Status(static_cast<absl::StatusCode>(code), message)};
}

absl::StatusOr<JobMessage> ReadFields(uint8_t kind, ByteReader& reader) {
  switch (static_cast<FrameKind>(kind)) {
    case FrameKind::kJob: return ReadJob(reader);
    case FrameKind::kStop: return StopTraining{};
    case FrameKind::kProgress: return ReadProgress(reader);
    case FrameKind::kDone: return ReadDone(reader);
    case FrameKind::kFailed: return ReadFailed(reader);
    case FrameKind::kPause: return PauseTraining{};
    case FrameKind::kResume: return ResumeTraining{};
    case FrameKind::kBegun: return ReadBegun(reader);
    case FrameKind::kPaused: return ReadPaused(reader);
    case FrameKind::kCheckpoint: return ReadCheckpoint(reader);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown kind of frame: ", kind));
}

}  // namespace

absl::StatusOr<Bytes> EncodeJobFrame(const JobMessage& message) {
  FrameWriter frame(static_cast<uint8_t>(message.index() + 1));  // in the order of FrameKind
  RETURN_IF_ERROR(std::visit(frame, message));
  return frame.Finish();
}

absl::StatusOr<JobMessage> DecodeJobFrame(std::span<const uint8_t> frame) {
  ByteReader reader(frame);
  ASSIGN_OR_RETURN(const uint8_t kind, reader.Read<uint8_t>());
  ASSIGN_OR_RETURN(JobMessage message, ReadFields(kind, reader));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return message;
}

}  // namespace fleetune
