#pragma once

#include "base/digest.h"
#include "coordinator/core/fleet_types.h"

namespace fleetune {

// The audit log is a hash chain: each record's hash covers the hash before it and what the record says, so no
// record can be changed, left out or put in between without all later hashes changing. Cutting off the end shows
// only against a hash that was noted elsewhere.
//
// SHA-256 over: `before` (zero for the first), sequence (u64), milliseconds (i64), then actor, action and detail,
// each with its length (u32); little-endian.
Digest AuditHash(const Digest& before, const AuditRecord& record);

}  // namespace fleetune
