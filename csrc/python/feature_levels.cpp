#include "python/feature_levels.h"

#include <string>

#include "python/array_checks.h"

namespace py = pybind11;

namespace geolrm {
namespace {

// The kernels compute pixel indices in float32, exact below this.
constexpr int64_t kMaxPixels = int64_t{1} << 24;

}  // namespace

int64_t count_pixels(const py::array& level_shapes) {
  const int64_t levels = level_shapes.shape(0);
  const int64_t* sides = static_cast<const int64_t*>(level_shapes.data());
  int64_t pixels = 0;
  if (level_shapes.shape(1) != 2 || levels < 1) {
    throw py::value_error("level_shapes has shape " + shape_text(level_shapes) +
                          "; it must be [levels, 2], one (H, W) for each of at least one level");
  }
  for (int64_t l = 0; l < levels; ++l) {
    const int64_t height = sides[2 * l], width = sides[2 * l + 1];
    const std::string size = std::to_string(height) + " x " + std::to_string(width);
    if (height < 1 || width < 1) {
      throw py::value_error("level " + std::to_string(l) + " of level_shapes is " + size +
                            "; it must be at least 1 x 1");
    }
    if (height > kMaxPixels || width > kMaxPixels || (pixels += height * width) > kMaxPixels) {
      throw py::value_error("level_shapes exceed 2^24 pixels a view at level " + std::to_string(l) +
                            " (" + size + "); pass smaller feature maps");
    }
  }
  return pixels;
}

int64_t points_of(const py::array& array, const char* name, int64_t group) {
  const int64_t samples = array.shape(1);
  if (samples < group || samples % group != 0) {
    throw py::value_error(std::string(name) + " has shape " + shape_text(array) +
                          "; its second axis must be h*levels*P, a multiple of " +
                          std::to_string(group) + " for these heads and levels");
  }
  return samples / group;
}

}  // namespace geolrm
