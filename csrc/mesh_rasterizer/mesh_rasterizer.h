// Textured triangle meshes as unlit, double-sided pictures: what the training data is made of.
//
// Two steps a view: find the face seen at each of the S x S samples of a pixel (visibility.h),
// then look up the texture once for each covered sample. Colour is the mean over the covered
// samples, alpha their share, depth the z-depth of what is seen at the pixel's centre.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "texture.h"
#include "visibility.h"

namespace geolrm::mesh {

constexpr double kNear = 0.01;  // faces with a vertex closer than this are left out

struct Vertex {
  float x, y, z;
};

struct Coordinate {
  float u, v;  // of a vertex: v up, texel row = (1 - v) * height
};

struct TexturedMesh {
  std::vector<Vertex> vertices;
  std::vector<Coordinate> uv;                 // one a vertex
  std::vector<std::array<int32_t, 3>> faces;  // indices of vertices
  std::vector<int32_t> face_texture;          // one a face, index of a texture
  std::vector<Texture> textures;
};

// A pinhole camera: OpenCV axes (x right, y down, z forward), focal lengths and centre in pixels.
struct MeshCamera {
  double rotation[9];
  double translation[3];
  double fx, fy, cx, cy;
};

// Row-major pictures of one view, written whole.
struct MeshImage {
  int width, height;
  float* rgb;    // [height, width, 3], straight; 0 where alpha is 0
  float* alpha;  // [height, width], in [0, 1]
  float* depth;  // [height, width], 0 where nothing is at the pixel's centre
};

// A plane over the image, relative to the first vertex of its face.
struct Plane {
  float slope_x, slope_y, base;
  float at(float dx, float dy) const { return base + slope_x * dx + slope_y * dy; }
};

// What the lookup needs of one face.
struct FacePlanes {
  float x, y;            // first vertex, px
  Plane iz, u_iz, t_iz;  // 1 / z, u / z, t / z
  Coordinate low, high;  // of u and t: slivers must not look up texels of others
  const Texture* texture;
};

// The buffers of one worker, kept between views.
struct MeshWorkspace {
  std::vector<ScreenPoint> points;  // one a vertex
  std::vector<FacePlanes> planes;   // one a face, filled where the face is seen
  std::vector<uint8_t> has_planes;
  Visibility samples, centres;
};

void render_mesh(const TexturedMesh& mesh, const MeshCamera& camera, int supersample,
                 const MeshImage& image, MeshWorkspace& workspace);

}  // namespace geolrm::mesh
