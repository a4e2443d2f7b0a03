// What is computed once per model and reused over frames: checked, normalised, packed splats.
#pragma once

#include <cstdint>

#include "aligned_buffer.h"

namespace geolrm::raster {

// One cache line: everything a splat's projection needs.
struct alignas(64) PackedSplat {
  float mean[3];
  float axes[9];  // R S, row-major: the covariance is axes axes^T, kept as a factor (needles)
  float log2_opacity;
  float color[3];
};
static_assert(sizeof(PackedSplat) == 64, "one splat is one cache line");

// The caller's arrays, contiguous float32. They must outlive the model.
struct SplatArrays {
  int64_t count = 0;
  const float* means = nullptr;      // [N, 3]
  const float* opacities = nullptr;  // [N]
  const float* scales = nullptr;     // [N, 3]
  const float* quats = nullptr;      // [N, 4] wxyz
  const float* colors = nullptr;     // [N, 3], or null
  const float* sh = nullptr;         // [N, sh_count, 3], or null
  int sh_count = 0;                  // 1, 4, 9 or 16
};

class SplatModel {
 public:
  // Throws std::invalid_argument that names the first value which breaks a rule.
  SplatModel(const SplatArrays& arrays, int threads);

  int64_t count() const { return arrays_.count; }
  const SplatArrays& arrays() const { return arrays_; }
  const PackedSplat* packed() const { return packed_.data(); }
  // Means, covariances and opacities as separate arrays for the first look at every splat, padded
  // with invisible splats to a multiple of kPadding.
  static constexpr int64_t kPadding = 64;
  enum Plane { kX, kY, kZ, kXX, kXY, kXZ, kYY, kYZ, kZZ, kLog2Opacity, kPlanes };
  const float* plane(Plane which) const { return planes_.data() + which * padded_; }

 private:
  SplatArrays arrays_;
  int64_t padded_ = 0;
  AlignedBuffer<float> planes_;
  AlignedBuffer<PackedSplat> packed_;
};

// Rotation matrix (row-major) of a quaternion wxyz of any positive length.
void rotation_of(const float* quat, double* rotation);

}  // namespace geolrm::raster
