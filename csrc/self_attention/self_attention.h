// softmax(q k^T / sqrt(e)) v for each head, without the matrix of scores.
#pragma once

#include <cstdint>
#include <string>

namespace geolrm {

// q, k, v, out [N, h * e], heads in contiguous blocks of e channels. out may not overlap the
// others.
struct SelfAttention {
  int64_t queries, heads, head_dim;  // N, h, e
  const float *q, *k, *v;
  float* out;
};

void self_attention(const SelfAttention& call, int threads, const std::string& isa);

}  // namespace geolrm
