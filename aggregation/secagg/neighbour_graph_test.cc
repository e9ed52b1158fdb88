#include "aggregation/secagg/neighbour_graph.h"

#include <algorithm>
#include <numeric>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune::secagg {
namespace {

using testing::ElementsAre;

constexpr GraphParameters kSixNeighbours = {.neighbours = 6, .threshold = 4, .complete = false};

GraphParameters Complete(uint32_t cohort) { return {.neighbours = cohort - 1, .threshold = 2, .complete = true}; }

Digest SessionOf(uint64_t seed) {
  SplitMix64 random(seed);
  Digest session;
  random.Fill(session.bytes);
  return session;
}

Digest CountingSession() {
  Digest session;
  std::iota(session.bytes.begin(), session.bytes.end(), uint8_t{0});
  return session;
}

// Freezes the shuffle: devices and coordinators of different versions must see the same graph.
TEST(NeighbourGraphTest, GivesTheFrozenGraph) {
  const NeighbourGraph graph(CountingSession(), 20, kSixNeighbours);
  EXPECT_THAT(graph.NeighboursOf(0), ElementsAre(1, 3, 5, 6, 10, 12));
  EXPECT_THAT(graph.NeighboursOf(1), ElementsAre(0, 5, 6, 9, 10, 12));
  EXPECT_THAT(graph.NeighboursOf(19), ElementsAre(2, 3, 4, 13, 15, 17));

  const NeighbourGraph large(CountingSession(), 4096, {.neighbours = 180, .threshold = 134, .complete = false});
  Sha256Stream hash;
  for (uint32_t position = 0; position < 4096; ++position) {
    const std::vector<uint32_t> neighbours = large.NeighboursOf(position);
    ByteWriter writer;
    for (const uint32_t neighbour : neighbours) writer.Write(neighbour);
    hash.Add(writer.bytes());
  }
  EXPECT_EQ(hash.Finish().ToHex(), "78722596d0591440e34643d33c3af44a805ce6657fc601e798898aa3f47e66a7");
}

// Property: a symmetric, regular graph without loops.
TEST(NeighbourGraphTest, IsSymmetricAndRegular) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SplitMix64 random(seed);
    const auto cohort = static_cast<uint32_t>(4 + random.Below(100));
    const auto neighbours = static_cast<uint32_t>(2 + 2 * random.Below((cohort - 2) / 2));
    const NeighbourGraph graph(SessionOf(seed), cohort, {.neighbours = neighbours, .threshold = 2, .complete = false});
    EXPECT_EQ(graph.cohort(), cohort);
    EXPECT_EQ(graph.parameters().neighbours, neighbours);
    for (uint32_t i = 0; i < cohort; ++i) {
      const std::vector<uint32_t> of_i = graph.NeighboursOf(i);
      ASSERT_EQ(of_i.size(), neighbours);
      ASSERT_TRUE(std::ranges::is_sorted(of_i));
      ASSERT_EQ(std::ranges::adjacent_find(of_i), of_i.end());
      ASSERT_EQ(graph.HoldersOf(i), of_i);
      for (uint32_t j = 0; j < cohort; ++j) {
        const bool near = std::ranges::binary_search(of_i, j);
        ASSERT_EQ(graph.AreNeighbours(i, j), near);
        ASSERT_EQ(graph.AreNeighbours(j, i), near);
      }
      ASSERT_FALSE(graph.AreNeighbours(i, i));
    }
  }
}

// Each step on the ring leads to a neighbour, so whoever follows neighbours reaches all.
TEST(NeighbourGraphTest, IsConnected) {
  const NeighbourGraph graph(SessionOf(1), 101, {.neighbours = 2, .threshold = 2, .complete = false});
  uint32_t before = 0;
  uint32_t at = graph.NeighboursOf(0)[0];
  uint32_t steps = 1;
  for (; at != 0; ++steps) {
    const std::vector<uint32_t> next = graph.NeighboursOf(at);
    const uint32_t onward = next[0] == before ? next[1] : next[0];
    before = at;
    at = onward;
  }
  EXPECT_EQ(steps, 101u);
}

TEST(NeighbourGraphTest, EverybodyIsANeighbourInACompleteGraph) {
  const NeighbourGraph graph(SessionOf(2), 4, Complete(4));
  EXPECT_THAT(graph.NeighboursOf(0), ElementsAre(1, 2, 3));
  EXPECT_THAT(graph.NeighboursOf(2), ElementsAre(0, 1, 3));
  EXPECT_THAT(graph.NeighboursOf(3), ElementsAre(0, 1, 2));
  for (uint32_t position = 0; position < 4; ++position) {
    EXPECT_THAT(graph.HoldersOf(position), ElementsAre(0, 1, 2, 3));
    EXPECT_FALSE(graph.AreNeighbours(position, position));
    EXPECT_TRUE(graph.AreNeighbours(position, (position + 1) % 4));
  }
}

TEST(NeighbourGraphTest, EachBitOfTheSessionCounts) {
  const NeighbourGraph graph(SessionOf(3), 4096, kSixNeighbours);
  for (size_t bit = 0; bit < 256; bit += 17) {
    Digest other = SessionOf(3);
    other.bytes[bit / 8] = static_cast<uint8_t>(other.bytes[bit / 8] ^ 1u << (bit % 8));
    EXPECT_NE(NeighbourGraph(other, 4096, kSixNeighbours).NeighboursOf(0), graph.NeighboursOf(0));
  }
}

// Each pair is near on the ring as often as any other.
TEST(NeighbourGraphTest, TheShuffleIsUniform) {
  constexpr uint32_t kCohort = 7;
  constexpr int kTrials = 4000;
  int near[kCohort][kCohort] = {};
  for (uint64_t seed = 0; seed < kTrials; ++seed) {
    const NeighbourGraph graph(SessionOf(seed), kCohort, {.neighbours = 2, .threshold = 2, .complete = false});
    for (uint32_t i = 0; i < kCohort; ++i) {
      for (const uint32_t j : graph.NeighboursOf(i)) ++near[i][j];
    }
  }
  // A third each; the deviation is 30, five of them.
  for (uint32_t i = 0; i < kCohort; ++i) {
    for (uint32_t j = 0; j < kCohort; ++j) {
      if (i != j) {
        EXPECT_NEAR(near[i][j], kTrials / 3.0, 150);
      }
    }
  }
}

TEST(NeighbourGraphDeathTest, ChecksItsCaller) {
  const Digest session = SessionOf(4);
  const auto make = [&](uint32_t cohort, GraphParameters parameters) { NeighbourGraph(session, cohort, parameters); };
  EXPECT_DEATH(make(2, Complete(2)), "kMinGraphDevices");
  EXPECT_DEATH(make(4097, Complete(4097)), "kMaxGraphDevices");
  EXPECT_DEATH(make(5, Complete(6)), "neighbours == cohort - 1");
  for (const uint32_t bad : {0u, 3u, 8u}) {
    EXPECT_DEATH(make(8, {.neighbours = bad, .threshold = 2, .complete = false}), "neighbours % 2 == 0");
  }
  const NeighbourGraph graph(session, 8, kSixNeighbours);
  EXPECT_DEATH((void)graph.NeighboursOf(8), "position < cohort");
  EXPECT_DEATH((void)graph.HoldersOf(8), "position < cohort");
  EXPECT_DEATH((void)graph.AreNeighbours(0, 8), "other < cohort");
}

}  // namespace
}  // namespace fleetune::secagg
