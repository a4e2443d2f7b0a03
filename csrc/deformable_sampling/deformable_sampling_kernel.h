// What the instruction sets' kernels for deformable_sampling are given, and how they are chosen.
#pragma once

#include "deformable_sampling/deformable_sampling.h"

namespace geolrm {

// One level of one head: the pixels no other plane shares.
struct SampledPlane {
  int64_t head, level;
  int64_t start;          // first pixel of the level
  int64_t height, width;  // of the level
};

struct DeformableSamplingKernel {
  // The plane's part of a view's out; the first level overwrites, the others add.
  void (*sample)(const DeformableSampling& op, const SampledPlane& plane, int64_t view, float* out);
  // All gradients of the plane, views and queries in order.
  void (*differentiate)(const DeformableSampling& op, const SampledPlane& plane,
                        const DeformableSamplingGradients& gradients);

  static const DeformableSamplingKernel plain, avx2, avx512, neon;
};

}  // namespace geolrm
