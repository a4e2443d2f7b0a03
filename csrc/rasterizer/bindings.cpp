#include "bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <chrono>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "cpu_features.h"
#include "rasterizer.h"
#include "thread_pool.h"
#include "view.h"

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

// A C-contiguous float32 array of the shape, -1 for any length; no silent copy or cast.
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

// A model with the arrays it reads from kept alive, and the buffers of its frames.
struct BoundModel {
  std::vector<py::object> owners;
  SplatModel model;
  Workspace workspace;

  BoundModel(const SplatArrays& arrays, int threads) : model(arrays, threads) {}
};

std::unique_ptr<BoundModel> make_model(const py::array& means, const py::array& opacities,
                                       const py::array& scales, const py::array& quats,
                                       const py::object& colors, const py::object& sh,
                                       int threads) {
  SplatArrays arrays;
  arrays.means = require(means, "means", {-1, 3});
  const py::ssize_t n = means.shape(0);
  if (n >= (int64_t{1} << 32)) {
    throw py::value_error("means has " + std::to_string(n) +
                          " rows; at most 4294967295 splats are supported. Split the scene");
  }
  arrays.count = n;
  arrays.opacities = require(opacities, "opacities", {n});
  arrays.scales = require(scales, "scales", {n, 3});
  arrays.quats = require(quats, "quats", {n, 4});
  if (colors.is_none() == sh.is_none()) {
    throw py::value_error("either colors or sh must be given, and not both");
  }
  if (sh.is_none()) {
    arrays.colors = require(py::array(colors), "colors", {n, 3});
  } else {
    const py::array coefficients(sh);
    arrays.sh = require(coefficients, "sh", {n, -1, 3});
    arrays.sh_count = static_cast<int>(coefficients.shape(1));
    if (arrays.sh_count != 1 && arrays.sh_count != 4 && arrays.sh_count != 9 &&
        arrays.sh_count != 16) {
      throw py::value_error("sh has " + std::to_string(arrays.sh_count) +
                            " coefficients; it must have 1, 4, 9 or 16 (degree 0 to 3)");
    }
  }
  std::unique_ptr<BoundModel> bound;
  {
    py::gil_scoped_release release;
    bound = std::make_unique<BoundModel>(arrays, threads);
  }
  bound->owners = {means, opacities, scales, quats, colors, sh};
  return bound;
}

struct Cancel {
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

// Asks Python for a pending Ctrl-C at most every 50 ms.
bool interrupted(void* context) {
  Cancel& cancel = *static_cast<Cancel*>(context);
  const auto now = std::chrono::steady_clock::now();
  if (now - cancel.last < std::chrono::milliseconds(50)) return false;
  cancel.last = now;
  py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

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

#include "arithmetic/splat_view.h"

// What the GPU's kernels read of cameras: [V, kViewNumbers], after the same checks as for the CPU.
py::array_t<double> view_rows(const Doubles& w2c, const Doubles& intrinsics, int width, int height,
                              const Parameters& parameters) {
  check_parameters(parameters);
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
    std::memcpy(rows.mutable_data(static_cast<py::ssize_t>(v), 0), &out, sizeof(out));
  }
  return rows;
}

py::dict stats_dict(const FrameStats& s) {
  py::dict d;
  d["candidates"] = s.candidates;
  d["scatter"] = s.scatter;
  d["tiles"] = s.tiles;
  d["tile_sort"] = s.stages.sort;
  d["tile_project"] = s.stages.project;
  d["tile_bin"] = s.stages.bin;
  d["tile_blend"] = s.stages.blend;
  d["tile_write"] = s.stages.write;
  d["visible"] = s.visible;
  d["pairs"] = s.pairs;
  d["passes"] = s.passes;
  d["projected"] = s.stages.splats;
  d["pixel_pairs"] = 16 * s.stages.block_pairs;
  return d;
}

Options options_of(int threads, const std::string& isa, int tile_size, int64_t pair_budget,
                   bool cull, bool timed) {
  Options options;
  if (threads < 0) {
    throw py::value_error("threads is " + std::to_string(threads) +
                          "; it must be 0 (all cores) or more");
  }
  if (pair_budget < 1) {
    throw py::value_error("pair_budget is " + std::to_string(pair_budget) +
                          "; it must be positive");
  }
  options.threads = threads;
  options.isa = parse_isa(isa);
  options.tile_size = tile_size;
  options.pair_budget = pair_budget;
  options.cull = cull;
  options.timed = timed;
  return options;
}

py::dict render(BoundModel& bound, const Doubles& w2c, const Doubles& intrinsics, int width,
                int height, const Parameters& parameters, py::array rgb, py::array alpha,
                py::array depth, int threads, const std::string& isa, int tile_size,
                int64_t pair_budget, bool cull, bool timed) {
  check_parameters(parameters);
  Options options = options_of(threads, isa, tile_size, pair_budget, cull, timed);
  const std::vector<Camera> cameras = cameras_of(w2c, intrinsics);
  std::vector<View> views;
  for (const Camera& camera : cameras) {
    views.push_back(make_view(camera, {width, height}, parameters, tile_size));
  }
  const py::ssize_t count = static_cast<py::ssize_t>(views.size());
  float* rgb_data = require_output(rgb, "rgb", {count, height, width, 3});
  float* alpha_data = require_output(alpha, "alpha", {count, height, width});
  float* depth_data = require_output(depth, "depth", {count, height, width});
  Cancel cancel;
  Interrupt interrupt;
  interrupt.check = interrupted;
  interrupt.context = &cancel;
  options.interrupt = &interrupt;
  FrameStats stats;
  {
    py::gil_scoped_release release;
    std::lock_guard<std::mutex> lock(bound.workspace.mutex);
    const int64_t pixels = static_cast<int64_t>(width) * height;
    for (py::ssize_t v = 0; v < count && !interrupt.stop.load(); ++v) {
      const Image image = {rgb_data + 3 * pixels * v, alpha_data + pixels * v,
                           depth_data + pixels * v};
      render_view(bound.model, views[v], parameters, options, image, bound.workspace, stats);
    }
  }
  if (interrupt.stop.load()) throw py::error_already_set();
  return stats_dict(stats);
}

// Adds the gradients of all views, one view after the other.
py::dict backward(BoundModel& bound, const Doubles& w2c, const Doubles& intrinsics, int width,
                  int height, const Parameters& parameters, const py::array& g_rgb,
                  const py::array& g_alpha, const py::array& g_depth, py::array means,
                  py::array opacities, py::array scales, py::array quats, py::array color,
                  int threads, const std::string& isa, int tile_size, int64_t pair_budget) {
  check_parameters(parameters);
  Options options = options_of(threads, isa, tile_size, pair_budget, true, false);
  const std::vector<Camera> cameras = cameras_of(w2c, intrinsics);
  std::vector<View> views;
  for (const Camera& camera : cameras) {
    views.push_back(make_view(camera, {width, height}, parameters, tile_size));
  }
  const py::ssize_t count = static_cast<py::ssize_t>(views.size());
  const float* rgb = require(g_rgb, "the gradient of rgb", {count, height, width, 3});
  const float* alpha = require(g_alpha, "the gradient of alpha", {count, height, width});
  const float* depth = require(g_depth, "the gradient of depth", {count, height, width});
  const SplatArrays& arrays = bound.model.arrays();
  const py::ssize_t n = bound.model.count();
  SplatGradients out;
  out.means = require_output(means, "means", {n, 3});
  out.opacities = require_output(opacities, "opacities", {n});
  out.scales = require_output(scales, "scales", {n, 3});
  out.quats = require_output(quats, "quats", {n, 4});
  out.colors = arrays.sh ? nullptr : require_output(color, "colors", {n, 3});
  out.sh = arrays.sh ? require_output(color, "sh", {n, arrays.sh_count, 3}) : nullptr;
  Cancel cancel;
  Interrupt interrupt;
  interrupt.check = interrupted;
  interrupt.context = &cancel;
  options.interrupt = &interrupt;
  FrameStats stats;
  {
    py::gil_scoped_release release;
    std::lock_guard<std::mutex> lock(bound.workspace.mutex);
    const int64_t pixels = static_cast<int64_t>(width) * height;
    for (py::ssize_t v = 0; v < count && !interrupt.stop.load(); ++v) {
      const ImageGradients image = {rgb + 3 * pixels * v, alpha + pixels * v, depth + pixels * v};
      render_view_backward(bound.model, views[v], parameters, options, image, out, bound.workspace,
                           stats);
    }
  }
  if (interrupt.stop.load()) throw py::error_already_set();
  return stats_dict(stats);
}

}  // namespace

void bind(py::module_& module) {
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
             "Checks V cameras; what the GPU's kernels read of them, [V, 32] float64.");

  py::class_<BoundModel>(module, "SplatModel",
                         "Checked and packed splats, reused over frames. Float32, contiguous.")
      .def(py::init(&make_model), py::arg("means"), py::arg("opacities"), py::arg("scales"),
           py::arg("quats"), py::arg("colors") = py::none(), py::arg("sh") = py::none(),
           py::kw_only(), py::arg("threads") = 0)
      .def("__len__", [](const BoundModel& bound) { return bound.model.count(); })
      .def("render", &render, py::arg("w2c"), py::arg("intrinsics"), py::arg("width"),
           py::arg("height"), py::arg("parameters"), py::arg("rgb"), py::arg("alpha"),
           py::arg("depth"), py::kw_only(), py::arg("threads") = 0, py::arg("isa") = "",
           py::arg("tile_size") = 64, py::arg("pair_budget") = int64_t{8} << 20,
           py::arg("cull") = true, py::arg("timed") = false,
           "Draws V views into the given arrays; returns seconds and counts.")
      .def(
          "backward", &backward, py::arg("w2c"), py::arg("intrinsics"), py::arg("width"),
          py::arg("height"), py::arg("parameters"), py::arg("g_rgb"), py::arg("g_alpha"),
          py::arg("g_depth"), py::arg("means"), py::arg("opacities"), py::arg("scales"),
          py::arg("quats"), py::arg("color"), py::kw_only(), py::arg("threads") = 0,
          py::arg("isa") = "", py::arg("tile_size") = 64, py::arg("pair_budget") = int64_t{2} << 20,
          "Adds dL/d(splats) to the given arrays from dL/d(image); color is that of colors or sh.");
}

}  // namespace geolrm::raster
