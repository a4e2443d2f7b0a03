// A small persistent pool: parallel_for over chunks, caller included, no spinning between calls.
#pragma once

#include <cstdint>
#include <functional>

namespace geolrm {

// Runs body(begin, end, worker) over [0, count) in chunks of `grain`, on at most `threads` threads
// (the caller is worker 0; threads <= 0 means all cores). Which worker takes a chunk is not fixed:
// a body must write only what its own range owns, then results do not depend on `threads`.
// The first exception of a body is rethrown. Calls from several threads run one after the other.
void parallel_for(int64_t count, int64_t grain, int threads,
                  const std::function<void(int64_t begin, int64_t end, int worker)>& body);

// The number of workers parallel_for will use at most for this request: all cores for 0 or less,
// and never more than the larger of the cores and kMostThreads, whatever is asked for. Each worker
// has memory of its own.
constexpr int kMostThreads = 256;
int resolve_threads(int threads);

}  // namespace geolrm
