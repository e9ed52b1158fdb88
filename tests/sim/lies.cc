#include "tests/sim/lies.h"

#include "aggregation/secagg/roster.h"
#include "aggregation/secagg/unmask.h"
#include "aggregation/secagg/view.h"

namespace fleetune {
namespace {

using secagg::Bitmap;

Bitmap Without(const Bitmap& set, uint32_t position) {
  Bitmap result(set.size());
  for (uint32_t i = 0; i < set.size(); ++i) {
    if (i != position && set.Has(i)) result.Add(i);
  }
  return result;
}

}  // namespace

std::vector<Bytes> LiesAbout(const secagg::ClientSession& session, const std::string& device,
                             const SeenMessages& seen) {
  const auto roster = secagg::ParseRosterMessage(seen.roster, session.config_hash());
  if (!roster.ok()) return {};
  const auto topology = secagg::MakeTopology(session.config(), session.config_hash(), roster->roster);
  if (!topology.ok()) return {};
  const std::vector<uint32_t> seats = topology->graph.NeighboursOf(*secagg::SeatOf(roster->roster, device));
  auto request =
      secagg::ParseUnmaskRequest(seen.unmask_request, topology->session, static_cast<uint32_t>(roster->roster.size()),
                                 static_cast<uint32_t>(seats.size()));
  if (!request.ok()) return {};
  for (uint32_t i = 0; i < seats.size(); ++i) {
    if (!request->alive.Has(i)) continue;
    uint32_t voucher = 0;
    for (uint32_t j = 0; j < i; ++j) voucher += request->vouching.Has(j) ? 1 : 0;
    if (request->vouching.Has(i)) request->signatures.erase(request->signatures.begin() + voucher);
    request->vouching = Without(request->vouching, i);
    request->survivors = Without(request->survivors, seats[i]);
    uint32_t list = 0;
    for (uint32_t j = 0; j < i; ++j) list += request->alive.Has(j) ? 1 : 0;
    if (!request->inclusions.empty()) request->inclusions.erase(request->inclusions.begin() + list);
    if (request->signatures.empty()) request->inclusions.clear();
    request->alive = Without(request->alive, i);
    request->dropped.Add(i);
    std::vector<Bytes> lies;
    if (!seen.view.empty()) lies.push_back(secagg::EncodeView(request->survivors, topology->session));
    lies.push_back(secagg::EncodeUnmaskRequest(*request, topology->session));
    return lies;
  }
  return {};
}

}  // namespace fleetune
