#include "coordinator/app/serve.h"

#include <signal.h>

#include <atomic>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/clock.h"
#include "base/crypto/random.h"
#include "base/status_macros.h"
#include "base/strand.h"
#include "coordinator/app/adapter_files.h"
#include "coordinator/app/backup_folder.h"
#include "coordinator/app/coordinator_folder.h"
#include "coordinator/app/model_folder.h"
#include "coordinator/app/private_files.h"
#include "coordinator/app/server_certificate.h"
#include "coordinator/app/unmask_threads.h"
#include "coordinator/rpc/log_fields.h"
#include "coordinator/rpc/server.h"
#include "coordinator/store/sqlite_fleet_store.h"

namespace fleetune {
namespace {

constexpr size_t kMaxPendingCalls = 4096;
constexpr size_t kMaxPendingDiskCalls = 1024;
constexpr auto kShutdownPatience = std::chrono::seconds(5);
constexpr auto kCertificateCheckEvery = std::chrono::hours(1);

// One JSON object a line, in UTC, on standard error.
std::shared_ptr<spdlog::logger> MakeLog(const std::string& level) {
  auto log = std::make_shared<spdlog::logger>("coordinator", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  log->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})", spdlog::pattern_time_type::utc));
  log->set_level(spdlog::level::from_str(level));
  log->flush_on(spdlog::level::debug);
  return log;
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// False when it is time to end; true about once a second.
bool WaitASecond(const sigset_t& stop_signals) {
  const timespec second{.tv_sec = 1, .tv_nsec = 0};
  return sigtimedwait(&stop_signals, nullptr, &second) < 0;
}

std::string HostOf(const std::string& listen) { return listen.substr(0, listen.rfind(':')); }

std::string WithPort(const std::string& host, int port) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return bare_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

// Tells people and programs where the coordinator is.
absl::Status Announce(const CoordinatorFolder& folder, const std::string& listen, int port) {
  const std::string address = WithPort(HostOf(listen), port);
  ASSIGN_OR_RETURN(const std::string hosts, ReadTextFile(folder.hosts(), 64 * 1024));
  const std::vector<std::string> names = SplitLines(hosts);
  const std::string& name = names.empty() ? HostOf(listen) : names[0];
  std::error_code error;
  if (std::filesystem::exists(folder.admin(), error)) {
    RETURN_IF_ERROR(WritePrivateFile(folder.admin() + "/address", WithPort(name, port) + "\n"));
  }
  RETURN_IF_ERROR(WritePrivateFile(folder.listening(), address + "\n"));
  std::printf("listening on %s\n", address.c_str());
  std::fflush(stdout);
  return absl::OkStatus();
}

// Ends rounds whose deadline has passed, about once a second.
class Heartbeat {
 public:
  Heartbeat(Fleet* fleet, spdlog::logger* log) : fleet_(fleet), log_(log) {}

  // Must outlive `strand`.
  void Tick(Strand& strand) {
    if (pending_.exchange(true)) return;  // the last one still waits
    const bool posted = strand.Post([this] {
      if (absl::Status ticked = fleet_->Tick(); !ticked.ok()) {
        log_->error(LogFields({{"event", "tick"}, {"message", std::string(ticked.message())}}));
      }
      pending_ = false;
    });
    if (!posted) pending_ = false;
  }

 private:
  Fleet* const fleet_;
  spdlog::logger* const log_;
  std::atomic<bool> pending_ = false;
};

void KeepCertificateFresh(const CoordinatorFolder& folder, const CertificateAuthority& authority, TimePoint now,
                          spdlog::logger& log) {
  const absl::StatusOr<bool> renewed = RenewServerCertificate(folder, authority, now);
  if (!renewed.ok()) {
    log.error(LogFields({{"event", "certificate"}, {"message", std::string(renewed.status().message())}}));
  } else if (*renewed) {
    log.info(LogFields({{"event", "certificate"}, {"message", "the server's certificate was renewed"}}));
  }
}

}  // namespace

absl::Status Serve(const ServeOptions& options) {
  const sigset_t stop_signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);
  AllowOnlyTls13();
  KeepGrpcQuiet();

  const CoordinatorFolder folder{options.root};
  ASSIGN_OR_RETURN(const CoordinatorKeys keys, LoadKeys(folder));
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(folder.lock()));
  const std::shared_ptr<spdlog::logger> log = MakeLog(options.log_level);
  const SystemClock clock;
  SecureRandom random;
  KeepCertificateFresh(folder, keys.authority, clock.Now(), *log);

  ASSIGN_OR_RETURN(const std::unique_ptr<SqliteFleetStore> store, SqliteFleetStore::Open(folder.database()));
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelFolder> models, ModelFolder::Open(folder.models()));
  UnmaskThreads unmask_threads;
  ASSIGN_OR_RETURN(const std::unique_ptr<Fleet> fleet, Fleet::Open({.store = store.get(),
                                                                    .clock = &clock,
                                                                    .random = &random,
                                                                    .authority = &keys.authority,
                                                                    .release_key = &keys.release_key,
                                                                    .parallel = &unmask_threads}));
  const AdapterFiles exporter(folder.exports());
  BackupFolder backups(folder.backups(), store.get(), &clock);
  ASSIGN_OR_RETURN(const Digest ca_fingerprint, CertificateFingerprint(keys.authority.pem().certificate_pem));

  // Ends in the opposite order: the server first, then what its calls use.
  Heartbeat heartbeat(fleet.get(), log.get());
  Strand disk_strand(kMaxPendingDiskCalls);
  Strand fleet_strand(kMaxPendingCalls);
  const ServicePorts ports{.fleet = fleet.get(),
                           .fleet_strand = &fleet_strand,
                           .disk_strand = &disk_strand,
                           .clock = &clock,
                           .models = models.get(),
                           .exporter = &exporter,
                           .backups = &backups,
                           .log = log.get(),
                           .ca_certificate = keys.authority.pem().certificate_pem,
                           .ca_fingerprint = ca_fingerprint,
                           .release_key = keys.release_key.verify_key().raw(),
                           .software_version = kSoftwareVersion,
                           .started = clock.Now()};
  ASSIGN_OR_RETURN(const std::unique_ptr<CoordinatorServer> server,
                   CoordinatorServer::Start({.listen = options.listen,
                                             .key_path = folder.server_key(),
                                             .certificate_path = folder.server_certificate(),
                                             .ca_path = folder.ca_certificate()},
                                            ports));
  RETURN_IF_ERROR(Announce(folder, options.listen, server->port()));
  log->info(LogFields({{"event", "started"}, {"version", kSoftwareVersion}, {"port", int64_t{server->port()}}}));

  TimePoint certificate_checked = clock.Now();
  while (WaitASecond(stop_signals)) {
    heartbeat.Tick(fleet_strand);
    if (clock.Now() - certificate_checked > kCertificateCheckEvery) {
      certificate_checked = clock.Now();
      KeepCertificateFresh(folder, keys.authority, certificate_checked, *log);
    }
  }
  log->info(LogFields({{"event", "stopping"}}));
  server->Shutdown(kShutdownPatience);
  return absl::OkStatus();
}

}  // namespace fleetune
