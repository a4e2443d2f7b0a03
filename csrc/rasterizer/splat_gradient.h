// From the sums over a splat's pixels back through its projection, in double.
#pragma once

#include "rasterizer_kernel.h"
#include "recording.h"

namespace geolrm::raster {

// dL/d(the caller's arrays), added to. Either colors or sh, as the model has.
struct SplatGradients {
  float* means;      // [N, 3]
  float* opacities;  // [N]
  float* scales;     // [N, 3]
  float* quats;      // [N, 4]
  float* colors;     // [N, 3] or null
  float* sh;         // [N, K, 3] or null
};

void add_splat_gradient(const SplatModel& model, const View& view, const Parameters& parameters,
                        int64_t splat, const float* sums, const SplatGradients& out);

}  // namespace geolrm::raster
