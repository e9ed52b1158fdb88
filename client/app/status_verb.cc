#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/app/daemon_lock.h"
#include "client/app/identity.h"
#include "client/app/personal_facts.h"
#include "client/app/print.h"
#include "client/app/privacy_words.h"
#include "client/app/serving_facts.h"
#include "client/app/settings.h"
#include "client/app/state_store.h"
#include "client/app/verbs.h"
#include "client/core/privacy_books.h"
#include "client/data/example_store.h"
#include "client/update/adapter_shelf.h"

namespace fleetune {
namespace {

using nlohmann::json;

json TasksOf(const DeviceFolder& folder) {
  json tasks = json::array();
  for (const StoredVersion& stored : AdapterShelf(folder.adapters()).Serving()) {
    tasks.push_back({{"task", stored.version.task},
                     {"version", stored.version.version},
                     {"hash", stored.version.hash.ToHex()},
                     {"base", stored.base.ToHex()},
                     {"rank", stored.rank}});
  }
  return tasks;
}

json RoundOf(const DeviceState& state) {
  if (state.pending.has_value()) {
    const PendingUpdate& pending = *state.pending;
    json round = {{"round", pending.order.round},
                  {"task", pending.order.task},
                  {"state", "uploading"},
                  {"bytes", pending.size},
                  {"examples", pending.examples}};
    if (pending.seat.has_value()) {
      round["state"] = "averaging in cell " + pending.seat->cell;
      round["cell"] = pending.seat->cell;
    }
    return round;
  }
  if (state.work.has_value()) {
    return {{"round", state.work->order.round},
            {"task", state.work->order.task},
            {"state", "working"},
            {"attempts", state.work->attempts}};
  }
  return nullptr;
}

json SpentJson(const PrivacySpent& spent, const PrivacyLimit& limit) {
  return {{"epsilon", spent.epsilon},
          {"limit", limit.epsilon},
          {"delta", limit.delta},
          {"cells", spent.cells},
          {"words", SpentWords(spent, limit)}};
}

absl::StatusOr<json> UpdatesOf(StateStore& store) {
  ASSIGN_OR_RETURN(std::vector<TaskPrivacy> tasks, store.ReadTasks());
  ASSIGN_OR_RETURN(const std::vector<PrivacyCharge> charges, store.Charges());
  json updates = json::array();
  for (const TaskPrivacy& task : tasks) {
    updates.push_back({{"task", task.task},
                       {"masked", task.secure.mode != SecureMode::kOff},
                       {"noise_multiplier", task.privacy.noise_multiplier},
                       {"words", MaskWords(task.secure) + "; " + NoiseWords(task.privacy)},
                       {"spent", nullptr}});
    if (!task.privacy.on()) continue;
    const PrivacyLimit limit{.epsilon = task.privacy.device_epsilon_limit, .delta = task.privacy.delta};
    ASSIGN_OR_RETURN(const PrivacySpent spent, SpentOn(limit, charges, task.task));
    updates.back()["spent"] = SpentJson(spent, limit);
  }
  return updates;
}

absl::StatusOr<json> SpentOf(StateStore& store, const PrivacyLimit& limit) {
  ASSIGN_OR_RETURN(std::vector<PrivacyCharge> charges, store.Charges());
  ASSIGN_OR_RETURN(const PrivacySpent spent, SpentOn(limit, std::move(charges)));
  return SpentJson(spent, limit);
}

json PolicyOf(const PrivacyPolicy& policy) {
  const secagg::SessionPolicy& session = policy.session;
  return {{"min_cohort", session.min_cohort},
          {"min_survivors", session.min_survivors},
          {"min_threshold", session.min_threshold},
          {"min_adversarial", session.min_adversarial},
          {"max_corruption", session.max_corruption},
          {"malicious_profile_only", session.malicious_profile_only},
          {"refuse_unmasked", policy.refuse_unmasked},
          {"min_noise_multiplier", session.min_noise_multiplier},
          {"words", PolicyWords(policy)}};
}

absl::StatusOr<json> ExamplesOf(const DeviceFolder& folder) {
  const SystemClock clock;
  ASSIGN_OR_RETURN(ExampleStore store, ExampleStore::Open(folder.root, clock));
  ASSIGN_OR_RETURN(std::vector<TagStats> stats, store.Stats());
  json examples = json::array();
  for (const TagStats& tag : stats) examples.push_back({{"tag", tag.tag}, {"examples", tag.examples}});
  return examples;
}

absl::StatusOr<json> Gather(const DeviceFolder& folder) {
  ASSIGN_OR_RETURN(DeviceIdentity identity, LoadIdentity(folder));
  ASSIGN_OR_RETURN(ClientSettings settings, LoadSettings(folder.settings()));
  ASSIGN_OR_RETURN(DeviceBudget budget, BudgetOf(settings, identity.profile));
  ASSIGN_OR_RETURN(StateStore store, StateStore::Open(folder.state()));
  ASSIGN_OR_RETURN(DeviceState state, store.Load());
  ASSIGN_OR_RETURN(Heartbeat heartbeat, store.ReadHeartbeat());
  ASSIGN_OR_RETURN(bool paused, store.IsPaused());
  ASSIGN_OR_RETURN(const std::optional<ServingRecord> serving, store.ReadServing());
  ASSIGN_OR_RETURN(json examples, ExamplesOf(folder));
  ASSIGN_OR_RETURN(json updates, UpdatesOf(store));
  ASSIGN_OR_RETURN(json spent, SpentOf(store, settings.privacy.limit));
  const bool running = DaemonLock::IsHeld(folder.lock());
  return json{{"device_id", identity.device_id},
              {"name", identity.name},
              {"coordinator", fmt::format("{}:{}", identity.host, identity.port)},
              {"profile", budget.profile},
              {"memory_megabytes", budget.memory_bytes / 1'000'000},
              {"answer_milliseconds", budget.answer_time.count()},
              {"running", running},
              {"paused", paused},
              {"phase", running ? heartbeat.phase : "stopped"},
              {"detail", running ? heartbeat.detail : ""},
              {"last_check_in", ToMillis(heartbeat.last_check_in)},
              {"next_check_in", ToMillis(heartbeat.next_check_in)},
              {"tasks", TasksOf(folder)},
              {"personal", PersonalFacts(folder)},
              {"serving", running && serving.has_value() ? ServingFacts(*serving, budget) : json(nullptr)},
              {"round", RoundOf(state)},
              {"updates", updates},
              {"privacy", PolicyOf(settings.privacy)},
              {"spent", spent},
              {"examples", examples}};
}

std::string Text(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

void PrintForPeople(const json& facts) {
  PrintLine(fmt::format("device       {} ({}) of {}", Text(facts["name"]), Text(facts["device_id"]),
                        Text(facts["coordinator"])));
  PrintLine(fmt::format("profile      {}, at most {} MB, answers within {} ms", Text(facts["profile"]),
                        Text(facts["memory_megabytes"]), Text(facts["answer_milliseconds"])));
  const std::string detail = Text(facts["detail"]);
  PrintLine(fmt::format("daemon       {}{}{}", Text(facts["phase"]), detail.empty() ? "" : ": " + detail,
                        facts["paused"].get<bool>() ? " (paused)" : ""));
  PrintLine(fmt::format("check-in     last {}", FormatTime(FromMillis(facts["last_check_in"]))));
  for (const json& task : facts["tasks"]) {
    PrintLine(fmt::format("adapter      {} version {} ({})", Text(task["task"]), Text(task["version"]),
                          Text(task["hash"]).substr(0, 16)));
  }
  for (const json& personal : facts["personal"]) {
    PrintLine(fmt::format("personal     {}", Text(personal["words"])));
  }
  if (!facts["serving"].is_null()) {
    PrintLine(fmt::format("answers      {}", Text(facts["serving"]["answer_words"])));
    PrintLine(fmt::format("memory       {}", Text(facts["serving"]["memory_words"])));
  }
  if (!facts["round"].is_null()) {
    PrintLine(fmt::format("round        {} of task {}: {}", Text(facts["round"]["round"]), Text(facts["round"]["task"]),
                          Text(facts["round"]["state"])));
  }
  for (const json& task : facts["updates"]) {
    PrintLine(fmt::format("updates      of task {}: {}", Text(task["task"]), Text(task["words"])));
    if (!task["spent"].is_null()) {
      PrintLine(fmt::format("epsilon      of task {}: {}", Text(task["task"]), Text(task["spent"]["words"])));
    }
  }
  PrintLine(fmt::format("epsilon      of all tasks: {}", Text(facts["spent"]["words"])));
  PrintLine(fmt::format("privacy      {}", Text(facts["privacy"]["words"])));
  for (const json& tag : facts["examples"]) {
    PrintLine(fmt::format("examples     {} under tag {}", Text(tag["examples"]), Text(tag["tag"])));
  }
}

}  // namespace

absl::Status StatusVerb(const VerbContext& context) {
  ASSIGN_OR_RETURN(json facts, Gather(context.folder));
  if (context.json) {
    PrintJson(facts);
  } else {
    PrintForPeople(facts);
  }
  return absl::OkStatus();
}

absl::Status PauseVerb(const VerbContext& context, bool paused) {
  RETURN_IF_ERROR(LoadIdentity(context.folder).status());
  ASSIGN_OR_RETURN(StateStore store, StateStore::Open(context.folder.state()));
  RETURN_IF_ERROR(store.SetPaused(paused));
  if (context.json) {
    PrintJson({{"paused", paused}});
  } else {
    PrintLine(paused ? "paused: the daemon neither trains nor contacts the coordinator; prompts are still answered"
                     : "resumed");
  }
  return absl::OkStatus();
}

}  // namespace fleetune
