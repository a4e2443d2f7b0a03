#include "bind_cameras.h"

#include <string>

#include "python/array_checks.h"

namespace py = pybind11;

namespace geolrm::raster {

std::vector<Camera> cameras_of(const Doubles& w2c, const Doubles& intrinsics) {
  if (w2c.ndim() != 3 || w2c.shape(1) != 4 || w2c.shape(2) != 4) {
    throw py::value_error("w2c has shape " + shape_text(w2c) + "; it must be [V, 4, 4]");
  }
  const py::ssize_t views = w2c.shape(0);
  if (intrinsics.ndim() != 3 || intrinsics.shape(0) != views || intrinsics.shape(1) != 3 ||
      intrinsics.shape(2) != 3) {
    throw py::value_error("intrinsics has shape " + shape_text(intrinsics) + "; it must be [" +
                          std::to_string(views) + ", 3, 3], one for each w2c");
  }
  std::vector<Camera> cameras(views);
  for (py::ssize_t v = 0; v < views; ++v) {
    const double* m = w2c.data(v, 0, 0);
    const double* k = intrinsics.data(v, 0, 0);
    Camera& camera = cameras[v];
    for (int row = 0; row < 3; ++row) {
      for (int column = 0; column < 3; ++column) {
        camera.rotation[3 * row + column] = m[4 * row + column];
      }
      camera.translation[row] = m[4 * row + 3];
    }
    camera.fx = k[0];
    camera.fy = k[4];
    camera.cx = k[2];
    camera.cy = k[5];
  }
  return cameras;
}

}  // namespace geolrm::raster
