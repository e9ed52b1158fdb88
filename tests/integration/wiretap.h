#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace fleetune {

// Who the wiretap says it is to each end. Paths of PEM files; both secrets are the test's own.
struct WiretapKeys {
  std::string server_key;          // the coordinator's, shown to the device
  std::string server_certificate;
  std::string device_key;          // the device's, shown to the coordinator
  std::string device_certificate;
};

// Stands between one device and the coordinator on the loopback wire and strips TLS: holds the keys of both, reads what
// the device sends, and passes it on under TLS of its own. What attackers would see if TLS were no help at all.
class Wiretap {
 public:
  // Gets each run of bytes that the device sends, with the number of its connection; whole lines of talk come in
  // pieces. False cuts the wire for good, before those bytes are passed on. Called by several threads, one at a time.
  using Listener = std::function<bool(int connection, std::span<const uint8_t> bytes)>;

  // Listens on a free port of 127.0.0.1 until it goes out of scope.
  Wiretap(WiretapKeys keys, uint16_t coordinator_port, Listener listener);
  ~Wiretap();
  Wiretap(const Wiretap&) = delete;
  Wiretap& operator=(const Wiretap&) = delete;

  uint16_t port() const { return port_; }
  bool cut() const { return cut_; }

 private:
  struct Contexts;

  void Accept();
  void Serve(int connection, int device);
  bool Heard(int connection, std::span<const uint8_t> bytes);
  bool Keep(int socket);  // so that the end can wake who waits on it; false if the wire is cut
  void Drop(int socket);
  void Cut();

  const std::unique_ptr<Contexts> contexts_;
  const uint16_t coordinator_port_;
  const Listener listener_;
  uint16_t port_ = 0;
  int listening_ = -1;
  std::atomic<bool> cut_ = false;
  std::mutex mutex_;  // of the listener and of what follows
  std::set<int> sockets_;
  std::vector<std::thread> connections_;
  std::thread accepting_;
};

}  // namespace fleetune
