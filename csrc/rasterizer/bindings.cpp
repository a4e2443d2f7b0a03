#include "python/bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "bind_cameras.h"
#include "cpu_features.h"
#include "python/array_checks.h"
#include "rasterizer.h"
#include "view.h"

namespace py = pybind11;

namespace geolrm::raster {

// A model with the arrays it reads from kept alive, and the buffers of its frames.
struct BoundModel {
  std::vector<py::object> owners;
  SplatModel model;
  Workspace workspace;

  BoundModel(const SplatArrays& arrays, int threads) : model(arrays, threads) {}
};

}  // namespace geolrm::raster

GEOLRM_BOUND_CLASS(geolrm::raster::BoundModel)
GEOLRM_BOUND_CLASS(geolrm::raster::Loss)

namespace geolrm::raster {
namespace {

std::unique_ptr<BoundModel> make_model(const py::array& means, const py::array& opacities,
                                       const py::array& scales, const py::array& quats,
                                       const py::object& colors, const py::object& sh,
                                       int threads) {
  check_threads(threads);
  SplatArrays arrays;
  arrays.means = elements<float>(means, "means", {-1, 3});
  const py::ssize_t n = means.shape(0);
  if (n >= (int64_t{1} << 32)) {
    throw py::value_error("means has " + std::to_string(n) +
                          " rows; at most 4294967295 splats are supported. Split the scene");
  }
  arrays.count = n;
  arrays.opacities = elements<float>(opacities, "opacities", {n});
  arrays.scales = elements<float>(scales, "scales", {n, 3});
  arrays.quats = elements<float>(quats, "quats", {n, 4});
  if (colors.is_none() == sh.is_none()) {
    throw py::value_error("either colors or sh must be given, and not both");
  }
  if (sh.is_none()) {
    arrays.colors = elements<float>(colors, "colors", {n, 3});
  } else {
    arrays.sh = elements<float>(sh, "sh", {n, -1, 3});
    const py::ssize_t coefficients = py::reinterpret_borrow<py::array>(sh).shape(1);
    if (coefficients != 1 && coefficients != 4 && coefficients != 9 && coefficients != 16) {
      throw py::value_error("sh has " + std::to_string(coefficients) +
                            " coefficients; it must have 1, 4, 9 or 16 (degree 0 to 3)");
    }
    arrays.sh_count = static_cast<int>(coefficients);
  }
  std::unique_ptr<BoundModel> bound;
  {
    py::gil_scoped_release release;
    bound = std::make_unique<BoundModel>(arrays, threads);
  }
  bound->owners = {means, opacities, scales, quats, colors, sh};
  return bound;
}

// The last time that Python was asked for a Ctrl-C: at most every 50 ms.
struct Cancel {
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

bool interrupted(void* context) {
  Cancel& cancel = *static_cast<Cancel*>(context);
  const auto now = std::chrono::steady_clock::now();
  if (now - cancel.last < std::chrono::milliseconds(50)) return false;
  cancel.last = now;
  py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

py::dict stats_dict(const FrameStats& s) {
  py::dict d;
  d["project"] = s.project;
  d["sort"] = s.sort;
  d["bin"] = s.bin;
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

// Lists of tiles count in 32 bits.
constexpr int64_t kMostPairs = int64_t{1} << 31;

Options options_of(int threads, const std::string& isa, int tile_size, int64_t pair_budget,
                   bool cull, bool timed) {
  Options options;
  check_threads(threads);
  if (pair_budget < 1) {
    throw py::value_error("pair_budget is " + std::to_string(pair_budget) +
                          "; it must be positive");
  }
  options.threads = threads;
  options.isa = parse_isa(isa);
  options.tile_size = tile_size;
  options.pair_budget = std::min(pair_budget, kMostPairs);
  options.cull = cull;
  options.timed = timed;
  return options;
}

// The checked views of a call.
std::vector<View> views_of(const Doubles& w2c, const Doubles& intrinsics, ImageSize size,
                           const Parameters& parameters, int tile_size) {
  check_image(size, tile_size);
  std::vector<View> views;
  for (const Camera& camera : cameras_of(w2c, intrinsics)) {
    views.push_back(make_view(camera, size, parameters, tile_size));
  }
  return views;
}

// Runs one(frame, first pixel) for each view, one after the other, without the GIL; Ctrl-C stops
// it.
template <class One>
py::dict each_view(BoundModel& bound, const std::vector<View>& views, const Parameters& parameters,
                   Options options, const One& one) {
  Cancel cancel;
  Interrupt interrupt;
  interrupt.check = interrupted;
  interrupt.context = &cancel;
  options.interrupt = &interrupt;
  FrameStats stats;
  {
    py::gil_scoped_release release;
    std::lock_guard<std::mutex> lock(bound.workspace.mutex);
    int64_t pixel = 0;
    for (const View& view : views) {
      if (interrupt.stop.load()) break;
      one(Frame(bound.model, view, parameters, options, bound.workspace, stats), pixel);
      pixel += static_cast<int64_t>(view.size.width) * view.size.height;
    }
  }
  if (interrupt.stop.load()) throw py::error_already_set();
  return stats_dict(stats);
}

// Refuses to write to the model's own arrays, which frames read, or to those read or written else.
void check_written(std::initializer_list<NamedArray> written, const BoundModel& bound,
                   std::initializer_list<NamedArray> read) {
  check_apart(written, read);
  for (const NamedArray& out : written) {
    for (const py::object& own : bound.owners) check_apart({out}, {{"an array of the model", own}});
  }
}

py::dict render(BoundModel& bound, const Doubles& w2c, const Doubles& intrinsics, int width,
                int height, const Parameters& parameters, py::array rgb, py::array alpha,
                py::array depth, int threads, const std::string& isa, int tile_size,
                int64_t pair_budget, bool cull, bool timed) {
  check_parameters(parameters);
  const Options options = options_of(threads, isa, tile_size, pair_budget, cull, timed);
  const std::vector<View> views = views_of(w2c, intrinsics, {width, height}, parameters, tile_size);
  const py::ssize_t count = static_cast<py::ssize_t>(views.size());
  const Image images = {elements_to_write<float>(rgb, "rgb", {count, height, width, 3}),
                        elements_to_write<float>(alpha, "alpha", {count, height, width}),
                        elements_to_write<float>(depth, "depth", {count, height, width})};
  check_written({{"rgb", rgb}, {"alpha", alpha}, {"depth", depth}}, bound, {});
  return each_view(bound, views, parameters, options, [&](const Frame& frame, int64_t pixel) {
    render_view(frame, {images.rgb + 3 * pixel, images.alpha + pixel, images.depth + pixel});
  });
}

// The caller's arrays, checked.
SplatGradients gradients_to(const BoundModel& bound, py::array& means, py::array& opacities,
                            py::array& scales, py::array& quats, py::array& color) {
  const SplatArrays& arrays = bound.model.arrays();
  const py::ssize_t n = bound.model.count();
  SplatGradients out;
  out.means = elements_to_write<float>(means, "means", {n, 3});
  out.opacities = elements_to_write<float>(opacities, "opacities", {n});
  out.scales = elements_to_write<float>(scales, "scales", {n, 3});
  out.quats = elements_to_write<float>(quats, "quats", {n, 4});
  out.colors = arrays.sh ? nullptr : elements_to_write<float>(color, "colors", {n, 3});
  out.sh = arrays.sh ? elements_to_write<float>(color, "sh", {n, arrays.sh_count, 3}) : nullptr;
  return out;
}

// Where the gradient to the first view's camera goes, or null.
CameraGradient* camera_gradients_to(const py::object& cameras, py::ssize_t count) {
  if (cameras.is_none()) return nullptr;
  return reinterpret_cast<CameraGradient*>(
      elements_to_write<double>(cameras, "cameras", {count, kCameraGradients}));
}

// Adds the gradients of all views.
py::dict backward(BoundModel& bound, const Doubles& w2c, const Doubles& intrinsics, int width,
                  int height, const Parameters& parameters, const py::array& g_rgb,
                  const py::array& g_alpha, const py::array& g_depth, py::array means,
                  py::array opacities, py::array scales, py::array quats, py::array color,
                  const py::object& cameras, int threads, const std::string& isa, int tile_size,
                  int64_t pair_budget) {
  check_parameters(parameters);
  const Options options = options_of(threads, isa, tile_size, pair_budget, true, false);
  const std::vector<View> views = views_of(w2c, intrinsics, {width, height}, parameters, tile_size);
  const py::ssize_t count = static_cast<py::ssize_t>(views.size());
  const ImageGradients images = {
      elements<float>(g_rgb, "the gradient of rgb", {count, height, width, 3}),
      elements<float>(g_alpha, "the gradient of alpha", {count, height, width}),
      elements<float>(g_depth, "the gradient of depth", {count, height, width})};
  const SplatGradients out = gradients_to(bound, means, opacities, scales, quats, color);
  CameraGradient* to_camera = camera_gradients_to(cameras, count);  // the next view's
  check_written({{"the gradient of means", means},
                 {"the gradient of opacities", opacities},
                 {"the gradient of scales", scales},
                 {"the gradient of quats", quats},
                 {"the gradient of color", color},
                 {"the gradient of cameras", cameras}},
                bound,
                {{"the gradient of rgb", g_rgb},
                 {"the gradient of alpha", g_alpha},
                 {"the gradient of depth", g_depth}});
  return each_view(bound, views, parameters, options, [&](const Frame& frame, int64_t pixel) {
    render_view_backward(frame,
                         {images.rgb + 3 * pixel, images.alpha + pixel, images.depth + pixel}, out,
                         to_camera ? to_camera++ : nullptr);
  });
}

// Adds the gradients of all views' losses, view v against target chosen[v]; the losses [V].
py::array_t<double> compare(BoundModel& bound, const Doubles& w2c, const Doubles& intrinsics,
                            int width, int height, const Parameters& parameters,
                            const py::array& premultiplied, const py::array& target_alpha,
                            const py::object& weights, const std::vector<int64_t>& chosen,
                            const Loss& loss, py::array means, py::array opacities,
                            py::array scales, py::array quats, py::array color,
                            const py::object& cameras, int threads, const std::string& isa,
                            int tile_size, int64_t pair_budget) {
  check_parameters(parameters);
  const Options options = options_of(threads, isa, tile_size, pair_budget, true, false);
  const std::vector<View> views = views_of(w2c, intrinsics, {width, height}, parameters, tile_size);
  const py::ssize_t count = static_cast<py::ssize_t>(views.size());
  const float* const rgb = elements<float>(premultiplied, "premultiplied", {-1, height, width, 3});
  const py::ssize_t targets = premultiplied.shape(0);
  const float* const alpha =
      elements<float>(target_alpha, "the target's alpha", {targets, height, width});
  const float* const weight =
      weights.is_none() ? nullptr : elements<float>(weights, "weights", {targets, height, width});
  if (static_cast<py::ssize_t>(chosen.size()) != count) {
    throw py::value_error("chosen has " + std::to_string(chosen.size()) +
                          " targets; it must name one for each of the " + std::to_string(count) +
                          " cameras");
  }
  for (const int64_t target : chosen) {
    if (target < 0 || target >= targets) {
      throw py::value_error("chosen has target " + std::to_string(target) + "; there are " +
                            std::to_string(targets) + ", counted from 0");
    }
  }
  const SplatGradients out = gradients_to(bound, means, opacities, scales, quats, color);
  CameraGradient* to_camera = camera_gradients_to(cameras, count);  // the next view's
  check_written({{"the gradient of means", means},
                 {"the gradient of opacities", opacities},
                 {"the gradient of scales", scales},
                 {"the gradient of quats", quats},
                 {"the gradient of color", color},
                 {"the gradient of cameras", cameras}},
                bound,
                {{"premultiplied", premultiplied},
                 {"the target's alpha", target_alpha},
                 {"weights", weights}});
  py::array_t<double> losses(count);
  double* const found = losses.mutable_data();
  const int64_t pixels = static_cast<int64_t>(width) * height;
  each_view(bound, views, parameters, options, [&](const Frame& frame, int64_t pixel) {
    const int64_t view = pixel / pixels, from = chosen[view] * pixels;
    const ImageTarget target = {rgb + 3 * from, alpha + from, weight ? weight + from : nullptr,
                                loss};
    found[view] = compare_view(frame, target, out, to_camera ? to_camera++ : nullptr);
  });
  return losses;
}

Loss make_loss(double huber, double slope, double square_share, double alpha_share, double factor) {
  const Loss loss = {static_cast<float>(huber), static_cast<float>(slope),
                     static_cast<float>(square_share), static_cast<float>(alpha_share),
                     static_cast<float>(factor)};
  if (!(loss.huber > 0) || !std::isfinite(loss.huber)) {
    throw py::value_error("huber is " + std::string(py::str(py::float_(huber))) +
                          "; it must be a positive number: the error from where colours count "
                          "linearly");
  }
  return loss;
}

}  // namespace

void bind(py::module_& module) {
  py::class_<Loss>(module, "ImageLoss", "What an error of a pixel costs.")
      .def(py::init(&make_loss), py::kw_only(), py::arg("huber"), py::arg("slope"),
           py::arg("square_share"), py::arg("alpha_share"), py::arg("factor") = 1.0);
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
           "Render V views into the given arrays; return seconds and counts.")
      .def("backward", &backward, py::arg("w2c"), py::arg("intrinsics"), py::arg("width"),
           py::arg("height"), py::arg("parameters"), py::arg("g_rgb"), py::arg("g_alpha"),
           py::arg("g_depth"), py::arg("means"), py::arg("opacities"), py::arg("scales"),
           py::arg("quats"), py::arg("color"), py::arg("cameras") = py::none(), py::kw_only(),
           py::arg("threads") = 0, py::arg("isa") = "", py::arg("tile_size") = 64,
           py::arg("pair_budget") = int64_t{2} << 20,
           "Add dL/d(splats) to the given arrays from dL/d(image); color is that of colors or sh.\n"
           "cameras [V, 8] float64, where given, takes dL/d(each camera): rotation, translation\n"
           "(world to camera from the left: x goes to exp(rotation) x + translation), fx, fy.")
      .def("compare", &compare, py::arg("w2c"), py::arg("intrinsics"), py::arg("width"),
           py::arg("height"), py::arg("parameters"), py::arg("premultiplied"),
           py::arg("target_alpha"), py::arg("weights"), py::arg("chosen"), py::arg("loss"),
           py::arg("means"), py::arg("opacities"), py::arg("scales"), py::arg("quats"),
           py::arg("color"), py::arg("cameras") = py::none(), py::kw_only(), py::arg("threads") = 0,
           py::arg("isa") = "", py::arg("tile_size") = 64,
           py::arg("pair_budget") = int64_t{2} << 20,
           "Render V views, compare view v with target chosen[v], and add the gradients of that\n"
           "loss as backward does; return the V losses.");
}

}  // namespace geolrm::raster
