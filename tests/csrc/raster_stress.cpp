// The rasterizer's core under sanitizers: random and degenerate scenes, every instruction set,
// forward and backward, and the same bits whatever the threads, tiles and passes.
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#include "cpu_features.h"
#include "rasterizer/rasterizer.h"
#include "rasterizer/view.h"
#include "stress.h"

namespace {

using namespace geolrm;
using namespace geolrm::raster;
using stress::Results;
using stress::unit;

struct Scene {
  std::vector<float> means, opacities, scales, quats, colors;

  SplatArrays arrays() const {
    SplatArrays a;
    a.count = static_cast<int64_t>(opacities.size());
    a.means = means.data();
    a.opacities = opacities.data();
    a.scales = scales.data();
    a.quats = quats.data();
    a.colors = colors.data();
    return a;
  }
};

Scene random_scene(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  Scene s;
  for (int64_t i = 0; i < count; ++i) {
    for (int k = 0; k < 3; ++k) s.means.push_back(unit(random) - 0.5f);
    s.opacities.push_back(unit(random));
    for (int k = 0; k < 3; ++k) {
      const float u = unit(random);
      s.scales.push_back(0.007f + 0.13f * u * u * u);
    }
    for (int k = 0; k < 4; ++k) s.quats.push_back(unit(random) - 0.5f);
    for (int k = 0; k < 3; ++k) s.colors.push_back(unit(random));
    if (i % 50 == 0) s.scales[3 * i] = 100.0f;                           // needles
    if (i % 61 == 0) std::memset(&s.scales[3 * i], 0, 12);               // points
    if (i % 67 == 0) s.means[3 * i] = 1e20f;                             // far away
    if (i % 71 == 0) s.scales[3 * i + 1] = s.scales[3 * i + 2] = 1e20f;  // no finite covariance
    if (i % 73 == 0) s.opacities[i] = 0;
    if (i % 3 == 0) s.opacities[i] = 1 - 1e-3f * s.opacities[i];  // may end a pixel alone
  }
  return s;
}

Camera camera_of(ImageSize size, double distance) {
  Camera c = {{1, 0, 0, 0, 1, 0, 0, 0, 1}, {0, 0, distance}, 0, 0, 0, 0};
  c.fx = c.fy = size.width;
  c.cx = 0.4 * size.width;
  c.cy = 0.6 * size.height;
  return c;
}

struct Rendered {
  std::vector<float> rgb, alpha, depth, gradients;
  double loss = 0;
};

Rendered render(const Scene& scene, ImageSize size, const Options& options, int tile_size) {
  const size_t pixels = static_cast<size_t>(size.width) * size.height;
  Rendered f;
  f.rgb.resize(3 * pixels);
  f.alpha.resize(pixels);
  f.depth.resize(pixels);
  const SplatModel model(scene.arrays(), options.threads);
  Parameters parameters;
  parameters.alpha_max = 0.9995;
  const View view = make_view(camera_of(size, 0.7), size, parameters, tile_size);
  Workspace workspace;
  FrameStats stats;
  const Frame frame(model, view, parameters, options, workspace, stats);
  render_view(frame, {f.rgb.data(), f.alpha.data(), f.depth.data()});
  const size_t n = scene.opacities.size();
  f.gradients.assign(14 * n, 0.0f);
  float* g = f.gradients.data();
  const SplatGradients out = {g, g + 3 * n, g + 4 * n, g + 7 * n, g + 11 * n, nullptr};
  render_view_backward(frame, {f.rgb.data(), f.alpha.data(), f.depth.data()}, out);
  const std::vector<float> wanted(3 * pixels, 0.3f), opaque(pixels, 0.6f);
  const ImageTarget target = {wanted.data(), opaque.data(), nullptr, {0.02f, 0.1f, 0.5f, 1, 1}};
  f.loss = compare_view(frame, target, out);
  return f;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

void check(int64_t count, ImageSize size, Isa isa, Results& results) {
  const Scene scene = random_scene(count, static_cast<unsigned>(count));
  Options options;
  options.isa = isa;
  options.threads = 1;
  const Rendered first = render(scene, size, options, 64);
  options.threads = 4;
  const Rendered threaded = render(scene, size, options, 64);
  options.pair_budget = 500;
  const Rendered passes = render(scene, size, options, 32);
  if (!same(first.gradients, threaded.gradients)) throw std::runtime_error("gradients differ");
  if (first.loss != threaded.loss) throw std::runtime_error("losses differ");
  for (const Rendered* other : {&threaded, &passes}) {
    if (!same(first.rgb, other->rgb) || !same(first.alpha, other->alpha) ||
        !same(first.depth, other->depth)) {
      throw std::runtime_error("images differ");
    }
  }
  for (float v : first.rgb) {
    if (!std::isfinite(v)) throw std::runtime_error("a pixel is not finite");
  }
  results.add(isa_name(isa), "rgb", first.rgb);
  results.add(isa_name(isa), "alpha", first.alpha);
  results.add(isa_name(isa), "depth", first.depth);
  results.add(isa_name(isa), "splat_gradients", first.gradients);
}

}  // namespace

int main(int words, char** word) {
  Results results(words > 1 ? word[1] : nullptr);
  for (Isa isa : stress::isas()) {
    for (int64_t count : {0, 1, 63, 64, 65, 1000, 9000}) {
      for (ImageSize size : {ImageSize{1, 1}, ImageSize{67, 45}, ImageSize{200, 130}}) {
        check(count, size, isa, results);
      }
    }
    std::printf("raster_stress, %s: clean, %016" PRIx64 "\n", isa_name(isa), results.hash());
  }
  return 0;
}
