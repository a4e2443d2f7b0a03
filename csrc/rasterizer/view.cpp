#include "view.h"

#include <cmath>
#include <sstream>
#include <stdexcept>

namespace geolrm::raster {
namespace {

template <class Value>
[[noreturn]] void refuse(const char* name, Value value, const char* rule) {
  std::ostringstream text;
  text << name << " is " << value << "; " << rule;
  throw std::invalid_argument(text.str());
}

void check_camera(const Camera& c) {
  const double numbers[] = {c.fx, c.fy, c.cx, c.cy};
  const char* names[] = {"fx", "fy", "cx", "cy"};
  for (int i = 0; i < 4; ++i) {
    if (!std::isfinite(numbers[i])) refuse(names[i], numbers[i], "intrinsics must be finite");
  }
  if (!(c.fx > 0)) refuse("fx", c.fx, "focal lengths must be positive, in pixels");
  if (!(c.fy > 0)) refuse("fy", c.fy, "focal lengths must be positive, in pixels");
  for (double v : c.translation) {
    if (!std::isfinite(v)) refuse("w2c translation", v, "camera poses must be finite");
  }
  double worst = 0;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      double dot = 0;
      for (int k = 0; k < 3; ++k) dot += c.rotation[3 * i + k] * c.rotation[3 * j + k];
      const double off = std::fabs(dot - (i == j ? 1.0 : 0.0));
      worst = off <= worst ? worst : off;  // keeps a NaN
    }
  }
  if (!(worst < 2e-3)) {
    refuse("w2c rotation times its transpose, less the identity,", worst,
           "it must be below 0.002: pass a rigid world-to-camera matrix without scale");
  }
}

// A run of splats clamped to alpha_max can land on the limit itself, as two of 0.99 do on 1e-4:
// float would decide by its rounding there, so the limit gives way to the side double is on.
void set_transmittance_limit(const Parameters& p, View& view) {
  constexpr double kMargin = 1e-5;
  const double pass = 1.0 - p.alpha_max;
  view.transmittance_limit = static_cast<float>(p.transmittance_min);
  view.clamped_run = 0;
  double before = 0, t = 1.0;
  for (int i = 0; i < 10000 && t > p.transmittance_min * (1 - kMargin); ++i) {
    if (std::fabs(t / p.transmittance_min - 1) < kMargin) {
      const double side = t > p.transmittance_min ? 1 - kMargin : 1 + kMargin;
      view.transmittance_limit = static_cast<float>(p.transmittance_min * side);
      view.clamped_run = before < 1 ? static_cast<float>(before) : 0;
      return;
    }
    before = t;
    t *= pass;
  }
}

}  // namespace

void check_parameters(const Parameters& p) {
  if (!(p.near_plane > 0) || !std::isfinite(p.near_plane)) {
    refuse("near", p.near_plane, "it must be positive and finite, in scene units");
  }
  if (!(p.eps2d >= 0) || !std::isfinite(p.eps2d)) {
    refuse("eps2d", p.eps2d, "it must be 0 or more and finite, in square pixels");
  }
  if (!(p.alpha_max > 0 && p.alpha_max < 1)) {
    refuse("alpha_max", p.alpha_max, "it must lie in (0, 1). Use 0.99 or 0.999");
  }
  if (!(p.alpha_min >= 1e-6 && p.alpha_min < 1)) {
    refuse("alpha_min", p.alpha_min, "it must lie in [1e-6, 1). Use 1/255");
  }
  if (!(p.transmittance_min >= 1e-20 && p.transmittance_min < 1)) {
    refuse("transmittance_min", p.transmittance_min, "it must lie in [1e-20, 1). Use 1e-4");
  }
  if (!(p.clip_margin >= 0) || !std::isfinite(p.clip_margin)) {
    refuse("clip_margin", p.clip_margin, "it must be 0 or more and finite. Use 0.3");
  }
  for (float v : p.background) {
    if (!std::isfinite(v)) refuse("background", v, "its three values must be finite");
  }
}

void check_image(ImageSize size, int tile_size) {
  for (int side : {size.width, size.height}) {
    if (side < 1 || side > kMaxImageSide) {
      refuse("image side", side, "it must lie in [1, 16384] px. Render larger images in parts");
    }
  }
  if (tile_size != 32 && tile_size != 64) refuse("tile_size", tile_size, "it must be 32 or 64");
}

View make_view(const Camera& camera, ImageSize size, const Parameters& parameters, int tile_size) {
  check_image(size, tile_size);
  check_camera(camera);
  View view;
  view.camera = camera;
  view.size = size;
  view.blocks_x = (size.width + kBlock - 1) / kBlock;
  view.blocks_y = (size.height + kBlock - 1) / kBlock;
  view.tile_blocks = tile_size / kBlock;
  view.tiles_x = (view.blocks_x + view.tile_blocks - 1) / view.tile_blocks;
  view.tiles_y = (view.blocks_y + view.tile_blocks - 1) / view.tile_blocks;
  const double grow_x = parameters.clip_margin * 0.5 * size.width / camera.fx;
  const double grow_y = parameters.clip_margin * 0.5 * size.height / camera.fy;
  view.clip_low[0] = -(camera.cx / camera.fx + grow_x);
  view.clip_low[1] = -(camera.cy / camera.fy + grow_y);
  view.clip_high[0] = (size.width - camera.cx) / camera.fx + grow_x;
  view.clip_high[1] = (size.height - camera.cy) / camera.fy + grow_y;
  for (int k = 0; k < 3; ++k) {
    view.centre[k] = 0;
    for (int j = 0; j < 3; ++j) {
      view.centre[k] -= camera.rotation[3 * j + k] * camera.translation[j];
    }
  }
  view.log2_inv_alpha_min = static_cast<float>(-std::log2(parameters.alpha_min));
  set_transmittance_limit(parameters, view);
  return view;
}

}  // namespace geolrm::raster
