// A splat in the image, for those that something unfinished may see.
#pragma once

#include "rasterizer/splat.cuh"

namespace geolrm {

// The colour seen from the camera: max(0, SH + 0.5); NaN gives 0. sh [count, 3].
GEOLRM_DEVICE void sh_color(const float* sh, int count, const float* mean, const SplatView& view,
                            float* color) {
  double d[3], length = 0;
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    d[k] = mean[k] - view.centre[k];
    length += d[k] * d[k];
  }
  const double scale = length > 0 ? 1.0 / root(length) : 0.0;
  float basis[16];
  sh_basis<float>(static_cast<float>(d[0] * scale), static_cast<float>(d[1] * scale),
                  static_cast<float>(d[2] * scale), count, basis);
  float sum[3] = {0.5f, 0.5f, 0.5f};
#pragma unroll
  for (int k = 0; k < 16; ++k) {
    if (k >= count) continue;
#pragma unroll
    for (int j = 0; j < 3; ++j) sum[j] += basis[k] * sh[3 * k + j];
  }
#pragma unroll
  for (int j = 0; j < 3; ++j) color[j] = sum[j] > 0.0f ? sum[j] : 0.0f;
}

// How far float may be trusted: the bound of |p| |q|, whose differences of products the determinant
// is of, to the root of the determinant. The ellipse is then off by at most 3e-5 of a radius.
constexpr float kMostCancelled = 16.0f;

// 1 / z to double's last bits but one or two, by two operations in double.
GEOLRM_DEVICE double reciprocal(double z) {
  const double estimate = 1.0f / static_cast<float>(z);
  return estimate * (2.0 - z * estimate);
}

// The ellipse of a splat at (u, v) = (x/z, y/z) in the image; false where nothing of it is seen.
template <class Wide>
GEOLRM_DEVICE bool project_ellipse(const PackedSplat& s, const SplatView& view, Wide u, Wide v,
                                   Wide inverse_z, Record& out, float& area, float& determinant) {
  const Spread<Wide> spread = spread_of<Wide>(view, s.axes, u, v, inverse_z);
  const ConicFactor<Wide> factor = conic_factor(spread, Wide(view.eps2d));
  out.a = static_cast<float>(factor.a);
  out.b = static_cast<float>(factor.b);
  out.c = static_cast<float>(factor.c);
  out.log2_opacity = s.log2_opacity;
  if (view.antialiased != 0.0) {
    out.log2_opacity += 0.5f * log2f(static_cast<float>(spread.determinant / factor.after));
  }
  area = static_cast<float>(factor.after);
  determinant = static_cast<float>(view.antialiased != 0.0 ? spread.determinant : factor.after);
  return factor.after > 0;
}

// The ellipse in double for needles alone, so that they keep their width; false where there is
// nothing to render.
GEOLRM_DEVICE bool project_splat(const PackedSplat& s, const SplatView& view, Record& out) {
  const CameraPoint p = to_camera(view, s.mean);
  const double inverse_z = reciprocal(p.z), u = p.x * inverse_z, v = p.y * inverse_z;
  out.mean_x = static_cast<float>(view.focal[0] * u + view.principal[0]);
  out.mean_y = static_cast<float>(view.focal[1] * v + view.principal[1]);
  out.depth = static_cast<float>(p.z);
  const float near_u = static_cast<float>(u), near_v = static_cast<float>(v);
  const float near_z = static_cast<float>(inverse_z);
  float area, determinant, size = 0.0f;
  bool has_area = project_ellipse<float>(s, view, near_u, near_v, near_z, out, area, determinant);
#pragma unroll
  for (int k = 0; k < 9; ++k) size += s.axes[k] * s.axes[k];
  const float tx = within(near_u, view.clip_low[0], view.clip_high[0]);
  const float ty = within(near_v, view.clip_low[1], view.clip_high[1]);
  const float along_x = static_cast<float>(view.focal[0]) * near_z * near_z * size;
  const float along_y = static_cast<float>(view.focal[1]) * size;
  const float product = along_x * along_y;  // |p| |q| without the slant
  const float bound = product * product * (1.0f + tx * tx) * (1.0f + ty * ty);
  // Not true of what is no number or too large for float, either.
  if (!(bound <= kMostCancelled * kMostCancelled * determinant && area < 1e30f)) {
    has_area = project_ellipse<double>(s, view, u, v, inverse_z, out, area, determinant);
  }
  // A covariance without area, or too large for float, is not rendered.
  return has_area && out.a > 0 && out.a < 1e30f && out.c > 0 && out.c < 1e30f &&
         abs(out.b) < 1e30f && abs(out.mean_x) < 1e30f && abs(out.mean_y) < 1e30f &&
         out.log2_opacity + static_cast<float>(view.log2_inv_alpha_min) >= 0.0f;
}

}  // namespace geolrm
