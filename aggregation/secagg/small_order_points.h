#pragma once

// The points of X25519 under which everybody agrees on zero, for tests (Bernstein's list; RFC 7748, section 6.1).

#include <vector>

#include "aggregation/secagg/advertise.h"
#include "base/digest.h"

namespace fleetune::secagg {

// With the topmost bit clear and set, which says nothing (RFC 7748, section 5).
inline std::vector<PublicKey> SmallOrderPoints() {
  std::vector<PublicKey> points;
  for (const char* hex : {
           "0000000000000000000000000000000000000000000000000000000000000000",  // 0
           "0100000000000000000000000000000000000000000000000000000000000000",  // 1
           "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",  // of order 8
           "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",  // of order 8
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  // p - 1
           "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  // p, which is 0
           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  // p + 1, which is 1
       }) {
    points.push_back(Digest::FromHex(hex).value().bytes);
    points.push_back(points.back());
    points.back()[31] |= 0x80;
  }
  return points;
}

}  // namespace fleetune::secagg
