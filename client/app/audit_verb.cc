#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/app/print.h"
#include "client/app/verbs.h"
#include "client/data/audit_log.h"

namespace fleetune {
namespace {

const char* DirectionName(AuditDirection direction) {
  switch (direction) {
    case AuditDirection::kLeft: return "left";
    case AuditDirection::kCame: return "came";
    case AuditDirection::kLocal: return "local";
  }
  return "local";
}

absl::Status PrintVerified(DeviceAuditLog& audit, bool as_json) {
  ASSIGN_OR_RETURN(Digest head, audit.Verify());
  if (as_json) {
    PrintJson({{"intact", true}, {"head", head.ToHex()}});
  } else {
    PrintLine("the audit log is intact; its head is " + head.ToHex());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AuditVerb(const VerbContext& context, uint32_t entries, bool verify) {
  ASSIGN_OR_RETURN(DeviceAuditLog audit, DeviceAuditLog::Open(context.folder.root));
  if (verify) return PrintVerified(audit, context.json);
  ASSIGN_OR_RETURN(std::vector<AuditEntry> last, audit.ReadLast(entries));
  nlohmann::json list = nlohmann::json::array();
  for (const AuditEntry& entry : last) {
    if (!context.json) {
      const std::string bytes = entry.bytes == 0 ? "" : fmt::format(" [{} bytes {}]", entry.bytes,
                                                                     DirectionName(entry.direction));
      PrintLine(fmt::format("{:>5}  {}  {}{}", entry.sequence, FormatTime(entry.time), entry.text, bytes));
    }
    list.push_back({{"sequence", entry.sequence},
                    {"time", ToMillis(entry.time)},
                    {"direction", DirectionName(entry.direction)},
                    {"bytes", entry.bytes},
                    {"text", entry.text}});
  }
  if (context.json) PrintJson({{"entries", list}});
  if (!context.json && last.empty()) PrintLine("nothing has left this device, and nothing came");
  return absl::OkStatus();
}

}  // namespace fleetune
