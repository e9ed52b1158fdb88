// What stands on the wire under TLS: an upload that says nothing about the delta it was made from.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "aggregation/encode/lanes.h"
#include "aggregation/encode/update_encoder.h"
#include "base/crypto/sha256.h"
#include "client/app/identity.h"
#include "client/app/payload_files.h"
#include "client/app/state_store.h"
#include "fleetune/v1/device.pb.h"
#include "gtest/gtest.h"
#include "lora/plan/update_options.h"
#include "tests/integration/http2_messages.h"
#include "tests/integration/loopback_fleet.h"
#include "tests/integration/wiretap.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

// Puts an upload together from the messages of its device, whichever call they belong to: the chunks of one round or
// cell that hash to what some message announced.
class UploadWatcher {
 public:
  // True once the upload is whole.
  bool Add(const Bytes& message) {
    // The two look alike on the wire; no chunk of this test has the length of a hash.
    v1::OpenUploadRequest open;
    v1::PutUploadChunkRequest chunk;
    if (open.ParseFromArray(message.data(), static_cast<int>(message.size())) && open.sha256().size() == 32) {
      announced_[open.round()] = open.sha256();
    } else if (chunk.ParseFromArray(message.data(), static_cast<int>(message.size())) && !chunk.data().empty()) {
      chunks_[chunk.round()][chunk.index()] = Bytes(chunk.data().begin(), chunk.data().end());
    }
    for (const auto& [name, sha256] : announced_) {
      Bytes bytes;
      for (const auto& [index, part] : chunks_[name]) bytes.insert(bytes.end(), part.begin(), part.end());
      const Digest digest = Sha256(bytes);
      if (!bytes.empty() && std::equal(sha256.begin(), sha256.end(), digest.bytes.begin(),
                                       [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; })) {
        upload_ = std::move(bytes);
      }
    }
    return !upload_.empty();
  }
  const Bytes& upload() const { return upload_; }

 private:
  std::map<std::string, std::string> announced_;
  std::map<std::string, std::map<uint32_t, Bytes>> chunks_;
  Bytes upload_;
};

// Sends the device to another port.
void Redirect(const std::string& enrolled, uint16_t port) {
  std::ifstream in(enrolled);
  std::string text;
  for (std::string line; std::getline(in, line);) {
    text += line.starts_with("port = ") ? "port = " + std::to_string(port) : line;
    text += '\n';
  }
  std::ofstream(enrolled) << text;
}

// Pearson's chi-square of the bytes against equal shares; 255 degrees of freedom, so 255 +- 23 if they are random.
double ChiSquare(const Bytes& bytes) {
  std::vector<double> counts(256);
  for (const uint8_t byte : bytes) ++counts[byte];
  const double expected = static_cast<double>(bytes.size()) / 256;
  double sum = 0;
  for (const double count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

// Pearson's; of unrelated vectors of n elements 0 +- 1 / sqrt(n).
double Correlation(const std::vector<float>& x, const std::vector<float>& y) {
  const auto n = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0, xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) mean_x += x[i] / n, mean_y += y[i] / n;
  for (size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean_x) * (y[i] - mean_y);
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
  }
  return xy / std::sqrt(xx * yy);
}

std::vector<float> AsNumbers(const RingVector& ring, LaneBits lane) {
  std::vector<float> numbers;
  for (const uint32_t element : ring) numbers.push_back(static_cast<float>(SignedElement(element, lane)));
  return numbers;
}

struct Measured {
  double chi_square = 0;           // of the captured bytes
  double ring_correlation = 0;     // of captured elements with those of the device's update
  double delta_correlation = 0;    // of what they decode to, taken for an update, with the delta
  double tolerance = 0;            // six standard deviations of a correlation by chance
};

class CapturedUploadTest : public ::testing::Test {
 protected:
  // Runs a round in which romeo's upload is captured and romeo cut off; compares it with what lies on romeo's disk.
  void CaptureAndCompare(const std::string& secure_aggregation, Measured& measured) {
    LoopbackFleet fleet;
    fleet.CreateTask({.devices = 3,
                      .needed = 3,
                      .adapter = "rank = 8\nalpha = 16\ntargets = [\"q\", \"k\", \"v\", \"o\", \"gate\", \"up\", \"down\"]\n",
                      .secure_aggregation = secure_aggregation});
    for (const char* name : {"romeo", "juliet", "nurse"}) fleet.AddDevice(name, SpeakerText(name));
    const DeviceFolder romeo{fleet.DeviceFolder("romeo")};
    const std::string server = fleet.CoordinatorFolder() + "/server/server";
    const std::string& address = fleet.address();
    Http2Messages messages;
    UploadWatcher watcher;
    Wiretap tap({.server_key = server + ".key",
                 .server_certificate = server + ".crt",
                 .device_key = romeo.key(),
                 .device_certificate = romeo.certificate()},
                static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))),
                [&](int connection, std::span<const uint8_t> bytes) {
                  for (const Bytes& message : messages.Add(connection, bytes)) {
                    if (watcher.Add(message)) return false;
                  }
                  return true;
                });
    Redirect(romeo.enrolled(), tap.port());
    std::vector<Background> daemons;
    for (const char* name : {"romeo", "juliet", "nurse"}) daemons.push_back(fleet.RunDevice(name));
    (void)fleet.StartRound();
    ASSERT_TRUE(Eventually([&] { return tap.cut(); })) << fleet.Log("romeo");
    daemons[0].KillHard();
    Compare(romeo, watcher.upload(), measured);
  }

 private:
  static void Compare(const DeviceFolder& folder, const Bytes& captured, Measured& measured) {
    absl::StatusOr<StateStore> store = StateStore::Open(folder.state());
    ASSERT_THAT(store, IsOk());
    const absl::StatusOr<DeviceState> state = store->Load();
    ASSERT_THAT(state, IsOk());
    ASSERT_TRUE(state->pending.has_value());
    const PendingUpdate& pending = *state->pending;
    const absl::StatusOr<DeviceIdentity> identity = LoadIdentity(folder);
    ASSERT_THAT(identity, IsOk());
    PayloadFiles payloads(folder.uploads(), PayloadKey(identity->identity_key));
    const absl::StatusOr<Bytes> update = payloads.Get(pending.sha256);
    ASSERT_THAT(update, IsOk());
    const absl::StatusOr<TrainingPlan> plan = ParseTrainingPlan(pending.plan);
    ASSERT_THAT(plan, IsOk());
    const absl::StatusOr<EncodingOptions> options =
        UpdateOptions(*plan, pending.parameters, pending.order.round);
    ASSERT_THAT(options, IsOk());
    const absl::StatusOr<UpdateEncoder> encoder = UpdateEncoder::Create(*options);
    ASSERT_THAT(encoder, IsOk());

    const LaneBits lane = encoder->options().lane;
    const uint64_t values = encoder->options().values;
    absl::StatusOr<RingVector> sent = UnpackLanes(captured, lane, encoder->ring_length());
    ASSERT_THAT(sent, IsOk());
    const absl::StatusOr<RingVector> meant = UnpackLanes(*update, lane, encoder->ring_length());
    ASSERT_THAT(meant, IsOk());
    measured.chi_square = ChiSquare(captured);
    measured.ring_correlation = Correlation(AsNumbers(*sent, lane), AsNumbers(*meant, lane));
    const absl::StatusOr<DecodedUpdate> delta = encoder->Decode(*meant, 1);
    ASSERT_THAT(delta, IsOk());
    // Decoding needs a weight that can be true, and a masked one is none: the attacker is given the real one.
    std::copy(meant->begin() + static_cast<ptrdiff_t>(values), meant->end(),
              sent->begin() + static_cast<ptrdiff_t>(values));
    const absl::StatusOr<DecodedUpdate> decoded = encoder->Decode(*sent, 1);
    ASSERT_THAT(decoded, IsOk());
    measured.delta_correlation = Correlation(decoded->mean, delta->mean);
    measured.tolerance = 6 / std::sqrt(static_cast<double>(values));
    ASSERT_LT(measured.tolerance, 0.05);
  }
};

TEST_F(CapturedUploadTest, SaysNothingAboutTheDelta) {
  Measured masked;
  ASSERT_NO_FATAL_FAILURE(CaptureAndCompare("semi-honest", masked));
  EXPECT_NEAR(masked.chi_square, 255, 6 * std::sqrt(2 * 255.0));
  EXPECT_LT(std::abs(masked.ring_correlation), masked.tolerance);
  EXPECT_LT(std::abs(masked.delta_correlation), masked.tolerance);
}

// The measure itself can see: without masks the same wire gives the delta away.
TEST_F(CapturedUploadTest, WithoutMasksItIsTheDelta) {
  Measured plain;
  ASSERT_NO_FATAL_FAILURE(CaptureAndCompare("off", plain));
  EXPECT_GT(plain.chi_square, 10'000);
  EXPECT_GT(plain.ring_correlation, 0.999);
  EXPECT_GT(plain.delta_correlation, 0.999);
}

}  // namespace
}  // namespace fleetune
