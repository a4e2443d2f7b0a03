// Deformable sampling of each view, unfused, with its gradients: what training differentiates.
#pragma once

#include <cstdint>
#include <string>

namespace geolrm {

// Shapes: V views, N queries, h heads of e channels, d = h * e, P points a level and head,
// L = sum of H * W over the levels. Everything is C-contiguous and belongs to the caller.
struct DeformableSampling {
  int64_t views, queries, heads, head_dim, levels, points, pixels;  // V, N, h, e, levels, P, L
  const int64_t* level_shapes;                                      // [levels, 2]: H, W
  const float* value;                                               // [V, L, h, e]
  const float* reference;                                           // [V, N, 2]: u, v
  const float* offsets;                                             // [N, h, levels, P, 2]: x, y
  const float* weights;                                             // [N, h, levels, P], not logits
};

// d loss / d out [V, N, d], and the gradients it is added to.
struct DeformableSamplingGradients {
  const float* out;
  float* value;    // [V, L, h, e]
  float* offsets;  // [N, h, levels, P, 2], summed over the views
  float* weights;  // [N, h, levels, P], summed over the views
};

// out [V, N, d] is overwritten.
void deformable_sampling(const DeformableSampling& op, float* out, int threads,
                         const std::string& isa);

void deformable_sampling_backward(const DeformableSampling& op,
                                  const DeformableSamplingGradients& gradients, int threads,
                                  const std::string& isa);

}  // namespace geolrm
