#include "splat_gradient.h"

#include <cmath>

namespace geolrm::raster {
namespace {

inline double root(double x) { return std::sqrt(x); }
#define GEOLRM_ARITHMETIC inline
#define GEOLRM_METHOD
#include "arithmetic/spherical_harmonics.h"
#include "arithmetic/spherical_harmonics_gradient.h"
#include "arithmetic/splat_rotation.h"
// In this order: each needs those before it.
static_assert(sizeof(Dual<double>) == 4 * sizeof(double), "a value and three derivatives");
#include "arithmetic/splat_gradient.h"
#undef GEOLRM_METHOD
#undef GEOLRM_ARITHMETIC

}  // namespace

void add_splat_gradient(const SplatModel& model, const View& view, const Parameters& parameters,
                        int64_t splat, const float* sums, const SplatGradients& out,
                        CameraGradient* to_view) {
  const SplatArrays& arrays = model.arrays();
  const GradientView seen = {
      view.camera.rotation,  view.camera.translation, {view.camera.fx, view.camera.fy},
      view.clip_low,         view.clip_high,          parameters.eps2d,
      parameters.antialiased};
  const float* mean = arrays.means + 3 * splat;
  ChainedSplat to;
  chain_splat(mean, arrays.scales + 3 * splat, arrays.quats + 4 * splat, seen, sums, to);
  for (int k = 0; k < 3; ++k) out.scales[3 * splat + k] += static_cast<float>(to.scale[k]);
  for (int k = 0; k < 4; ++k) out.quats[4 * splat + k] += static_cast<float>(to.quat[k]);
  out.opacities[splat] +=
      static_cast<float>(static_cast<double>(sums[0]) / arrays.opacities[splat]);
  if (arrays.sh) {
    const double color[3] = {sums[6], sums[7], sums[8]};
    const int64_t at = 3 * arrays.sh_count * splat;
    add_sh_gradient<double>(mean, view.centre, arrays.sh + at, arrays.sh_count, color, to.mean,
                            out.sh + at);
  } else {
    for (int k = 0; k < 3; ++k) out.colors[3 * splat + k] += sums[6 + k];
  }
  for (int k = 0; k < 3; ++k) out.means[3 * splat + k] += static_cast<float>(to.mean[k]);
  if (!to_view) return;
  add_camera_gradient(seen, to, to_view->rotation, to_view->translation, to_view->focal);
}

}  // namespace geolrm::raster
