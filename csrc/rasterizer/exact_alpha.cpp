#include "exact_alpha.h"

#include <algorithm>
#include <cmath>

namespace geolrm::raster {

double exact_pass(const PackedSplat& splat, const View& view, const Parameters& parameters,
                  double x, double y) {
  const Camera& camera = view.camera;
  const double* r = camera.rotation;
  double point[3], plane[2][3];
  for (int i = 0; i < 3; ++i) {
    point[i] = camera.translation[i];
    for (int k = 0; k < 3; ++k) point[i] += r[3 * i + k] * splat.mean[k];
  }
  const double focal[2] = {camera.fx, camera.fy}, centre[2] = {camera.cx, camera.cy};
  const double pixel[2] = {x, y};
  double offset[2];
  for (int i = 0; i < 2; ++i) {
    const double ratio = point[i] / point[2], scale = focal[i] / point[2];
    const double limited = std::clamp(ratio, view.clip_low[i], view.clip_high[i]);
    offset[i] = pixel[i] - (focal[i] * ratio + centre[i]);
    for (int k = 0; k < 3; ++k) {
      plane[i][k] = 0;
      for (int j = 0; j < 3; ++j) {
        plane[i][k] += scale * (r[3 * i + j] - limited * r[6 + j]) * splat.axes[3 * j + k];
      }
    }
  }
  double xx = 0, xy = 0, yy = 0, before = 0;
  for (int k = 0; k < 3; ++k) {
    xx += plane[0][k] * plane[0][k];
    xy += plane[0][k] * plane[1][k];
    yy += plane[1][k] * plane[1][k];
    const int next = (k + 1) % 3;
    const double minor = plane[0][k] * plane[1][next] - plane[0][next] * plane[1][k];
    before += minor * minor;
  }
  const double eps = parameters.eps2d;
  const double after = before + eps * (xx + yy) + eps * eps;
  const double u = offset[0], v = offset[1];
  const double sigma = 0.5 * ((yy + eps) * u * u - 2 * xy * u * v + (xx + eps) * v * v) / after;
  double log_alpha = std::log(2.0) * splat.log2_opacity - sigma;
  if (parameters.antialiased) log_alpha += 0.5 * std::log(before / after);
  return std::max(-std::expm1(log_alpha), 1.0 - parameters.alpha_max);
}

}  // namespace geolrm::raster
