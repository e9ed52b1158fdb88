#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace fleetune {

// The gRPC messages that a client sends, out of the plain bytes of its HTTP/2 connections (RFC 9113, and gRPC's
// "gRPC over HTTP2"): data frames are joined by stream and cut at each message's length. Headers are skipped, so
// nobody says which call a message belongs to. Trusts its input; of compressed messages nothing comes.
class Http2Messages {
 public:
  // The next bytes of a connection; gives the messages that end in them.
  std::vector<Bytes> Add(int connection, std::span<const uint8_t> bytes);

 private:
  struct Connection {
    bool greeted = false;  // the preface has passed
    Bytes rest;            // of a frame that is not whole yet
    std::map<uint32_t, Bytes> streams;
  };
  std::map<int, Connection> connections_;
};

}  // namespace fleetune
