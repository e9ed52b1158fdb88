#pragma once

#include "lora/plan/product_type.h"

namespace fleetune {

// Lets the threads of trainings run once (SetTrainingThreads says how many), so that what LibTorch, OpenMP, OpenBLAS and
// oneDNN start and reserve for them is there when it returns: a limit of memory that is set then strikes at tensors, whose
// owners hear of it, and not at these libraries, which do not all survive it. Takes milliseconds.
void StartTrainingThreads(ProductType products);

}  // namespace fleetune
