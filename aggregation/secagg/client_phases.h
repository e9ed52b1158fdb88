#pragma once

// One device's session in each of its phases, and what it heard to get there, for tests.

#include <map>
#include <vector>

#include "aggregation/secagg/lying_coordinator.h"

namespace fleetune::secagg {

struct ClientPhases {
  explicit ClientPhases(Profile profile, uint32_t count = 5) : session(TestConfig(count, profile), count) {
    Note();
    session.Advertise();
    roster = session.MessageFor(0).value();
    shares_answer = session.clients[0].OnRoster(roster, ReadTestCertificate, session.random).value();
    Note();
    session.ShareKeys();
    shares = session.MessageFor(0).value();
    CHECK(session.clients[0].OnShares(shares).ok());
    Note();
    masked = session.clients[0].Mask(session.inputs[0]).value();
    Note();
    session.MaskInputs();
    if (profile == Profile::kMalicious) {
      view = session.MessageFor(0).value();
      view_answer = session.clients[0].OnView(view).value();
      Note();
      session.SignViews();
    }
    request = session.MessageFor(0).value();
    request_answer = session.clients[0].OnUnmaskRequest(request).value();
    Note();
  }
  ClientSession In(ClientPhase phase) const {
    return ClientSession::Load(session.devices[0]->identity(), session.policy, saved.at(phase)).value();
  }

  SessionFixture session;
  std::map<ClientPhase, Bytes> saved;
  Bytes roster;
  Bytes shares_answer;
  Bytes shares;
  Bytes masked;
  Bytes view;  // profile M
  Bytes view_answer;
  Bytes request;
  Bytes request_answer;

 private:
  void Note() { saved[session.clients[0].phase()] = session.clients[0].Save(); }
};

}  // namespace fleetune::secagg
