#pragma once

#include "tests/bench/channel.h"
#include "tests/bench/session_setup.h"

namespace fleetune::bench {

// What a device spent, in seconds of processor time: the mean over all that finish. As bytes on the channel.
struct ClientSeconds {
  double join = 0;    // keys and the advertisement
  double roster = 0;  // neighbours' certificates and signatures; the own shares, sealed
  double shares = 0;  // neighbours' shares, opened
  double mask = 0;    // key agreements and masks of the whole input
  double view = 0;    // profile M
  double unmask = 0;  // in M with the neighbours' signatures
};

// All devices of a session, with certificates of a real CA and all their messages and inputs: what the child process
// runs. In order, over the channel:
//   -> the CA's certificate, then name and identity key of each device
//   <- the config;           -> advertisements
//   then by batches of kBatchDevices, for those that still take part:
//   <- rosters;              -> shares
//   <- neighbours' shares;   -> masked inputs, raw, of those that do not drop out
//   <- views;                -> signatures (profile M)
//   <- unmask requests;      -> released shares
//   -> SHA-256 of the sum of inputs, as ring elements of 32 bits; ClientSeconds
void RunClients(const SessionSetup& setup, Channel& channel);

}  // namespace fleetune::bench
