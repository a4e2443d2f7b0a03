#include "texture.h"

#include <algorithm>
#include <cmath>

namespace geolrm::mesh {
namespace {

// The shares of up to three source texels in one texel of half the resolution.
struct Taps {
  int first, count;
  float weight[3];
};

std::vector<Taps> halving_taps(int size) {
  const int half = std::max(1, size / 2);
  std::vector<Taps> taps(half);
  for (int i = 0; i < half; ++i) {
    if (size == 1) {
      taps[i] = {0, 1, {1, 0, 0}};
    } else if (size % 2 == 0) {
      taps[i] = {2 * i, 2, {0.5f, 0.5f, 0}};
    } else {
      const float n = static_cast<float>(size);
      taps[i] = {2 * i, 3, {(half - i) / n, half / n, (i + 1) / n}};
    }
  }
  return taps;
}

// An index that is off by at most one, brought back by repetition.
int repeat(int index, int size) {
  if (index < 0) return index + size;
  return index >= size ? index - size : index;
}

// In [0, 1]; of what is not finite, 0.
float fraction(float value) {
  const float rest = value - std::floor(value);
  return rest >= 0 ? rest : 0.0f;
}

}  // namespace

Texture::Texture(const uint8_t* pixels, int width, int height) {
  Level base{width, height, std::vector<uint16_t>(size_t{4} * width * height)};
  const int64_t count = int64_t{1} * width * height;
  for (int64_t i = 0; i < count; ++i) {
    for (int c = 0; c < 3; ++c) {
      base.texels[4 * i + c] = static_cast<uint16_t>(257 * pixels[3 * i + c]);
    }
  }
  levels_.push_back(std::move(base));
  while (levels_.back().width > 1 || levels_.back().height > 1) {
    levels_.push_back(halve(levels_.back()));
  }
}

Texture::Level Texture::halve(const Level& level) {
  const std::vector<Taps> columns = halving_taps(level.width), rows = halving_taps(level.height);
  Level half{static_cast<int>(columns.size()), static_cast<int>(rows.size()), {}};
  half.texels.resize(size_t{4} * half.width * half.height);
  uint16_t* out = half.texels.data();
  for (const Taps& row : rows) {
    for (const Taps& column : columns) {
      float sum[4] = {};
      for (int j = 0; j < row.count; ++j) {
        const uint16_t* in =
            &level.texels[4 * (size_t(row.first + j) * level.width + column.first)];
        for (int i = 0; i < column.count; ++i, in += 4) {
          const float weight = row.weight[j] * column.weight[i];
          for (int c = 0; c < 4; ++c) sum[c] += weight * in[c];
        }
      }
      for (int c = 0; c < 4; ++c) *out++ = static_cast<uint16_t>(sum[c] + 0.5f);
    }
  }
  return half;
}

void Texture::add_bilinear(const Level& level, float u, float t, float weight, float* sum) {
  const float x = u * level.width - 0.5f, y = t * level.height - 0.5f;
  const float left = std::floor(x), top = std::floor(y);
  const float fx = x - left, fy = y - top;
  const int x0 = repeat(static_cast<int>(left), level.width);
  const int x1 = repeat(static_cast<int>(left) + 1, level.width);
  const size_t y0 = repeat(static_cast<int>(top), level.height);
  const size_t y1 = repeat(static_cast<int>(top) + 1, level.height);
  const uint16_t* row0 = level.texels.data() + 4 * y0 * level.width;
  const uint16_t* row1 = level.texels.data() + 4 * y1 * level.width;
  const float w01 = weight * (1 - fy) * fx, w00 = weight * (1 - fy) * (1 - fx);
  const float w11 = weight * fy * fx, w10 = weight * fy * (1 - fx);
  for (int c = 0; c < 4; ++c) {
    sum[c] += w00 * row0[4 * x0 + c] + w01 * row0[4 * x1 + c] + w10 * row1[4 * x0 + c] +
              w11 * row1[4 * x1 + c];
  }
}

Rgb Texture::sample(float u, float t, float lod) const {
  u = fraction(u);
  t = fraction(t);
  float sum[4] = {};
  const int last = static_cast<int>(levels_.size()) - 1;
  const float clamped = lod > 0 ? std::min(lod, static_cast<float>(last)) : 0.0f;
  const int level = static_cast<int>(clamped);
  const float blend = clamped - level;
  add_bilinear(levels_[level], u, t, 1 - blend, sum);
  if (blend > 0) add_bilinear(levels_[level + 1], u, t, blend, sum);
  constexpr float scale = 1.0f / 65535;
  return {sum[0] * scale, sum[1] * scale, sum[2] * scale};
}

}  // namespace geolrm::mesh
