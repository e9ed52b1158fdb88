#pragma once

// CHECK(condition): a bug of ours when false. Prints file, line and condition,
// then aborts; also in release. Never for input from outside.

namespace fleetune {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace fleetune

#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) ::fleetune::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
