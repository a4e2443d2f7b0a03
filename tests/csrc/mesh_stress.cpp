// The mesh renderer under sanitizers: random and degenerate meshes, odd textures, extreme cameras,
// and the same bits whatever buffers a view is given.
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <vector>

#include "mesh_rasterizer/mesh_rasterizer.h"
#include "stress.h"
#include "thread_pool.h"

namespace {

using namespace geolrm;
using namespace geolrm::mesh;
using stress::Results;

constexpr int kSizes[][2] = {{1, 1}, {3, 8}, {5, 1}, {16, 16}, {7, 64}};  // of textures, in texels

TexturedMesh random_mesh(int vertices, int faces, unsigned seed) {
  std::mt19937 random(seed);
  const auto unit = [](std::mt19937& generator) { return stress::unit(generator) - 0.5f; };
  TexturedMesh mesh;
  for (int i = 0; i < vertices; ++i) {
    const float x = unit(random), y = unit(random), z = unit(random);
    mesh.vertices.push_back({x, y, z});
    const float u = unit(random), v = unit(random);
    mesh.uv.push_back({3 * u, 3 * v});
    if (i % 37 == 0) mesh.vertices[i].x = 1e30f;  // far away
    if (i % 41 == 0) mesh.vertices[i].z = -5;     // behind the camera
    if (i % 43 == 0) mesh.uv[i].u = -3e38f;
    if (i % 47 == 0 && i > 0) mesh.vertices[i] = mesh.vertices[i - 1];
  }
  for (int f = 0; f < faces; ++f) {
    std::array<int32_t, 3> corners;
    for (int32_t& corner : corners) corner = static_cast<int32_t>(random() % vertices);
    mesh.faces.push_back(corners);
    mesh.face_texture.push_back(f % 5);
  }
  for (const auto& size : kSizes) {
    std::vector<uint8_t> pixels(3 * size[0] * size[1]);
    for (uint8_t& value : pixels) value = static_cast<uint8_t>(random());
    mesh.textures.emplace_back(pixels.data(), size[0], size[1]);
  }
  return mesh;
}

MeshCamera camera_of(int size, double distance, double focal) {
  MeshCamera c = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, {0, 0, distance}, 0, 0, 0, 0};
  c.fx = c.fy = focal * size;
  c.cx = 0.4 * size;
  c.cy = 0.6 * size;
  return c;
}

struct Picture {
  std::vector<float> rgb, alpha, depth;
  int size;

  explicit Picture(int side)
      : rgb(3 * side * side, NAN), alpha(side * side, NAN), depth(side * side, NAN), size(side) {}
  MeshImage image() { return {size, size, rgb.data(), alpha.data(), depth.data()}; }
  bool operator==(const Picture& o) const {
    return rgb == o.rgb && alpha == o.alpha && depth == o.depth;
  }
};

void check(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

void check_picture(const Picture& picture) {
  for (size_t i = 0; i < picture.alpha.size(); ++i) {
    check(picture.alpha[i] >= 0 && picture.alpha[i] <= 1, "alpha is not in [0, 1]");
    check(std::isfinite(picture.depth[i]) && picture.depth[i] >= 0, "depth is not finite");
    for (int c = 0; c < 3; ++c) {
      const float value = picture.rgb[3 * i + c];
      check(value >= 0 && value <= 1 + 1e-5f, "rgb is not in [0, 1]");
      check(picture.alpha[i] > 0 || value == 0, "rgb is not 0 where alpha is");
    }
  }
}

void check_meshes(int size, int supersample, double distance, double focal, unsigned seed,
                  Results& results) {
  const TexturedMesh mesh = random_mesh(300, 700, seed);
  constexpr int kViews = 6;
  std::vector<MeshCamera> cameras;
  for (int v = 0; v < kViews; ++v) cameras.push_back(camera_of(size, distance + 0.1 * v, focal));
  std::vector<Picture> alone(kViews, Picture(size)), shared(kViews, Picture(size));
  for (int v = 0; v < kViews; ++v) {
    MeshWorkspace fresh;
    render_mesh(mesh, cameras[v], supersample, alone[v].image(), fresh);
    check_picture(alone[v]);
    results.add("plain", "mesh_rgb", alone[v].rgb);
    results.add("plain", "mesh_alpha", alone[v].alpha);
    results.add("plain", "mesh_depth", alone[v].depth);
  }
  std::vector<MeshWorkspace> workspaces(resolve_threads(3));
  parallel_for(kViews, 1, 3, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t v = begin; v < end; ++v) {
      render_mesh(mesh, cameras[v], supersample, shared[v].image(), workspaces[worker]);
    }
  });
  for (int v = 0; v < kViews; ++v) check(alone[v] == shared[v], "threads change the picture");
}

}  // namespace

int main(int count, char** words) {
  try {
    Results results(count > 1 ? words[1] : nullptr);
    for (int size : {1, 7, 40}) {
      for (int supersample : {1, 2, 3}) {
        check_meshes(size, supersample, 1.8, 1.0, 1, results);
        check_meshes(size, supersample, 0.3, 0.7, 2, results);      // in the middle of it
        check_meshes(size, supersample, 50.0, 1e6, 3, results);     // extreme focal length
        check_meshes(size, supersample, 1e300, 1e300, 4, results);  // overflows
      }
    }
    std::printf("mesh_stress: clean, %016" PRIx64 "\n", results.hash());
  } catch (const std::exception& error) {
    std::printf("mesh_stress: %s\n", error.what());
    return 1;
  }
  return 0;
}
