// From the sums over splats' pixels through their projections to the arrays and the camera, in
// double, several splats at a time.
#pragma once

#include <cmath>
#include <cstring>

#include "harmonics.h"
#include "projection.h"
#include "splat_gradient.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

// As many doubles as a vector takes, in the compiler's own vectors: the formulas are those of GPUs.
constexpr int kChained = kWidth / 2;
typedef double Wide __attribute__((vector_size(kChained * sizeof(double))));
inline double lane_of(const Wide& x, int lane) { return x[lane]; }
inline void set_lane(Wide& x, int lane, double value) { x[lane] = value; }
inline Wide root(Wide x) {
  for (int i = 0; i < kChained; ++i) x[i] = std::sqrt(x[i]);
  return x;
}

#define GEOLRM_METHOD
#include "arithmetic/spherical_harmonics_gradient.h"
#include "arithmetic/splat_rotation.h"
// In this order: each needs those before it.
static_assert(sizeof(Dual<double>) == 4 * sizeof(double), "a value and three derivatives");
#include "arithmetic/splat_gradient.h"
#undef GEOLRM_METHOD

// One lane of what is chained, whose fields are all of one type.
inline ChainedSplat splat_of(const Chained<Wide>& chained, int lane) {
  constexpr int kFields = sizeof(ChainedSplat) / sizeof(double);
  static_assert(sizeof(chained) == kFields * sizeof(Wide), "nothing but numbers");
  Wide wide[kFields];
  double fields[kFields];
  std::memcpy(wide, &chained, sizeof(wide));
  for (int k = 0; k < kFields; ++k) fields[k] = lane_of(wide[k], lane);
  ChainedSplat splat;
  std::memcpy(&splat, fields, sizeof(splat));
  return splat;
}

// Adds what up to kChained splats, `ids`, say; the lanes beyond `count` repeat the first.
inline void chain_batch(const SplatArrays& arrays, const GradientView& seen, const double* centre,
                        const int64_t* ids, const float* const* sums, int count,
                        const SplatGradients& out, CameraGradient* to_camera) {
  Wide mean[3], scale[3], quat[4], sum[kGradients];
  for (int i = 0; i < kChained; ++i) {
    const int from = i < count ? i : 0;
    const int64_t id = ids[from];
    for (int k = 0; k < 3; ++k) set_lane(mean[k], i, arrays.means[3 * id + k]);
    for (int k = 0; k < 3; ++k) set_lane(scale[k], i, arrays.scales[3 * id + k]);
    for (int k = 0; k < 4; ++k) set_lane(quat[k], i, arrays.quats[4 * id + k]);
    for (int k = 0; k < kGradients; ++k) set_lane(sum[k], i, sums[from][k]);
  }
  Chained<Wide> to;
  chain_splat(mean, scale, quat, seen, sum, to);
  for (int i = 0; i < count; ++i) {
    const int64_t id = ids[i];
    for (int k = 0; k < 3; ++k)
      out.scales[3 * id + k] += static_cast<float>(lane_of(to.scale[k], i));
    for (int k = 0; k < 4; ++k) out.quats[4 * id + k] += static_cast<float>(lane_of(to.quat[k], i));
    out.opacities[id] += static_cast<float>(static_cast<double>(sums[i][0]) / arrays.opacities[id]);
    if (arrays.sh) {
      const double color[3] = {sums[i][6], sums[i][7], sums[i][8]};
      const int64_t at = 3 * arrays.sh_count * id;
      double to_mean[3];
      for (int k = 0; k < 3; ++k) to_mean[k] = lane_of(to.mean[k], i);
      add_sh_gradient<double>(arrays.means + 3 * id, centre, arrays.sh + at, arrays.sh_count, color,
                              to_mean, out.sh + at);
      for (int k = 0; k < 3; ++k) set_lane(to.mean[k], i, to_mean[k]);
    } else {
      for (int k = 0; k < 3; ++k) out.colors[3 * id + k] += sums[i][6 + k];
    }
    for (int k = 0; k < 3; ++k) out.means[3 * id + k] += static_cast<float>(lane_of(to.mean[k], i));
    if (!to_camera) continue;
    add_camera_gradient(seen, splat_of(to, i), to_camera->rotation, to_camera->translation,
                        to_camera->focal);
  }
}

void chain_splats(const SplatModel& model, const View& view, const Parameters& parameters,
                  int64_t first, int64_t count, const GradientRow* rows, const SplatGradients& out,
                  CameraGradient* to_camera) {
  const GradientView seen = {
      view.camera.rotation,  view.camera.translation, {view.camera.fx, view.camera.fy},
      view.clip_low,         view.clip_high,          parameters.eps2d,
      parameters.antialiased};
  int64_t ids[kChained];
  const float* sums[kChained];
  int pending = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (rows[i].values[kHasGradient] != 0) {
      ids[pending] = first + i;
      sums[pending++] = rows[i].values;
    }
    if (pending == kChained || (pending > 0 && i + 1 == count)) {
      chain_batch(model.arrays(), seen, view.centre, ids, sums, pending, out, to_camera);
      pending = 0;
    }
  }
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
