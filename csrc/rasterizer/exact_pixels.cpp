#include "exact_pixels.h"

#include <algorithm>
#include <cmath>

namespace geolrm::raster {
namespace {

// Float T in front of the last splat is trusted to this share: beyond it, what double finds of the
// last splat alone decides.
constexpr double kTrusted = 1e-4;

// 1 - alpha of a splat at (x, y) in px, from the caller's arrays: 1 where it does not reach.
double pass_at(const SplatArrays& splats, int64_t splat, const View& view,
               const Parameters& parameters, double x, double y) {
  const Camera& camera = view.camera;
  const double* r = camera.rotation;
  double axes[9], point[3], plane[2][3];
  rotation_of(splats.quats + 4 * splat, axes);
  for (int k = 0; k < 9; ++k) axes[k] *= splats.scales[3 * splat + k % 3];
  for (int i = 0; i < 3; ++i) {
    point[i] = camera.translation[i];
    for (int k = 0; k < 3; ++k) point[i] += r[3 * i + k] * splats.means[3 * splat + k];
  }
  const double focal[2] = {camera.fx, camera.fy}, centre[2] = {camera.cx, camera.cy};
  const double pixel[2] = {x, y};
  double offset[2];
  for (int i = 0; i < 2; ++i) {
    const double ratio = point[i] / point[2], scale = focal[i] / point[2];
    const double limited = std::clamp(ratio, view.clip_low[i], view.clip_high[i]);
    offset[i] = pixel[i] - (focal[i] * ratio + centre[i]);
    for (int k = 0; k < 3; ++k) {
      plane[i][k] = 0;
      for (int j = 0; j < 3; ++j) {
        plane[i][k] += scale * (r[3 * i + j] - limited * r[6 + j]) * axes[3 * j + k];
      }
    }
  }
  double xx = 0, xy = 0, yy = 0, before = 0;
  for (int k = 0; k < 3; ++k) {
    xx += plane[0][k] * plane[0][k];
    xy += plane[0][k] * plane[1][k];
    yy += plane[1][k] * plane[1][k];
    const int next = (k + 1) % 3;
    const double minor = plane[0][k] * plane[1][next] - plane[0][next] * plane[1][k];
    before += minor * minor;
  }
  const double eps = parameters.eps2d;
  const double after = before + eps * (xx + yy) + eps * eps;
  const double u = offset[0], v = offset[1];
  const double sigma = 0.5 * ((yy + eps) * u * u - 2 * xy * u * v + (xx + eps) * v * v) / after;
  double log_alpha = std::log(static_cast<double>(splats.opacities[splat])) - sigma;
  if (parameters.antialiased) log_alpha += 0.5 * std::log(before / after);
  if (!(log_alpha >= std::log(parameters.alpha_min))) return 1;
  return std::max(-std::expm1(log_alpha), 1.0 - parameters.alpha_max);
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
