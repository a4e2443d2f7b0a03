// The exact projection of sixteen splats at a time, for those that bin looks at: double inside, so
// needles keep their width, float out.
#pragma once

#include <cmath>

#include "harmonics.h"
#include "lanes.h"
#include "rasterizer_kernel.h"
#include "recording.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

inline double root(double x) { return std::sqrt(x); }
inline float root(float x) { return std::sqrt(x); }
inline float abs(float x) { return std::fabs(x); }
#include "arithmetic/ellipse_rows.h"
#include "arithmetic/splat_projection.h"

struct alignas(64) Projection {
  float mean_x[kLanes], mean_y[kLanes];  // px from the middle of a cell: more bits of the fraction
  float a[kLanes], b[kLanes], c[kLanes], u0[kLanes], v0[kLanes];
  float log2_opacity[kLanes], depth[kLanes];
  float reach[kLanes];  // largest (a dx + b dy)^2 + (c dy)^2 of the support; negative: not rendered
};

// Steps 1 to 3 of the mathematics for `count` <= 16 splats; `cell`: its middle in px.
inline void project_batch(const PackedSplat* packed, const uint32_t* ids, int count,
                          const View& view, const Parameters& parameters, const double* cell,
                          Projection& out) {
  alignas(64) float mean[3][kLanes], axes[9][kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const PackedSplat& s = packed[ids[i < count ? i : 0]];
    for (int k = 0; k < 3; ++k) mean[k][i] = s.mean[k];
    for (int k = 0; k < 9; ++k) axes[k][i] = s.axes[k];
    out.log2_opacity[i] = s.log2_opacity;
  }
  alignas(64) double before[kLanes], after[kLanes];
  const double* r = view.camera.rotation;
  const double* t = view.camera.translation;
  const double fx = view.camera.fx, fy = view.camera.fy;
  const double cx = view.camera.cx - cell[0], cy = view.camera.cy - cell[1];
  const double low_x = view.clip_low[0], high_x = view.clip_high[0];
  const double low_y = view.clip_low[1], high_y = view.clip_high[1];
  const double eps = parameters.eps2d;
  for (int i = 0; i < kLanes; ++i) {
    const double x = mean[0][i], y = mean[1][i], z = mean[2][i];
    const double cam_x = r[0] * x + r[1] * y + r[2] * z + t[0];
    const double cam_y = r[3] * x + r[4] * y + r[5] * z + t[1];
    const double cam_z = r[6] * x + r[7] * y + r[8] * z + t[2];
    const double inverse_z = 1.0 / cam_z;
    const double u = cam_x * inverse_z, v = cam_y * inverse_z;
    const double tx = u < low_x ? low_x : u > high_x ? high_x : u;
    const double ty = v < low_y ? low_y : v > high_y ? high_y : v;
    const double gx = fx * inverse_z, gy = fy * inverse_z;
    const Spread<double> spread =
        spread_in_image<double>(tx, ty, gx, gy, r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7],
                                r[8], axes[0][i], axes[1][i], axes[2][i], axes[3][i], axes[4][i],
                                axes[5][i], axes[6][i], axes[7][i], axes[8][i]);
    const ConicFactor<double> factor = conic_factor(spread, eps);
    before[i] = spread.determinant;
    after[i] = factor.after;
    const double mean_x = fx * u + cx, mean_y = fy * v + cy;
    const float a = static_cast<float>(factor.a), b = static_cast<float>(factor.b);
    const float c = static_cast<float>(factor.c);
    out.mean_x[i] = static_cast<float>(mean_x);
    out.mean_y[i] = static_cast<float>(mean_y);
    out.a[i] = a;
    out.b[i] = b;
    out.c[i] = c;
    out.u0[i] = static_cast<float>(-(a * mean_x + b * mean_y));
    out.v0[i] = static_cast<float>(-c * mean_y);
    out.depth[i] = static_cast<float>(cam_z);
  }
  if (parameters.antialiased) {
    for (int i = 0; i < count; ++i) {
      out.log2_opacity[i] += static_cast<float>(0.5 * std::log2(before[i] / after[i]));
    }
  }
  for (int i = 0; i < kLanes; ++i) {
    const float reach = out.log2_opacity[i] + view.log2_inv_alpha_min;
    // A covariance without area, or too large for float, is not rendered.
    const int usable = int(i < count) & int(after[i] > 0) & int(out.a[i] > 0) &
                       int(out.a[i] < 1e30f) & int(out.c[i] > 0) & int(out.c[i] < 1e30f) &
                       int(std::fabs(out.b[i]) < 1e30f) & int(std::fabs(out.mean_x[i]) < 1e30f) &
                       int(std::fabs(out.mean_y[i]) < 1e30f);
    out.reach[i] = usable ? reach : -1.0f;
  }
}

// The colour seen from the camera: max(0, SH + 0.5).
inline void sh_color(const SplatArrays& arrays, uint32_t id, const View& view, float* color) {
  double d[3], length = 0;
  for (int k = 0; k < 3; ++k) {
    d[k] = arrays.means[3 * static_cast<int64_t>(id) + k] - view.centre[k];
    length += d[k] * d[k];
  }
  const double scale = length > 0 ? 1.0 / std::sqrt(length) : 0.0;
  float basis[16];
  sh_basis<float>(static_cast<float>(d[0] * scale), static_cast<float>(d[1] * scale),
                  static_cast<float>(d[2] * scale), arrays.sh_count, basis);
  const float* sh = arrays.sh + 3 * arrays.sh_count * static_cast<int64_t>(id);
  float sum[3] = {0.5f, 0.5f, 0.5f};
  for (int k = 0; k < arrays.sh_count; ++k) {
    for (int j = 0; j < 3; ++j) sum[j] += basis[k] * sh[3 * k + j];
  }
  for (int j = 0; j < 3; ++j) color[j] = sum[j] > 0.0f ? sum[j] : 0.0f;
}

inline Record record_of(const Projection& p, int lane, const SplatModel& model, uint32_t id,
                        const View& view) {
  Record record;
  record.mean_x = p.mean_x[lane];
  record.mean_y = p.mean_y[lane];
  record.a = p.a[lane];
  record.u0 = p.u0[lane];
  record.v0 = p.v0[lane];
  record.b = p.b[lane];
  record.c = p.c[lane];
  record.log2_opacity = p.log2_opacity[lane];
  record.depth = p.depth[lane];
  if (model.arrays().sh) {
    sh_color(model.arrays(), id, view, record.color);
  } else {
    for (int k = 0; k < 3; ++k) record.color[k] = model.packed()[id].color[k];
  }
  return record;
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
