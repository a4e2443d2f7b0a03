// The project stage: depth key and box of blocks of every splat that may touch the image.
#pragma once

#include <cmath>
#include <cstring>

#include "rasterizer_kernel.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

// Variance of the splat along the world vector (jx, jy, jz), never too small: what float loses
// when the terms of a needle cancel is added back from the trace.
inline float variance_along(float jx, float jy, float jz, float xx, float xy, float xz, float yy,
                            float yz, float zz) {
  const float variance = jx * (jx * xx + 2.0f * (jy * xy + jz * xz)) +
                         jy * (jy * yy + 2.0f * (jz * yz)) + jz * (jz * zz);
  const float rounding = 4e-6f * (jx * jx + jy * jy + jz * jz) * (xx + yy + zz);
  return (variance > 0.0f ? variance : 0.0f) + rounding;
}

Found project_splats(const SplatModel& model, const View& view, const Parameters& parameters,
                     int64_t begin, int64_t end, uint32_t split, Candidate* out) {
  constexpr int kStep = SplatModel::kPadding;
  constexpr float kSlackPixels = 0.02f;
  const Camera& camera = view.camera;
  const double* r = camera.rotation;
  const double* t = camera.translation;
  const double near_plane = parameters.near_plane;
  const float fx = static_cast<float>(camera.fx), fy = static_cast<float>(camera.fy);
  const float cx = static_cast<float>(camera.cx), cy = static_cast<float>(camera.cy);
  const float low_x = static_cast<float>(view.clip_low[0]);
  const float low_y = static_cast<float>(view.clip_low[1]);
  const float high_x = static_cast<float>(view.clip_high[0]);
  const float high_y = static_cast<float>(view.clip_high[1]);
  float w[9];
  for (int k = 0; k < 9; ++k) w[k] = static_cast<float>(r[k]);
  const float eps = static_cast<float>(parameters.eps2d);
  const float two_ln2 = 1.3862944f;
  const float offset = view.log2_inv_alpha_min;
  const float last_x = static_cast<float>(view.blocks_x - 1);
  const float last_y = static_cast<float>(view.blocks_y - 1);

  alignas(64) float depth[kStep];
  alignas(64) int x0[kStep], x1[kStep], y0[kStep], y1[kStep], visible[kStep];
  int64_t near = 0, far = end - begin;  // the next free places; at least one is
  for (int64_t base = begin; base < end; base += kStep) {
    const float* plane[SplatModel::kPlanes];
    for (int k = 0; k < SplatModel::kPlanes; ++k) {
      plane[k] = model.plane(static_cast<SplatModel::Plane>(k)) + base;
    }
    for (int i = 0; i < kStep; ++i) {
      const double x = plane[SplatModel::kX][i], y = plane[SplatModel::kY][i];
      const double z = plane[SplatModel::kZ][i];
      const float cam_x = static_cast<float>(r[0] * x + r[1] * y + r[2] * z + t[0]);
      const float cam_y = static_cast<float>(r[3] * x + r[4] * y + r[5] * z + t[1]);
      const double cam_z = r[6] * x + r[7] * y + r[8] * z + t[2];
      const float inverse_z = 1.0f / static_cast<float>(cam_z);
      const float u = cam_x * inverse_z, v = cam_y * inverse_z;
      const float tx = u < low_x ? low_x : u > high_x ? high_x : u;
      const float ty = v < low_y ? low_y : v > high_y ? high_y : v;
      const float xx = plane[SplatModel::kXX][i], xy = plane[SplatModel::kXY][i];
      const float xz = plane[SplatModel::kXZ][i], yy = plane[SplatModel::kYY][i];
      const float yz = plane[SplatModel::kYZ][i], zz = plane[SplatModel::kZZ][i];
      const float gx = fx * inverse_z, gy = fy * inverse_z;
      const float var_x = variance_along(gx * (w[0] - tx * w[6]), gx * (w[1] - tx * w[7]),
                                         gx * (w[2] - tx * w[8]), xx, xy, xz, yy, yz, zz);
      const float var_y = variance_along(gy * (w[3] - ty * w[6]), gy * (w[4] - ty * w[7]),
                                         gy * (w[5] - ty * w[8]), xx, xy, xz, yy, yz, zz);
      const float mean_x = fx * u + cx, mean_y = fy * v + cy;
      const float reach2 = two_ln2 * (plane[SplatModel::kLog2Opacity][i] + offset);
      // The relative slack covers the rounding here, of means far outside the image above all.
      const float half_x =
          std::sqrt(reach2 * (var_x + eps)) * 1.0001f + kSlackPixels + 1e-6f * std::fabs(mean_x);
      const float half_y =
          std::sqrt(reach2 * (var_y + eps)) * 1.0001f + kSlackPixels + 1e-6f * std::fabs(mean_y);
      const float left = (mean_x - half_x - 0.5f) * 0.25f;
      const float right = (mean_x + half_x - 0.5f) * 0.25f;
      const float top = (mean_y - half_y - 0.5f) * 0.25f;
      const float bottom = (mean_y + half_y - 0.5f) * 0.25f;
      depth[i] = static_cast<float>(cam_z);
      // Bitwise and: no branch; a comparison with NaN is false, so such a splat is not rendered.
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
      Candidate candidate;
      std::memcpy(&candidate.key, &depth[i], 4);
      candidate.id = static_cast<uint32_t>(base + i);
      candidate.block_x0 = static_cast<uint16_t>(x0[i]);
      candidate.block_x1 = static_cast<uint16_t>(x1[i]);
      candidate.block_y0 = static_cast<uint16_t>(y0[i]);
      candidate.block_y1 = static_cast<uint16_t>(y1[i]);
      const int64_t is_near = candidate.key < split;
      out[far - 1] = candidate;
      out[near] = candidate;
      near += visible[i] & is_near;
      far -= visible[i] & (is_near ^ 1);
    }
  }
  return {near, end - begin - far};
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
