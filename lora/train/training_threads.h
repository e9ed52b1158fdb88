#pragma once

#include <cstdint>

#include "lora/plan/product_type.h"

namespace fleetune {

// How many cores trainings of this process use, from now on; 0: all. LibTorch's own setting, and its matrix library's,
// so call it before the first training and from no two threads at once.
void SetTrainingThreads(uint32_t threads);

// Lets the threads of trainings run once (SetTrainingThreads says how many), so that what LibTorch, OpenMP, OpenBLAS and
// oneDNN start and reserve for them is there when it returns: a limit of memory that is set then strikes at tensors, whose
// owners hear of it, and not at these libraries, which do not all survive it. Takes milliseconds.
void StartTrainingThreads(ProductType products);

}  // namespace fleetune
