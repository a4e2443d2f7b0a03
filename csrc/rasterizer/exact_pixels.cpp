#include "exact_pixels.h"

#include <algorithm>
#include <cmath>

namespace geolrm::raster {
namespace {

inline double root(double x) { return std::sqrt(x); }
#define GEOLRM_ARITHMETIC inline
#include "arithmetic/splat_rotation.h"
#include "arithmetic/splat_through.h"
#undef GEOLRM_ARITHMETIC

// 1 - alpha of a splat at (x, y) in px, from the caller's arrays: 1 where it does not reach.
double pass_at(const SplatArrays& splats, int64_t splat, const View& view,
               const Parameters& parameters, double x, double y) {
  const Camera& camera = view.camera;
  const PassView pass = {camera.rotation,        camera.translation,
                         {camera.fx, camera.fy}, {camera.cx, camera.cy},
                         view.clip_low,          view.clip_high,
                         parameters.eps2d,       std::log(parameters.alpha_min),
                         parameters.alpha_max,   parameters.antialiased};
  return splat_pass(splats.means + 3 * splat, splats.scales + 3 * splat, splats.quats + 4 * splat,
                    splats.opacities[splat], pass, x, y);
}

}  // namespace

ExactPixels::ExactPixels() = default;
ExactPixels::~ExactPixels() = default;

void ExactPixels::start_tile(const TileTask& task) {
  task_ = &task;
  listed_ = false;
}

double ExactPixels::pass(uint32_t id, int x, int y) const {
  return pass_at(task_->model->arrays(), id, *task_->view, *task_->parameters, x + 0.5, y + 0.5);
}

bool ExactPixels::counts(uint32_t id, int x, int y, float before) {
  const double limit = task_->parameters->transmittance_min;
  const double last = pass(id, x, y);
  const double after = before * last;
  if (before == 1.0f || std::fabs(after / limit - 1) > kTrusted) return after > limit;
  if (!listed_) list_tile();
  const int block_x = x / kBlock, block_y = y / kBlock;
  double t = 1;
  for (const Entry& entry : entries_) {
    const uint32_t at = static_cast<uint32_t>(entry.order);
    if (at == id) break;
    if (entry.block_x0 <= block_x && block_x <= entry.block_x1 && entry.block_y0 <= block_y &&
        block_y <= entry.block_y1) {
      t *= pass(at, x, y);
    }
  }
  return t * last > limit;
}

// From the model itself: what earlier passes rendered is listed nowhere any more.
void ExactPixels::list_tile() {
  constexpr int64_t kChunk = 1024 * SplatModel::kPadding;
  const View& view = *task_->view;
  const int64_t count = task_->model->count();
  const int x0 = task_->tile_x * view.tile_blocks, x1 = x0 + view.tile_blocks - 1;
  const int y0 = task_->tile_y * view.tile_blocks, y1 = y0 + view.tile_blocks - 1;
  std::vector<Candidate> found(static_cast<size_t>(std::min(count, kChunk)));
  entries_.clear();
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t end = std::min(begin + kChunk, count);
    const Found visible = RasterizerKernel::plain.project_splats(
        *task_->model, view, *task_->parameters, begin, end, ~0u, found.data());
    for (int64_t i = 0; i < visible.near; ++i) {
      const Candidate& c = found[i];
      if (c.block_x0 > x1 || c.block_x1 < x0 || c.block_y0 > y1 || c.block_y1 < y0) continue;
      const uint64_t order = static_cast<uint64_t>(c.key) << 32 | c.id;
      entries_.push_back({order, c.block_x0, c.block_x1, c.block_y0, c.block_y1});
    }
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.order < b.order; });
  listed_ = true;
}

}  // namespace geolrm::raster
