#pragma once

#include <map>
#include <string>
#include <vector>

#include "lora/formats/lora_pair.h"
#include "tools/model/rewrite_model.h"

namespace fleetune {

// What folds an adapter into its base, by the tensor that changes: row r of W becomes that of W + s B A; of a DoRA module
// that of m (W + s B A) / ||W + s B A||, the norm being row r's. In double; the result is rounded once, to f32, before it is
// encoded. The changes give InvalidArgument for a DoRA row whose norm is 0.
// Requires pairs whose sizes fit the base, none twice; checked.
std::map<std::string, RowChange> MergeRows(std::vector<LoraPair> pairs);

}  // namespace fleetune
