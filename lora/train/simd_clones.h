#pragma once

// Compiles a loop once for each vector width that this family of processors may have; the widest that the machine can
// run is picked when the program starts. Bits may differ between widths, so not for code that must agree between
// machines. Clang and other processors compile it once.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define FLEETUNE_SIMD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FLEETUNE_SIMD_CLONES
#endif
