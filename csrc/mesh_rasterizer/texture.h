// A texture with its mip pyramid, and the trilinear lookup.
#pragma once

#include <cstdint>
#include <vector>

namespace geolrm::mesh {

struct Rgb {
  float r, g, b;  // in [0, 1], encoded as the texture is
};

// Level 0 is the image itself; each next level halves both sides (rounded down, at least 1) by an
// area average. Coordinates repeat, as is the custom of glTF.
class Texture {
 public:
  Texture(const uint8_t* pixels, int width, int height);  // pixels: [height, width, 3]

  int width() const { return levels_[0].width; }
  int height() const { return levels_[0].height; }

  // u right, t DOWN, both in units of the image; lod: log2 of texels per sample.
  Rgb sample(float u, float t, float lod) const;

 private:
  // 16 bits: averages of averages stay exact enough; 4 channels: one load a texel.
  struct Level {
    int width, height;
    std::vector<uint16_t> texels;  // [height, width, 4], value / 65535
  };

  static Level halve(const Level& level);
  static void add_bilinear(const Level& level, float u, float t, float weight, float* sum);

  std::vector<Level> levels_;
};

}  // namespace geolrm::mesh
