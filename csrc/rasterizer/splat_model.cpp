#include "splat_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "thread_pool.h"

namespace geolrm::raster {
namespace {

inline double root(double x) { return std::sqrt(x); }
#define GEOLRM_ARITHMETIC inline
#include "arithmetic/splat_rotation.h"
#undef GEOLRM_ARITHMETIC

[[noreturn]] void refuse(const char* name, int64_t splat, float value, const char* rule) {
  std::ostringstream text;
  text << name << " of splat " << splat << " is " << value << "; " << rule;
  throw std::invalid_argument(text.str());
}

void check_finite(const char* name, int64_t splat, const float* values, int count) {
  for (int i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) {
      refuse(name, splat, values[i], "it must be finite. Drop or repair the splat first");
    }
  }
}

void check(const SplatArrays& a, int64_t i) {
  check_finite("means", i, a.means + 3 * i, 3);
  check_finite("scales", i, a.scales + 3 * i, 3);
  check_finite("quats", i, a.quats + 4 * i, 4);
  if (a.colors) check_finite("colors", i, a.colors + 3 * i, 3);
  if (a.sh) check_finite("sh", i, a.sh + 3 * a.sh_count * i, 3 * a.sh_count);
  const float opacity = a.opacities[i];
  if (!(opacity >= 0 && opacity <= 1)) {
    refuse("opacities", i, opacity, "it must lie in [0, 1]. Apply the sigmoid to logits first");
  }
  for (int k = 0; k < 3; ++k) {
    if (a.scales[3 * i + k] < 0) {
      refuse("scales", i, a.scales[3 * i + k],
             "it must not be negative. Scales are standard deviations: apply exp to logarithms");
    }
  }
  const float* q = a.quats + 4 * i;
  if (q[0] == 0 && q[1] == 0 && q[2] == 0 && q[3] == 0) {
    refuse("quats", i, 0, "a quaternion must not be all zero. Use (1, 0, 0, 0) for no rotation");
  }
}

}  // namespace

void rotation_of(const float* quat, double* rotation) { rotation_of_quaternion(quat, rotation); }

SplatModel::SplatModel(const SplatArrays& arrays, int threads) : arrays_(arrays) {
  const int64_t n = arrays.count;
  padded_ = (n + kPadding - 1) / kPadding * kPadding;
  planes_.reserve(kPlanes * padded_);
  packed_.reserve(n);
  float* plane[kPlanes];
  for (int k = 0; k < kPlanes; ++k) plane[k] = planes_.data() + k * padded_;
  parallel_for(n, 16384, threads, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      check(arrays, i);
      const float* mean = arrays.means + 3 * i;
      const float* scale = arrays.scales + 3 * i;
      double r[9];
      rotation_of(arrays.quats + 4 * i, r);
      for (int k = 0; k < 9; ++k) r[k] *= scale[k % 3];
      PackedSplat& s = packed_[i];
      for (int k = 0; k < 3; ++k) s.mean[k] = mean[k];
      for (int k = 0; k < 9; ++k) s.axes[k] = static_cast<float>(r[k]);
      s.log2_opacity = std::log2(arrays.opacities[i]);
      for (int k = 0; k < 3; ++k) s.color[k] = arrays.colors ? arrays.colors[3 * i + k] : 0.0f;
      for (int k = 0; k < 3; ++k) plane[k][i] = mean[k];
      int next = kXX;
      for (int row = 0; row < 3; ++row) {
        for (int column = row; column < 3; ++column) {
          double dot = 0;
          for (int k = 0; k < 3; ++k) dot += r[3 * row + k] * r[3 * column + k];
          plane[next++][i] = static_cast<float>(dot);
        }
      }
      plane[kLog2Opacity][i] = s.log2_opacity;
    }
  });
  for (int64_t i = n; i < padded_; ++i) {
    for (int k = 0; k < kPlanes; ++k) plane[k][i] = 0;
    plane[kLog2Opacity][i] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace geolrm::raster
