// Deformable cross-attention over several views (GeoLRM, section 3.3): sampling, attention-weighted
// sum and the softmax over views in one pass, without an intermediate of [V, N, d].
#pragma once

#include <cstdint>
#include <string>

#include "simd/simd.h"

namespace geolrm {

// Shapes: V views, N queries, h heads of e channels, d = h * e, S = levels * P samples a head,
// L = sum of H * W over the levels. Everything is C-contiguous and belongs to the caller.
struct DeformableCrossAttention {
  int64_t views, queries, heads, head_dim, levels, points, pixels;  // V, N, h, e, levels, P, L
  const int64_t* level_shapes;                                      // [levels, 2]: H, W
  const float* values;                                              // [V, h, L, e], or null
  const Half* values_half;                                          // the same in float16, or null
  const float* reference_points;                                    // [V, N, 2]: u, v
  const float* sampling_offsets;                                    // [N, h, levels, P, 2]: x, y
  const float* attention_logits;                                    // [N, h, levels, P]
  const float* view_weight;                                         // [d]
  float view_bias;
  float* out;  // [N, d]
};

void deformable_cross_attention(const DeformableCrossAttention& call, int threads,
                                const std::string& isa);

// Sets touched [V, L] to 1 where a tap of any sample inside its image reads, to 0 elsewhere.
// Of `call` only the sizes, level_shapes, reference_points and sampling_offsets are used.
void mark_touched(const DeformableCrossAttention& call, uint8_t* touched, int threads,
                  const std::string& isa);

}  // namespace geolrm
