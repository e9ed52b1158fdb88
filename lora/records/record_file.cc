#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "base/utf8.h"
#include "fmt/format.h"
#include "lora/records/record.h"

namespace fleetune {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

absl::Status At(std::string_view where, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", where, std::string(status.message())));
}

// Takes the next line from `text`, without its end.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool IsBlank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

void SkipByteOrderMark(std::string_view& text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
}

// Adds a record, unless there are too many.
absl::Status Add(Record record, std::vector<Record>& records) {
  if (records.size() >= kMaxRecordsPerFile) {
    return absl::ResourceExhaustedError(fmt::format("at most {} records are allowed", kMaxRecordsPerFile));
  }
  records.push_back(std::move(record));
  return absl::OkStatus();
}

// Adds the paragraph that ends before line `line_number`, if there is one, and clears it.
absl::Status EndParagraph(size_t line_number, std::string& paragraph, std::vector<Record>& records) {
  if (paragraph.empty()) return absl::OkStatus();
  const std::string where = fmt::format("paragraph before line {}", line_number);
  if (paragraph.size() > kMaxRecordBytes) {
    return absl::ResourceExhaustedError(
        fmt::format("{}: {} bytes, at most {} are allowed", where, paragraph.size(), kMaxRecordBytes));
  }
  if (!IsUtf8(paragraph)) return absl::InvalidArgumentError(fmt::format("{}: expected UTF-8", where));
  RETURN_IF_ERROR(Add(PlainText{std::move(paragraph)}, records));
  paragraph.clear();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Record>> ParseRecords(std::string_view text) {
  SkipByteOrderMark(text);
  std::vector<Record> records;
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const std::string_view line = TakeLine(text);
    if (IsBlank(line)) continue;
    absl::StatusOr<Record> record = ParseRecord(line);
    if (!record.ok()) return At(fmt::format("line {}", line_number), record.status());
    RETURN_IF_ERROR(Add(*std::move(record), records));
  }
  if (records.empty()) return absl::InvalidArgumentError("expected a record a line, got none");
  return records;
}

absl::StatusOr<std::vector<Record>> ParseParagraphs(std::string_view text) {
  SkipByteOrderMark(text);
  std::vector<Record> records;
  std::string paragraph;
  size_t line_number = 1;
  for (; !text.empty(); ++line_number) {
    const std::string_view line = TakeLine(text);
    if (IsBlank(line)) {
      RETURN_IF_ERROR(EndParagraph(line_number, paragraph, records));
    } else {
      paragraph += paragraph.empty() ? "" : "\n";
      paragraph += line;
    }
  }
  RETURN_IF_ERROR(EndParagraph(line_number, paragraph, records));
  if (records.empty()) return absl::InvalidArgumentError("expected paragraphs, got none");
  return records;
}

absl::StatusOr<std::vector<Record>> ReadRecords(const std::string& path) {
  const bool is_jsonl = path.ends_with(".jsonl");
  if (!is_jsonl && !path.ends_with(".txt")) {
    return absl::InvalidArgumentError(fmt::format("{}: expected a name that ends in .jsonl or .txt", path));
  }
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, kMaxRecordFileBytes));
  auto records = is_jsonl ? ParseRecords(AsText(bytes)) : ParseParagraphs(AsText(bytes));
  if (!records.ok()) return At(path, records.status());
  return records;
}

}  // namespace fleetune
