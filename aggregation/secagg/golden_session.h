#pragma once

// A small session whose every byte is fixed, for tests and fuzz targets: five devices in profile M, of which one drops
// out after it shared.

#include <map>
#include <string>
#include <vector>

#include "aggregation/secagg/lying_coordinator.h"

namespace fleetune::secagg {

class GoldenSession {
 public:
  static constexpr uint32_t kCount = 5;
  static constexpr uint32_t kDropped = 4;

  GoldenSession() : session_(Config(), kCount) {
    Corpus("secagg_config/config", session_.server.config_bytes());
    Note();
    NoteClient();
    Answer("advertise", session_.clients[0].advertisement());
    session_.Advertise();
    Note();
    Hears("roster");
    session_.ShareKeys({0});
    Note();
    Hears("shares");
    CHECK(session_.clients[0].Mask(session_.inputs[0]).ok());
    NoteClient();
    session_.MaskInputs({kDropped});
    Note();
    Hears("view");
    session_.SignViews({0});
    Note();
    Hears("unmask_request");
    session_.Unmask({0});
    CHECK(session_.Open().value() == session_.ExpectedSum());
    servers_.push_back(session_.server);
    WriteLog();
    for (size_t i = 0; i < clients_.size(); ++i) Corpus("secagg_saved/phase" + std::to_string(i + 1), clients_[i]);
  }

  const SessionFixture& session() const { return session_; }
  // Before each phase that devices answer in, and at the end.
  const std::vector<ServerSession>& servers() const { return servers_; }
  // Device 0 as it is saved in each phase.
  const std::vector<Bytes>& clients() const { return clients_; }
  // By path below tests/fuzz/corpus.
  const std::map<std::string, Bytes>& corpus() const { return corpus_; }

 private:
  static SessionConfig Config() {
    SessionConfig config = TestConfig(kCount, Profile::kMalicious);
    config.dimension = 4;
    config.nonce.fill(1);
    config.rotation_seed.fill(2);
    config.dropout = 0.2;  // with noise one of the five may vanish, and one does
    config.noise_multiplier = 1.5;
    config.noise_delta = 1e-6;
    return config;
  }
  void Corpus(const std::string& path, const Bytes& bytes) { CHECK(corpus_.emplace(path, bytes).second); }
  void Note() { servers_.push_back(session_.server); }
  void NoteClient() { clients_.push_back(session_.clients[0].Save()); }
  // What a target reads: which state, which device, the message.
  void Answer(const std::string& name, const Bytes& message) {
    Corpus("secagg_message/" + name, message);
    Bytes input{static_cast<uint8_t>(servers_.size() - 1), 0};
    input.insert(input.end(), message.begin(), message.end());
    Corpus("secagg_server/" + name, input);
  }
  // Device 0 hears what is next, and its answer goes to the coordinator.
  void Hears(const std::string& name) {
    const Bytes message = session_.MessageFor(0).value();
    Corpus("secagg_message/" + name, message);
    Bytes input{static_cast<uint8_t>(clients_.size() - 1)};
    input.insert(input.end(), message.begin(), message.end());
    Corpus("secagg_client/" + name, input);
    const Bytes answer = Hear(session_.clients[0], message, session_.random).value();
    NoteClient();
    if (answer.empty()) return;  // to shares it is the input
    Answer("answer_to_" + name, answer);
    CHECK(session_.Deliver(0, answer).ok());
  }
  void WriteLog() {
    std::vector<SessionEvent> log{session_.server.OpenedEvent()};
    log.insert(log.end(), session_.log.begin(), session_.log.end());
    log.push_back({.kind = SessionEvent::Kind::kFailed, .body = {'w', 'h', 'y'}});
    ByteWriter whole;
    for (const SessionEvent& event : log) {
      const Bytes bytes = EncodeSessionEvent(event);
      whole.WriteBlob(bytes);
      corpus_.emplace("secagg_event/kind" + std::to_string(static_cast<int>(event.kind)), bytes);
      corpus_["secagg_log/until_kind" + std::to_string(static_cast<int>(event.kind))] = whole.bytes();
    }
  }

  SessionFixture session_;
  std::vector<ServerSession> servers_;
  std::vector<Bytes> clients_;
  std::map<std::string, Bytes> corpus_;
};

}  // namespace fleetune::secagg
