#include "tools/model/serving_bench.h"

#include <chrono>
#include <functional>
#include <thread>

#include "base/status_macros.h"
#include "inference/kernels/machine_rates.h"
#include "inference/runtime/answer_scheduler.h"
#include "tools/model/median.h"

namespace fleetune {
namespace {

using Answerer = std::function<absl::StatusOr<Generated>(const AnswerRequest&, AnswerReader&)>;

class SilentReader final : public AnswerReader {
 public:
  void Read(std::string_view /*text*/, std::span<const ChosenToken> /*tokens*/) override {}
};

AnswerRequest RequestOf(uint32_t stream, const LlamaShape& shape, const ServingBenchOptions& options) {
  AnswerRequest request = {.options = {.max_tokens = options.gen, .seed = stream, .draft_tokens = 0}};
  for (uint32_t i = 0; i < options.prompt; ++i) {
    request.prompt.push_back(static_cast<int32_t>((stream * 104'729 + i * 7919) % shape.vocabulary));
  }
  if (!options.adapters.empty()) request.adapter = options.adapters[stream % options.adapters.size()];
  return request;
}

// Tokens a second by the clock, and by the processor time of all threads.
struct Speed {
  double wall = 0;
  double processor = 0;
};

absl::StatusOr<Speed> Measure(uint32_t streams, const LlamaShape& shape, const ServingBenchOptions& options,
                              const Answerer& answer) {
  std::vector<absl::StatusOr<Generated>> answers(streams);
  std::vector<std::thread> threads;
  const auto begin = std::chrono::steady_clock::now();
  const double processor_begin = ProcessorSeconds();
  for (uint32_t stream = 0; stream < streams; ++stream) {
    threads.emplace_back([&, stream] {
      SilentReader reader;
      answers[stream] = answer(RequestOf(stream, shape, options), reader);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const double processor_seconds = ProcessorSeconds() - processor_begin;
  double tokens = 0;
  for (const absl::StatusOr<Generated>& one : answers) {
    if (!one.ok()) return one.status();
    tokens += one->answer_tokens;
  }
  return Speed{.wall = tokens / seconds.count(), .processor = tokens / processor_seconds};
}

}  // namespace

absl::StatusOr<nlohmann::ordered_json> MeasureServing(const std::shared_ptr<const Generator>& generator,
                                                      const ServingBenchOptions& options) {
  const LlamaShape& shape = generator->model()->shape();
  AnswerScheduler scheduler(generator);
  const Answerer together = [&](const AnswerRequest& request, AnswerReader& reader) {
    return scheduler.Answer(request, reader);
  };
  const Answerer side_by_side = [&](const AnswerRequest& request, AnswerReader& reader) {
    return generator->Answer(request, reader);
  };
  nlohmann::ordered_json figures = nlohmann::ordered_json::array();
  for (const uint32_t streams : options.streams) {
    std::vector<double> wall[2], processor[2];
    for (uint32_t i = 0; i < options.repeat; ++i) {  // in turn, as the machine's other work changes
      for (const size_t way : {0u, 1u}) {
        ASSIGN_OR_RETURN(const Speed speed, Measure(streams, shape, options, way == 0 ? together : side_by_side));
        wall[way].push_back(speed.wall);
        processor[way].push_back(speed.processor);
      }
    }
    figures.push_back({{"streams", streams},
                       {"together_tokens_per_second", Median(wall[0])},
                       {"side_by_side_tokens_per_second", Median(wall[1])},
                       {"together_tokens_per_second_of_processor_time", Median(processor[0])},
                       {"side_by_side_tokens_per_second_of_processor_time", Median(processor[1])}});
  }
  return figures;
}

}  // namespace fleetune
