#pragma once

// For tests: the vectors beside a vocabulary of the shared data, texts and the tokens expected of each.

#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace fleetune {

inline std::string ReadTestText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

// Of a file NAME.gguf.inp.
inline std::vector<std::string> ReadVectorInputs(const std::string& path) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> inputs;
  std::string text = ReadTestText(path);
  for (size_t at; (at = text.find(kSeparator)) != std::string::npos; text.erase(0, at + kSeparator.size())) {
    inputs.push_back(text.substr(0, at));
  }
  if (!text.empty()) inputs.push_back(text);
  return inputs;
}

// Of a file NAME.gguf.out.
inline std::vector<std::vector<int32_t>> ReadVectorOutputs(const std::string& path) {
  std::vector<std::vector<int32_t>> outputs;
  std::istringstream lines(ReadTestText(path));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    outputs.emplace_back(std::istream_iterator<int32_t>(numbers), std::istream_iterator<int32_t>());
  }
  return outputs;
}

}  // namespace fleetune
