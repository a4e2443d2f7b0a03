#include "query_order/query_order.h"

#include <array>
#include <cstddef>

namespace geolrm {
namespace {

#define GEOLRM_ARITHMETIC inline
#include "arithmetic/morton.h"
#undef GEOLRM_ARITHMETIC

// 7 bits of x in [0, 1], spread to every third bit. NaN goes to 0.
uint32_t spread(float x) {
  x *= 128.0f;
  return spread_bits(x > 0.0f ? (x < 127.0f ? static_cast<uint32_t>(x) : 127u) : 0u);
}

}  // namespace

std::vector<int32_t> query_order(const QueryOrder& op) {
  const float* first = op.reference_points;
  const float* second = op.reference_points + op.views / 3 * op.queries * 2;
  const std::size_t count = static_cast<std::size_t>(op.queries);
  std::vector<uint32_t> keys(count);
  for (std::size_t i = 0; i < count; ++i) {
    const uint32_t depth = op.views > 2 ? spread(second[2 * i]) : 0;
    keys[i] = spread(first[2 * i]) | spread(first[2 * i + 1]) << 1 | depth << 2;
  }
  std::vector<int32_t> order(count), next(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = static_cast<int32_t>(i);
  for (int shift = 0; shift < 21; shift += 11) {
    std::array<std::size_t, 2049> starts{};
    for (const uint32_t key : keys) ++starts[(key >> shift & 2047u) + 1];
    for (std::size_t i = 0; i < 2048; ++i) starts[i + 1] += starts[i];
    for (const int32_t i : order)
      next[starts[keys[static_cast<std::size_t>(i)] >> shift & 2047u]++] = i;
    order.swap(next);
  }
  return order;
}

}  // namespace geolrm
