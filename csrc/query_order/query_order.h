// Orders tokens so that neighbours in space are neighbours in the list.
#pragma once

#include <cstdint>
#include <vector>

namespace geolrm {

// A permutation of 0 .. tokens-1 along a Z-order curve over (u, v) of the first view and u of a
// second one, which tells depth. Only locality depends on it, never a result.
// reference_points [views, tokens, 2].
std::vector<int32_t> order_tokens(const float* reference_points, int64_t views, int64_t tokens);

}  // namespace geolrm
