// `fleetune-model convert` as a user runs it.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/files.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_file.h"
#include "lora/formats/adapter_file.h"
#include "tests/support/model_command_line.h"
#include "tests/support/status_matchers.h"
#include "tools/model/opened_model.h"

namespace fleetune {
namespace {

class ConvertCommand : public CommandLineFixture {
 protected:
  ConvertCommand() {
    EXPECT_THAT(SaveAdapter(adapter_, AdapterFormat::kFleetune, SomeAdapter(BaseOf(model_)), BaseOf(model_), "tiny"),
                IsOk());
  }

  static AdapterBase BaseOf(const std::string& model) {
    return AdapterBaseOf(*ReadLlamaShape(**GgufFile::Open(model)));
  }

  static Adapter SomeAdapter(const AdapterBase& base) {
    const AdapterSpec spec =
        *AdapterSpec::Create({.rank = 2, .alpha = 4, .targets = {Projection::kQ, Projection::kDown}}, base.sizes);
    SplitMix64 random(3);
    std::vector<float> b(spec.b_size());
    for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
    return *Adapter::Create(spec, DeriveA(spec, 7), std::move(b));
  }

  Outcome Convert(const std::string& in, const std::string& out, const std::string& rest) const {
    return RunTool("convert --model " + model_ + " " + in + " " + out + " " + rest);
  }

  const std::string adapter_ = stem_ + ".fta";
  const std::string gguf_ = stem_ + ".adapter.gguf";
  const std::string peft_ = stem_ + ".peft";
  const std::string back_ = stem_ + ".back.fta";
};

TEST_F(ConvertCommand, ThroughEveryFormatNoBitIsLost) {
  EXPECT_EQ(Convert(adapter_, gguf_, "--format gguf").exit_code, 0);
  EXPECT_EQ(Convert(gguf_, peft_, "--format peft").exit_code, 0);
  EXPECT_TRUE(std::filesystem::is_regular_file(peft_ + "/adapter_model.safetensors"));
  EXPECT_EQ(Convert(peft_, back_, "--format fleetune").exit_code, 0);
  EXPECT_EQ(*ReadFile(back_, 1 << 20), *ReadFile(adapter_, 1 << 20));
}

TEST_F(ConvertCommand, SaysWhatItWroteWithAndWithoutJson) {
  const AdapterSpec spec = SomeAdapter(BaseOf(model_)).spec();
  const uint64_t parameters = spec.a_size() + spec.b_size();
  EXPECT_EQ(Convert(adapter_, gguf_, "--format gguf").out,
            gguf_ + ": gguf, rank 2, alpha 4, 4 modules, " + std::to_string(parameters) + " parameters\n");
  const auto json = nlohmann::json::parse(Convert(adapter_, gguf_, "--format gguf --json").out);
  EXPECT_EQ(json, nlohmann::json({{"path", gguf_},
                                  {"format", "gguf"},
                                  {"rank", 2},
                                  {"alpha", 4.0},
                                  {"targets", {"q", "down"}},
                                  {"modules", 4},
                                  {"parameters", parameters}}));
}

TEST_F(ConvertCommand, WrongInputIsExitCodeOneAndNothingIsWritten) {
  const auto expect = [this](const Outcome& outcome, const std::string& part) {
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_NE(outcome.out.find(part), std::string::npos) << outcome.out;
    EXPECT_FALSE(std::filesystem::exists(back_));
  };
  expect(Convert("/nonexistent.fta", back_, "--format gguf"), "/nonexistent.fta");
  WriteText(other_, "neither");
  expect(Convert(other_, back_, "--format gguf"), other_ + ": no adapter");
  const Bytes whole = *ReadFile(adapter_, 1 << 20);
  WriteText(other_, std::string(AsText(whole)).substr(0, whole.size() - 1));
  expect(Convert(other_, back_, "--format gguf"), other_);
  // An adapter of another base.
  EXPECT_THAT(TinyLlama{.layers = 3}.ToWriter().WriteFile(gguf_), IsOk());
  expect(RunTool("convert --model " + gguf_ + " " + adapter_ + " " + back_ + " --format gguf"), adapter_);
  // The base is no model.
  expect(RunTool("convert --model " + adapter_ + " " + adapter_ + " " + back_ + " --format gguf"), adapter_);
  expect(Convert(adapter_, "/nonexistent/folder/file.gguf", "--format gguf"), "/nonexistent/folder/file.gguf");
}

TEST_F(ConvertCommand, WrongUseIsExitCodeTwo) {
  EXPECT_EQ(Convert(adapter_, back_, "").exit_code, 2);
  EXPECT_EQ(Convert(adapter_, back_, "--format onnx").exit_code, 2);
  EXPECT_EQ(Convert(adapter_, "", "--format gguf").exit_code, 2);
  EXPECT_EQ(Convert(adapter_, back_, "one-more --format gguf").exit_code, 2);
  EXPECT_EQ(RunTool("convert " + adapter_ + " " + back_ + " --format gguf").exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(back_));
}

}  // namespace
}  // namespace fleetune
