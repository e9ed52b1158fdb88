#pragma once

#include <memory>

#include "inference/runtime/generator.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {

// A generator over a tiny model, whose file is gone: it is mapped.
inline std::unique_ptr<const Generator> OpenTinyGenerator(const TinyLlama& tiny = {}, const EngineOptions& engine = {}) {
  const TempFolder folder;
  const std::string path = folder.File("tiny.gguf");
  EXPECT_THAT(tiny.ToWriter().WriteFile(path), IsOk());
  auto generator = Generator::Open(path, engine);
  EXPECT_THAT(generator, IsOk());
  return *std::move(generator);
}

}  // namespace fleetune
