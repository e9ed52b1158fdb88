#include "tests/bench/cases.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "base/crypto/mask_stream.h"
#include "fmt/format.h"
#include "tests/bench/kernel_figures.h"

namespace fleetune::bench {
namespace {

std::optional<double> Find(const Figures& figures, std::string_view group, std::string_view name) {
  const auto found = std::ranges::find_if(
      figures, [&](const Figure& figure) { return figure.group == group && figure.name == name; });
  if (found == figures.end()) return std::nullopt;
  return found->value;
}

}  // namespace

nlohmann::ordered_json CasesOf(const Figures& figures) {
  nlohmann::ordered_json cases = nlohmann::ordered_json::array();
  for (const char* const profile : {"H", "M"}) {
    const std::string session = fmt::format("session, profile {}", profile);
    const std::optional<double> lane_bits = Find(figures, session, "bits of a lane");
    if (!lane_bits.has_value()) continue;
    for (const MaskKernel kernel : {MaskKernel::kEvp, MaskKernel::kVaes512}) {
      if (!IsSupported(kernel)) continue;
      nlohmann::ordered_json& out = cases.emplace_back();
      const auto put = [&](const char* key, std::string_view group, const std::string& name, double scale = 1) {
        if (const std::optional<double> value = Find(figures, group, name)) out[key] = *value * scale;
      };
      out["profile"] = profile;
      put("n", session, "devices");
      put("d", session, "elements");
      out["lane_bits"] = *lane_bits;
      out["kernel"] = NameOf(kernel);
      const int bits = static_cast<int>(*lane_bits);
      put("unmask_to_keystream", fmt::format("masks, {}, one thread", NameOf(kernel)),
          fmt::format("unmasking, {} bits / keystream", bits == 16 ? 16 : 32));
      put("ingest_to_memcpy", fmt::format("ingest, lanes of {} bits, one thread", bits), "adding / memcpy");
      put("protocol_to_input_bytes", session, "client: bytes up and down / input");
      put("client_bytes_up", session, "client: bytes up");
      if (kernel != BestMaskKernel()) continue;
      put("server_to_bound", session, "server: all phases / keystream alone");
      put("client_cpu_seconds", session, "client: all");
      put("server_cpu_seconds", session, "server: all phases, all threads");
      put("server_peak_rss_bytes", session, "server: peak RSS", 1e6);
    }
  }
  return cases;
}

}  // namespace fleetune::bench
