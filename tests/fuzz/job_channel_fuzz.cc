#include <cstdint>

#include "base/check.h"
#include "client/trainer/job_channel.h"

// A stream of frames from the other end of a trainer's socket. What is read is written again as it was.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  fleetune::JobFrameReader reader;
  reader.Add({bytes, size});
  for (;;) {
    const auto message = reader.Next();
    if (!message.ok() || !message->has_value()) return 0;
    const auto frame = fleetune::EncodeJobFrame(**message);
    CHECK(frame.ok());
    const auto again = fleetune::DecodeJobFrame(std::span(*frame).subspan(4));
    CHECK(again.ok());
    CHECK(*again == **message);
  }
}
