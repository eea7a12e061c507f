// The peer of `just bench decode`: simdjson on-demand over a file of audit events, one event a line.
//
// For each line of standard input, `text` or `raw`, it goes over the file once and answers with the CPU seconds of
// its thread and a checksum: the sum over all fields of their lengths, counts and numbers. `text` unescapes strings;
// `raw` takes them as they stand and leaves their escapes unchecked.
#include <simdjson.h>

#include <cstdint>
#include <cstring>
#include <ctime>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

using namespace simdjson;

namespace {

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

template <bool raw>
uint64_t string_of(ondemand::value value) {
  if constexpr (raw) return value.raw_json_token().size() - 2;
  return value.get_string().value().size();
}

uint64_t count_of(ondemand::value value) {
  uint64_t count = 0;
  for (auto element : value.get_array().value()) {
    if (element.type().value() == ondemand::json_type::string) count++;
  }
  return count;
}

template <bool raw>
uint64_t fields(ondemand::parser &parser, padded_string_view event) {
  uint64_t sum = 0;
  auto document = parser.iterate(event);
  for (auto member : document.get_object()) {
    auto key = member.key().value();
    if (key == "auditID" || key == "level" || key == "stage" || key == "verb" || key == "requestURI" ||
        key == "userAgent" || key == "requestReceivedTimestamp" || key == "stageTimestamp") {
      sum += string_of<raw>(member.value());
    } else if (key == "sourceIPs") {
      sum += count_of(member.value());
    } else if (key == "user") {
      for (auto part : member.value().get_object()) {
        auto name = part.key().value();
        if (name == "username" || name == "uid") sum += string_of<raw>(part.value());
        if (name == "groups") sum += count_of(part.value());
      }
    } else if (key == "objectRef") {
      for (auto part : member.value().get_object()) {
        auto name = part.key().value();
        if (name == "resource" || name == "namespace" || name == "name" || name == "apiGroup" || name == "subresource")
          sum += string_of<raw>(part.value());
      }
    } else if (key == "responseStatus") {
      for (auto part : member.value().get_object()) {
        if (part.key().value() == "code") sum += part.value().get_uint64().value();
      }
    } else if (key == "annotations") {
      for (auto part : member.value().get_object()) {
        auto name = part.key().value();
        if (name == "authorization.k8s.io/decision" || name == "authorization.k8s.io/reason")
          sum += string_of<raw>(part.value());
      }
    }
  }
  return sum;
}

template <bool raw>
uint64_t all(ondemand::parser &parser, const padded_string &file, const std::vector<std::string_view> &lines) {
  uint64_t sum = 0;
  const char *end = file.data() + file.size() + SIMDJSON_PADDING;
  for (auto line : lines) sum += fields<raw>(parser, padded_string_view(line, size_t(end - line.data())));
  return sum;
}

}  // namespace

int main(int, char **arguments) {
  const padded_string file = padded_string::load(arguments[1]).value();
  std::vector<std::string_view> lines;
  for (std::string_view rest(file.data(), file.size()); !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    lines.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  ondemand::parser parser;
  for (std::string question; std::getline(std::cin, question);) {
    const double begun = cpu_seconds();
    const uint64_t sum = question == "raw" ? all<true>(parser, file, lines) : all<false>(parser, file, lines);
    std::cout << cpu_seconds() - begun << ' ' << sum << std::endl;
  }
}
