// Orders queries so that neighbours in space are neighbours in the list.
#pragma once

#include <cstdint>
#include <vector>

namespace geolrm {

struct QueryOrder {
  int64_t views, queries;         // V, N
  const float* reference_points;  // [V, N, 2]: u, v
};

// A permutation [N] along a Z-order curve over (u, v) of the first view and u of a second one,
// which tells depth. Only locality depends on it, never a result.
std::vector<int32_t> query_order(const QueryOrder& op);

}  // namespace geolrm
