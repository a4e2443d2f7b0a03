// RasterParameters, and what the GPU's kernels read of cameras.
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "bind_cameras.h"
#include "python/bindings.h"
#include "view.h"

namespace py = pybind11;

namespace geolrm::raster {
namespace {

#include "arithmetic/splat_view.h"

// What the GPU's kernels read of cameras: [V, kViewNumbers], after the same checks as for the CPU.
py::array_t<double> view_rows(const Doubles& w2c, const Doubles& intrinsics, int width, int height,
                              const Parameters& parameters) {
  check_parameters(parameters);
  check_image({width, height}, 32);
  const std::vector<Camera> cameras = cameras_of(w2c, intrinsics);
  py::array_t<double> rows({static_cast<py::ssize_t>(cameras.size()), py::ssize_t{kViewNumbers}});
  for (size_t v = 0; v < cameras.size(); ++v) {
    const View view = make_view(cameras[v], {width, height}, parameters, 32);
    const Camera& c = view.camera;
    SplatView out;
    for (int k = 0; k < 9; ++k) out.rotation[k] = c.rotation[k];
    for (int k = 0; k < 3; ++k) {
      out.translation[k] = c.translation[k];
      out.centre[k] = view.centre[k];
      out.background[k] = parameters.background[k];
    }
    const double focal[2] = {c.fx, c.fy}, principal[2] = {c.cx, c.cy};
    for (int k = 0; k < 2; ++k) {
      out.focal[k] = focal[k];
      out.principal[k] = principal[k];
      out.clip_low[k] = view.clip_low[k];
      out.clip_high[k] = view.clip_high[k];
    }
    out.near_plane = parameters.near_plane;
    out.eps2d = parameters.eps2d;
    out.antialiased = parameters.antialiased ? 1.0 : 0.0;
    out.alpha_max = parameters.alpha_max;
    out.log2_inv_alpha_min = view.log2_inv_alpha_min;
    out.transmittance_limit = view.transmittance_limit;
    out.alpha_min = parameters.alpha_min;
    out.transmittance_min = parameters.transmittance_min;
    out.limit_weight = std::max(kLimitWeight, 1.01f * view.clamped_run);
    out.unused = 0.0;
    std::memcpy(rows.mutable_data(static_cast<py::ssize_t>(v), 0), &out, sizeof(out));
  }
  return rows;
}

}  // namespace

void bind_parameters(py::module_& module) {
  py::class_<Parameters>(module, "RasterParameters", "Every number of the splatting mathematics.")
      .def(py::init([](std::array<float, 3> background, double near_plane, double eps2d,
                       double alpha_max, bool antialiased, double alpha_min,
                       double transmittance_min, double clip_margin) {
             Parameters p;
             for (int k = 0; k < 3; ++k) p.background[k] = background[k];
             p.near_plane = near_plane;
             p.eps2d = eps2d;
             p.alpha_max = alpha_max;
             p.antialiased = antialiased;
             p.alpha_min = alpha_min;
             p.transmittance_min = transmittance_min;
             p.clip_margin = clip_margin;
             check_parameters(p);
             return p;
           }),
           py::kw_only(), py::arg("background") = std::array<float, 3>{1, 1, 1},
           py::arg("near") = 0.01, py::arg("eps2d") = 0.3, py::arg("alpha_max") = 0.99,
           py::arg("antialiased") = false, py::arg("alpha_min") = 1.0 / 255.0,
           py::arg("transmittance_min") = 1e-4, py::arg("clip_margin") = 0.3);

  module.def("raster_views", &view_rows, py::arg("w2c"), py::arg("intrinsics"), py::arg("width"),
             py::arg("height"), py::arg("parameters"),
             "Checks V cameras; what the GPU's kernels read of them, [V, 36] float64.");
}

}  // namespace geolrm::raster
