// The peer of the decode benchmark: simdjson on-demand over the same events, driven from outside.
//
// usage: simdjson FILE.ndjson
// For every line "COUNT" on standard input it reads the first COUNT events of the file once and answers with one line
// "SECONDS SUM": its own thread CPU time, and the sum of the lengths, counts and codes that it took. The sum is what
// the other readers of the benchmark must arrive at too.
#include <simdjson.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

namespace od = simdjson::ondemand;

namespace {

double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

// Strings are unescaped, which checks them, as every other reader of the benchmark checks what it takes.
uint64_t length(od::value value) { return value.get_string().value().size(); }

uint64_t length_of_array(od::value value) {
  uint64_t count = 0;
  for (auto element : value.get_array().value()) {
    (void)element.get_string().value();
    ++count;
  }
  return count;
}

uint64_t read_user(od::value value) {
  uint64_t sum = 0;
  for (auto member : value.get_object().value()) {
    const auto key = member.key().value();
    if (key == "username" || key == "uid") sum += length(member.value());
    else if (key == "groups") sum += length_of_array(member.value());
  }
  return sum;
}

uint64_t read_object(od::value value) {
  uint64_t sum = 0;
  for (auto member : value.get_object().value()) {
    const auto key = member.key().value();
    if (key == "resource" || key == "namespace" || key == "name" || key == "apiGroup" || key == "subresource") sum += length(member.value());
  }
  return sum;
}

uint64_t read_status(od::value value) {
  uint64_t sum = 0;
  for (auto member : value.get_object().value())
    if (member.key().value() == "code") sum += uint64_t(member.value().get_int64().value());
  return sum;
}

uint64_t read_annotations(od::value value) {
  uint64_t sum = 0;
  for (auto member : value.get_object().value()) {
    const auto key = member.key().value();
    if (key == "authorization.k8s.io/decision" || key == "authorization.k8s.io/reason") sum += length(member.value());
  }
  return sum;
}

uint64_t read_event(od::parser &parser, const char *at, size_t length_of_event, size_t capacity) {
  uint64_t sum = 0;
  auto document = parser.iterate(at, length_of_event, capacity).value();
  for (auto member : document.get_object().value()) {
    const auto key = member.key().value();
    if (key == "level" || key == "auditID" || key == "stage" || key == "requestURI" || key == "verb" || key == "userAgent" ||
        key == "requestReceivedTimestamp" || key == "stageTimestamp")
      sum += length(member.value());
    else if (key == "user") sum += read_user(member.value());
    else if (key == "sourceIPs") sum += length_of_array(member.value());
    else if (key == "objectRef") sum += read_object(member.value());
    else if (key == "responseStatus") sum += read_status(member.value());
    else if (key == "annotations") sum += read_annotations(member.value());
  }
  return sum;
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: simdjson FILE.ndjson\n");
    return 64;
  }
  const auto file = simdjson::padded_string::load(arguments[1]).value();
  std::vector<std::string_view> events;
  for (const char *at = file.data(), *end = at + file.size(); at < end;) {
    const char *line_end = static_cast<const char *>(std::memchr(at, '\n', size_t(end - at)));
    if (line_end == nullptr) line_end = end;
    events.emplace_back(at, size_t(line_end - at));
    at = line_end + 1;
  }
  od::parser parser;
  size_t wanted;
  std::printf("simdjson %d.%d.%d, %s kernel\n", simdjson::SIMDJSON_VERSION_MAJOR, simdjson::SIMDJSON_VERSION_MINOR,
              simdjson::SIMDJSON_VERSION_REVISION, simdjson::builtin_implementation()->name().c_str());
  std::fflush(stdout);
  while (std::scanf("%zu", &wanted) == 1) {
    if (wanted > events.size()) wanted = events.size();
    uint64_t sum = 0;
    const double begun = thread_seconds();
    for (size_t n = 0; n < wanted; ++n) {
      const size_t capacity = size_t(file.data() + file.size() - events[n].data()) + simdjson::SIMDJSON_PADDING;
      sum += read_event(parser, events[n].data(), events[n].size(), capacity);
    }
    std::printf("%.9f %llu\n", thread_seconds() - begun, static_cast<unsigned long long>(sum));
    std::fflush(stdout);
  }
  return 0;
}
