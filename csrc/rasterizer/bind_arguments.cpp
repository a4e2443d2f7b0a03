#include "bind_arguments.h"

#include <sstream>
#include <string>

namespace py = pybind11;

namespace geolrm::raster {
namespace {

std::string shape_of(const py::array& a) {
  std::ostringstream text;
  text << "[";
  for (py::ssize_t i = 0; i < a.ndim(); ++i) text << (i ? ", " : "") << a.shape(i);
  text << "]";
  return text.str();
}

}  // namespace

const float* require(const py::array& a, const char* name, std::vector<py::ssize_t> shape) {
  bool fits = a.ndim() == static_cast<py::ssize_t>(shape.size());
  std::ostringstream wanted;
  wanted << "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    wanted << (i ? ", " : "") << (shape[i] < 0 ? std::string("N") : std::to_string(shape[i]));
    fits = fits && (shape[i] < 0 || a.shape(static_cast<py::ssize_t>(i)) == shape[i]);
  }
  wanted << "]";
  if (!fits) {
    throw py::value_error(std::string(name) + " has shape " + shape_of(a) + "; it must be " +
                          wanted.str());
  }
  if (!py::isinstance<py::array_t<float>>(a)) {
    throw py::type_error(std::string(name) + " has dtype " + std::string(py::str(a.dtype())) +
                         "; it must be float32. Convert it with astype(numpy.float32)");
  }
  if (!(a.flags() & py::array::c_style)) {
    throw py::value_error(std::string(name) +
                          " is not contiguous; pass it through numpy.ascontiguousarray first");
  }
  return static_cast<const float*>(a.data());
}

float* require_output(py::array& a, const char* name, std::vector<py::ssize_t> shape) {
  require(a, name, std::move(shape));
  if (!a.writeable()) {
    throw py::value_error(std::string(name) + " is read-only; pass an array that can be written");
  }
  return static_cast<float*>(a.mutable_data());
}

std::vector<Camera> cameras_of(const Doubles& w2c, const Doubles& intrinsics) {
  if (w2c.ndim() != 3 || w2c.shape(1) != 4 || w2c.shape(2) != 4) {
    throw py::value_error("w2c has shape " + shape_of(w2c) + "; it must be [V, 4, 4]");
  }
  const py::ssize_t views = w2c.shape(0);
  if (intrinsics.ndim() != 3 || intrinsics.shape(0) != views || intrinsics.shape(1) != 3 ||
      intrinsics.shape(2) != 3) {
    throw py::value_error("intrinsics has shape " + shape_of(intrinsics) + "; it must be [" +
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
