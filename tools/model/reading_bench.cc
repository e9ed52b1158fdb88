#include "tools/model/reading_bench.h"

#include <chrono>
#include <vector>

#include "base/status_macros.h"
#include "inference/kernels/machine_rates.h"
#include "inference/kernels/workers.h"
#include "tools/model/median.h"

namespace fleetune {
namespace {

// Time spent, by the clock and by processors.
class Stopwatch {
 public:
  template <typename Work>
  absl::Status Time(Work work) {
    const auto wall = std::chrono::steady_clock::now();
    const double processor = ProcessorSeconds();
    RETURN_IF_ERROR(work());
    processor_ += ProcessorSeconds() - processor;
    wall_ += std::chrono::steady_clock::now() - wall;
    return absl::OkStatus();
  }
  ReadingSpeed Of(double tokens, double threads) const {
    return {.wall = tokens / wall_.count(), .processor = tokens * threads / processor_};
  }

 private:
  std::chrono::duration<double> wall_{};
  double processor_ = 0;
};

// A sequence being read. Which tokens does not matter to the time, so none is chosen.
class Reader {
 public:
  Reader(std::unique_ptr<Sequence> sequence, uint32_t vocabulary) : sequence_(std::move(sequence)), logits_(vocabulary) {}

  absl::Status Prefill(std::span<const int32_t> prompt) {
    return prefill_.Time([&] { return sequence_->Append(prompt, logits_); });
  }
  absl::Status Decode(int32_t token) {
    return decode_.Time([&] { return sequence_->Append({&token, 1}, logits_); });
  }
  const Stopwatch& prefill() const { return prefill_; }
  const Stopwatch& decode() const { return decode_; }

 private:
  std::unique_ptr<Sequence> sequence_;
  std::vector<float> logits_;
  Stopwatch prefill_, decode_;
};

// One for each adapter, token by token in turns.
absl::StatusOr<std::vector<Reader>> ReadInTurns(const std::shared_ptr<const Model>& model, const ReadingBenchOptions& options,
                                                std::span<const std::shared_ptr<const Adapter>> adapters) {
  const uint32_t vocabulary = model->shape().vocabulary;
  std::vector<int32_t> tokens(options.prompt + options.gen);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 7919 % vocabulary);
  std::vector<Reader> readers;
  for (const std::shared_ptr<const Adapter>& adapter : adapters) {
    ASSIGN_OR_RETURN(std::unique_ptr<Sequence> sequence, Sequence::Start(model, adapter, options.prompt + options.gen));
    readers.emplace_back(std::move(sequence), vocabulary);
  }
  const auto prompt = std::span<const int32_t>(tokens).first(options.prompt);
  for (Reader& reader : readers) RETURN_IF_ERROR(reader.Prefill(prompt));
  for (const int32_t token : std::span(tokens).subspan(options.prompt)) {
    for (Reader& reader : readers) RETURN_IF_ERROR(reader.Decode(token));
  }
  return readers;
}

ReadingSpeed MedianOf(const std::vector<ReadingSpeed>& speeds) {
  std::vector<double> wall, processor;
  for (const ReadingSpeed& speed : speeds) {
    wall.push_back(speed.wall);
    processor.push_back(speed.processor);
  }
  return {.wall = Median(wall), .processor = Median(processor)};
}

}  // namespace

absl::StatusOr<ReadingSpeeds> MeasureReading(const std::shared_ptr<const Model>& model, const ReadingBenchOptions& options) {
  const Compute compute = model->compute();
  const double threads = compute.workers == nullptr ? 1 : static_cast<double>(compute.workers->threads());
  std::vector<std::shared_ptr<const Adapter>> adapters = {options.adapter};
  if (options.adapter != nullptr) adapters.push_back(nullptr);
  std::vector<ReadingSpeed> prefill, decode;
  std::vector<double> of_prefill, of_decode;
  for (uint32_t i = 0; i < options.repeat; ++i) {
    ASSIGN_OR_RETURN(const std::vector<Reader> readers, ReadInTurns(model, options, adapters));
    prefill.push_back(readers[0].prefill().Of(options.prompt, threads));
    decode.push_back(readers[0].decode().Of(options.gen, threads));
    const ReadingSpeed base_prefill = readers.back().prefill().Of(options.prompt, threads);
    const ReadingSpeed base_decode = readers.back().decode().Of(options.gen, threads);
    of_prefill.push_back(1 - prefill.back().processor / base_prefill.processor);
    of_decode.push_back(1 - decode.back().processor / base_decode.processor);
  }
  return ReadingSpeeds{.prefill = MedianOf(prefill),
                       .decode = MedianOf(decode),
                       .adapter_share_of_prefill = Median(of_prefill),
                       .adapter_share_of_decode = Median(of_decode)};
}

}  // namespace fleetune
