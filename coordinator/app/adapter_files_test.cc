#include "coordinator/app/adapter_files.h"

#include <filesystem>

#include "base/files.h"
#include "lora/formats/adapter_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

AdapterExportRequest Request(const std::string& format) {
  AdapterExportRequest request{.format = format, .file_stem = "home-v1", .base = {}};
  request.base.name = "small";
  request.base.architecture = "llama";
  request.base.heads = 2;
  request.base.kv_heads = 2;
  request.base.sizes.layers = 2;
  request.base.sizes.projections.fill({.in = 8, .out = 8});
  return request;
}

Adapter SomeAdapter() {
  const auto spec = AdapterSpec::Create({.rank = 2, .alpha = 4, .targets = {Projection::kQ, Projection::kV}},
                                        Request("").base.sizes);
  Adapter initial = Adapter::Initial(*spec, 3);
  std::vector<float> b(spec->b_size());
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i) / 64;
  return *Adapter::Create(*spec, {initial.a().begin(), initial.a().end()}, b);
}

class AdapterFilesTest : public testing::TestWithParam<const char*> {};

// Other programs read what we read.
TEST_P(AdapterFilesTest, ExportIsTheSameAdapterWhenItIsRead) {
  TempFolder temp;
  const AdapterExportRequest request = Request(GetParam());
  const Adapter adapter = SomeAdapter();
  const auto files = AdapterFiles(temp.File("exports")).Export(adapter, request);
  ASSERT_THAT(files, IsOk());
  std::string path = temp.File("read");
  std::filesystem::create_directory(path);
  for (const AdapterFileContent& file : *files) {
    ASSERT_THAT(WriteFileAtomic(path + "/" + file.name, file.content), IsOk());
  }
  if (files->size() == 1) path += "/" + files->at(0).name;
  const auto read = LoadAdapter(path, {.sizes = request.base.sizes,
                                       .architecture = "llama",
                                       .heads = 2,
                                       .kv_heads = 2,
                                       .permuted_qk = true});
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(std::vector<float>(read->b().begin(), read->b().end()),
            std::vector<float>(adapter.b().begin(), adapter.b().end()));
  EXPECT_TRUE(std::filesystem::is_empty(temp.File("exports")));  // nothing stays
}

INSTANTIATE_TEST_SUITE_P(Formats, AdapterFilesTest, testing::Values("fleetune", "peft", "gguf"));

TEST(AdapterFilesRefusalTest, UnknownFormat) {
  TempFolder temp;
  EXPECT_THAT(AdapterFiles(temp.File("exports")).Export(SomeAdapter(), Request("zip")),
              HasStatus(absl::StatusCode::kInvalidArgument, "expected fleetune, peft or gguf, got 'zip'"));
  EXPECT_FALSE(AdapterFiles(temp.File("none/exports")).Export(SomeAdapter(), Request("gguf")).ok());
}

}  // namespace
}  // namespace fleetune
