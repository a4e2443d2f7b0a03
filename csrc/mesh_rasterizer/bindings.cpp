#include "python/bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "mesh_rasterizer.h"
#include "python/array_checks.h"
#include "python/initialised.h"
#include "thread_pool.h"

GEOLRM_BOUND_CLASS(geolrm::mesh::TexturedMesh)

namespace py = pybind11;

namespace geolrm::mesh {
namespace {

constexpr int kLargestSide = 16384;
constexpr int kLargestSupersample = 16;
constexpr int64_t kMostSamples = int64_t{1} << 28;

void check_finite(const float* values, py::ssize_t rows, int columns, const char* name) {
  for (py::ssize_t i = 0; i < rows * columns; ++i) {
    if (!std::isfinite(values[i])) {
      std::ostringstream text;
      text << name << " of vertex " << i / columns << " is " << values[i] << "; it must be finite";
      throw py::value_error(text.str());
    }
  }
}

void check_index(int32_t index, size_t count, const char* name, size_t row, const char* target) {
  if (index < 0 || static_cast<size_t>(index) >= count) {
    throw py::value_error(std::string(name) + " " + std::to_string(row) + " names " + target + " " +
                          std::to_string(index) + ", but there are " + std::to_string(count) +
                          "; indices must be 0 or more and below that");
  }
}

std::unique_ptr<TexturedMesh> make_mesh(const py::array& vertices, const py::array& faces,
                                        const py::array& uv, const std::vector<py::array>& textures,
                                        const py::array& face_texture) {
  auto mesh = std::make_unique<TexturedMesh>();
  const float* points = elements<float>(vertices, "vertices", {-1, 3});
  const int32_t* corners = elements<int32_t>(faces, "faces", {-1, 3});
  const py::ssize_t count = vertices.shape(0);
  const float* coordinates = elements<float>(uv, "uv", {count, 2});
  const int32_t* chosen = elements<int32_t>(face_texture, "face_texture", {faces.shape(0)});
  check_finite(points, count, 3, "vertices");
  check_finite(coordinates, count, 2, "uv");
  mesh->vertices.resize(count);
  mesh->uv.resize(count);
  mesh->faces.resize(faces.shape(0));
  for (py::ssize_t i = 0; i < count; ++i) {
    mesh->vertices[i] = {points[3 * i], points[3 * i + 1], points[3 * i + 2]};
    mesh->uv[i] = {coordinates[2 * i], coordinates[2 * i + 1]};
  }
  for (size_t f = 0; f < mesh->faces.size(); ++f) {
    for (int c = 0; c < 3; ++c) {
      check_index(corners[3 * f + c], mesh->vertices.size(), "face", f, "vertex");
      mesh->faces[f][c] = corners[3 * f + c];
    }
    check_index(chosen[f], textures.size(), "face", f, "texture");
  }
  mesh->face_texture.assign(chosen, chosen + mesh->faces.size());
  for (size_t t = 0; t < textures.size(); ++t) {
    const std::string name = "texture " + std::to_string(t);
    const uint8_t* pixels = elements<uint8_t>(textures[t], name, {-1, -1, 3});
    const py::ssize_t height = textures[t].shape(0), width = textures[t].shape(1);
    if (std::min(width, height) < 1 || std::max(width, height) > kLargestSide) {
      throw py::value_error(name + " has " + std::to_string(width) + " x " +
                            std::to_string(height) + " texels; each side must be 1 to " +
                            std::to_string(kLargestSide));
    }
    py::gil_scoped_release release;
    mesh->textures.emplace_back(pixels, static_cast<int>(width), static_cast<int>(height));
  }
  return mesh;
}

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

std::vector<MeshCamera> cameras_of(const Doubles& w2c, const Doubles& intrinsics) {
  const double* poses = elements<double>(w2c, "w2c", {-1, 4, 4});
  const py::ssize_t views = w2c.shape(0);
  const double* matrices = elements<double>(intrinsics, "intrinsics", {views, 3, 3});
  std::vector<MeshCamera> cameras(views);
  for (py::ssize_t v = 0; v < views; ++v, poses += 16, matrices += 9) {
    for (int i = 0; i < 16; ++i) {
      if (!std::isfinite(poses[i]) || !std::isfinite(matrices[std::min(i, 8)])) {
        throw py::value_error("camera " + std::to_string(v) +
                              " holds NaN or infinity; every entry of w2c and intrinsics must be "
                              "finite");
      }
    }
    MeshCamera& camera = cameras[v];
    for (int row = 0; row < 3; ++row) {
      std::memcpy(camera.rotation + 3 * row, poses + 4 * row, 3 * sizeof(double));
      camera.translation[row] = poses[4 * row + 3];
    }
    camera.fx = matrices[0];
    camera.fy = matrices[4];
    camera.cx = matrices[2];
    camera.cy = matrices[5];
    if (!(camera.fx > 0 && camera.fy > 0)) {
      std::ostringstream text;
      text << "intrinsics of camera " << v << " have fx = " << camera.fx << ", fy = " << camera.fy
           << "; focal lengths must be positive, in pixels";
      throw py::value_error(text.str());
    }
  }
  return cameras;
}

void check_size(int64_t width, int64_t height, int supersample, int threads) {
  if (std::min(width, height) < 1 || std::max(width, height) > kLargestSide) {
    throw py::value_error("the image is " + std::to_string(width) + " x " + std::to_string(height) +
                          " px; each side must be 1 to " + std::to_string(kLargestSide));
  }
  if (supersample < 1 || supersample > kLargestSupersample) {
    throw py::value_error("supersample is " + std::to_string(supersample) + "; it must be 1 to " +
                          std::to_string(kLargestSupersample));
  }
  const int64_t samples = width * height * supersample * supersample;
  if (samples > kMostSamples) {
    throw py::value_error("a view has " + std::to_string(samples) + " samples; at most " +
                          std::to_string(kMostSamples) +
                          " are supported: lower the size or supersample");
  }
  check_threads(threads);
}

void render(const TexturedMesh& mesh, const Doubles& w2c, const Doubles& intrinsics, int width,
            int height, int supersample, py::array rgb, py::array alpha, py::array depth,
            int threads) {
  check_size(width, height, supersample, threads);
  const std::vector<MeshCamera> cameras = cameras_of(w2c, intrinsics);
  const py::ssize_t views = static_cast<py::ssize_t>(cameras.size());
  float* rgb_data = elements_to_write<float>(rgb, "rgb", {views, height, width, 3});
  float* alpha_data = elements_to_write<float>(alpha, "alpha", {views, height, width});
  float* depth_data = elements_to_write<float>(depth, "depth", {views, height, width});
  check_apart({{"rgb", rgb}, {"alpha", alpha}, {"depth", depth}}, {});
  py::gil_scoped_release release;
  std::vector<MeshWorkspace> workspaces(std::min<int64_t>(resolve_threads(threads), views));
  const int64_t pixels = int64_t{1} * width * height;
  parallel_for(views, 1, threads, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t v = begin; v < end; ++v) {
      const MeshImage image = {width, height, rgb_data + 3 * pixels * v, alpha_data + pixels * v,
                               depth_data + pixels * v};
      render_mesh(mesh, cameras[v], supersample, image, workspaces[worker]);
    }
  });
}

// One view: which face is seen at each pixel's centre, and 1 / z there.
void visible_faces(const py::array& points, const py::array& faces, int width, int height,
                   py::array ids, py::array iz) {
  check_size(width, height, 1, 1);
  const double* places = elements<double>(points, "points", {-1, 3});
  const int32_t* corners = elements<int32_t>(faces, "faces", {-1, 3});
  int32_t* id_data = elements_to_write<int32_t>(ids, "ids", {height, width});
  float* iz_data = elements_to_write<float>(iz, "iz", {height, width});
  check_apart({{"ids", ids}, {"iz", iz}}, {{"points", points}, {"faces", faces}});
  const size_t count = points.shape(0), face_count = faces.shape(0);
  if (face_count > std::numeric_limits<int32_t>::max()) {
    throw py::value_error("there are " + std::to_string(face_count) +
                          " faces; at most 2147483647 can be numbered");
  }
  for (size_t i = 0; i < 3 * count; ++i) {
    if (!std::isfinite(places[i])) {
      std::ostringstream text;
      text << "points of vertex " << i / 3 << " is " << places[i] << "; it must be finite";
      throw py::value_error(text.str());
    }
  }
  for (size_t i = 0; i < 3 * face_count; ++i) {
    check_index(corners[i], count, "face", i / 3, "vertex");
  }
  py::gil_scoped_release release;
  Visibility samples;
  samples.reset(width, height, 1);
  const auto point = [&](int32_t index) {
    const double* place = places + 3 * size_t(index);
    return ScreenPoint{place[0], place[1], place[2]};
  };
  for (size_t f = 0; f < face_count; ++f) {
    const int32_t* corner = corners + 3 * f;
    samples.draw(point(corner[0]), point(corner[1]), point(corner[2]), static_cast<int32_t>(f));
  }
  for (int row = 0; row < height; ++row) {
    for (int column = 0; column < width; ++column) {
      const int64_t pixel = int64_t{1} * row * width + column;
      iz_data[pixel] = samples.iz(column, row);
      id_data[pixel] = iz_data[pixel] > 0 ? samples.id(column, row) : -1;
    }
  }
}

}  // namespace

void bind(py::module_& module) {
  module.def("visible_faces", &visible_faces, py::arg("points"), py::arg("faces"), py::arg("width"),
             py::arg("height"), py::arg("ids"), py::arg("iz"),
             "Fills ids [H, W] i32 with the face seen at each pixel's centre (-1: none) and\n"
             "iz [H, W] f32 with its 1 / z (0: none), from points [P, 3] f64: x and y in pixels,\n"
             "1 / z, which is 0 for what is too near to be drawn. faces [F, 3] i32.");
  py::class_<TexturedMesh>(
      module, "TexturedMesh",
      "A triangle mesh with its textures, copied, ready to be rendered from any number of cameras.")
      .def(py::init(&make_mesh), py::arg("vertices"), py::arg("faces"), py::arg("uv"),
           py::arg("textures"), py::arg("face_texture"),
           "vertices [P, 3] f32, faces [F, 3] i32, uv [P, 2] f32 (v up), textures: list of\n"
           "[H, W, 3] u8, face_texture [F] i32, the texture of each face.")
      .def("render", &render, py::arg("w2c"), py::arg("intrinsics"), py::arg("width"),
           py::arg("height"), py::arg("supersample"), py::arg("rgb"), py::arg("alpha"),
           py::arg("depth"), py::arg("threads") = 1,
           "Fills rgb [V, H, W, 3] (straight), alpha [V, H, W] and depth [V, H, W] (z, 0: none),\n"
           "all f32, from w2c [V, 4, 4] (OpenCV axes) and intrinsics [V, 3, 3] (px). Views are\n"
           "shared out among threads (0: all cores); the bits do not depend on their number.");
}

}  // namespace geolrm::mesh
