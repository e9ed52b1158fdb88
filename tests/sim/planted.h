#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "aggregation/encode/ring.h"
#include "aggregation/secagg/session_event.h"
#include "base/bytes.h"
#include "tests/support/memory_fleet_store.h"

namespace fleetune {

// Bugs that a CellWorld may have, at the border between it and the code: a run with one must be caught.
enum class Planted : uint8_t {
  kNothing,
  kForgottenInput,  // the store keeps an input's sum, but not its event, and says that the write failed
  kAddedTwice,      // an input is added to the sum twice
  kOlderSave,       // devices come back from the save of when they had masked their input
  kSmallerView,     // the log loses an input's event when the coordinator restarts
  kWrongSign,       // a device takes the mask of an edge with the wrong sign
};
std::string_view NameOf(Planted planted);

// Makes `event` one that changes nothing, so that the log keeps its length.
void Forget(Bytes& event);
bool IsCommitted(const Bytes& event);

// Takes the event of the last input out of the log of a cell whose view is fixed. False if there is none.
bool ShrinkView(MemoryFleetStore::Tables& tables);

// What a masked input would be if the mask with one of the device's neighbours had the wrong sign. `saved`: its
// session; `roster`: the message that it heard.
Bytes WithWrongSign(std::span<const uint8_t> saved, std::span<const uint8_t> roster, const Bytes& masked);

}  // namespace fleetune
