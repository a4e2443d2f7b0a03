// First look at every splat: depth key and a box of blocks that bounds its support, nothing more.
#pragma once

#include <cmath>
#include <cstring>

#include "kernel.h"

namespace geolrm::raster::GEOLRM_RASTER_ISA {
namespace {

// The box comes from the sphere of the largest scale, so it holds for any rotation; the slack
// covers a camera rotation that is orthonormal to 1e-3 only.
int64_t find_candidates(const SplatModel& model, const View& view, const Parameters& parameters,
                        int64_t begin, int64_t end, Candidate* out) {
  constexpr int kStep = SplatModel::kPadding;
  constexpr float kSlack = 1.01f, kSlackPixels = 0.02f;
  const Camera& camera = view.camera;
  const double* r = camera.rotation;
  const double* t = camera.translation;
  const double near_plane = parameters.near_plane;
  const double fx = camera.fx, fy = camera.fy, cx = camera.cx, cy = camera.cy;
  const double low_x = view.clip_low[0], high_x = view.clip_high[0];
  const double low_y = view.clip_low[1], high_y = view.clip_high[1];
  const float fx2 = static_cast<float>(fx * fx) * kSlack, fy2 = static_cast<float>(fy * fy) * kSlack;
  const float eps = static_cast<float>(parameters.eps2d);
  const float two_ln2 = 1.3862944f;
  const float offset = view.log2_inv_alpha_min;
  const float last_x = static_cast<float>(view.blocks_x - 1);
  const float last_y = static_cast<float>(view.blocks_y - 1);

  alignas(64) float depth[kStep];
  alignas(64) int x0[kStep], x1[kStep], y0[kStep], y1[kStep], visible[kStep];
  int64_t found = 0;
  for (int64_t base = begin; base < end; base += kStep) {
    const float* px = model.x() + base;
    const float* py = model.y() + base;
    const float* pz = model.z() + base;
    const float* scale = model.largest_scale() + base;
    const float* opacity = model.log2_opacity() + base;
    for (int i = 0; i < kStep; ++i) {
      const double x = px[i], y = py[i], z = pz[i];
      const double cam_x = r[0] * x + r[1] * y + r[2] * z + t[0];
      const double cam_y = r[3] * x + r[4] * y + r[5] * z + t[1];
      const double cam_z = r[6] * x + r[7] * y + r[8] * z + t[2];
      const double inverse_z = 1.0 / cam_z;
      const double u = cam_x * inverse_z, v = cam_y * inverse_z;
      const float tx = static_cast<float>(u < low_x ? low_x : u > high_x ? high_x : u);
      const float ty = static_cast<float>(v < low_y ? low_y : v > high_y ? high_y : v);
      const float mean_x = static_cast<float>(fx * u + cx);
      const float mean_y = static_cast<float>(fy * v + cy);
      const float size = scale[i] * static_cast<float>(inverse_z);
      const float reach2 = two_ln2 * (opacity[i] + offset);
      const float half_x =
          std::sqrt(reach2 * (size * size * fx2 * (1.0f + tx * tx) + eps)) + kSlackPixels;
      const float half_y =
          std::sqrt(reach2 * (size * size * fy2 * (1.0f + ty * ty) + eps)) + kSlackPixels;
      // Relative slack for the rounding of means far outside the image.
      const float slack_x = 1e-6f * std::fabs(mean_x), slack_y = 1e-6f * std::fabs(mean_y);
      const float left = (mean_x - half_x - slack_x - 0.5f) * 0.25f;
      const float right = (mean_x + half_x + slack_x - 0.5f) * 0.25f;
      const float top = (mean_y - half_y - slack_y - 0.5f) * 0.25f;
      const float bottom = (mean_y + half_y + slack_y - 0.5f) * 0.25f;
      depth[i] = static_cast<float>(cam_z);
      // Bitwise and: no branch; a comparison with NaN is false, so such a splat is not drawn.
      visible[i] = (cam_z >= near_plane) & (reach2 >= 0.0f) & (right >= 0.0f) & (bottom >= 0.0f) &
                   (left <= last_x + 1.0f) & (top <= last_y + 1.0f);
      const float left_in = left > 0.0f ? left : 0.0f, top_in = top > 0.0f ? top : 0.0f;
      x0[i] = static_cast<int>(left_in < last_x ? left_in : last_x);
      y0[i] = static_cast<int>(top_in < last_y ? top_in : last_y);
      const float right_in = right > 0.0f ? right : 0.0f, low_in = bottom > 0.0f ? bottom : 0.0f;
      x1[i] = static_cast<int>(right_in < last_x ? right_in : last_x);
      y1[i] = static_cast<int>(low_in < last_y ? low_in : last_y);
    }
    const int count = static_cast<int>(end - base < kStep ? end - base : kStep);
    for (int i = 0; i < count; ++i) {
      Candidate& candidate = out[found];
      std::memcpy(&candidate.key, &depth[i], 4);
      candidate.id = static_cast<uint32_t>(base + i);
      candidate.block_x0 = static_cast<uint16_t>(x0[i]);
      candidate.block_x1 = static_cast<uint16_t>(x1[i]);
      candidate.block_y0 = static_cast<uint16_t>(y0[i]);
      candidate.block_y1 = static_cast<uint16_t>(y1[i]);
      found += visible[i];
    }
  }
  return found;
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_RASTER_ISA
