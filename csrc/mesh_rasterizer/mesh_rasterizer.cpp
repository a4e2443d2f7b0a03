#include "mesh_rasterizer.h"

#include <algorithm>
#include <cmath>

namespace geolrm::mesh {
namespace {

ScreenPoint project(const Vertex& p, const MeshCamera& camera) {
  const double* r = camera.rotation;
  const double x = r[0] * p.x + r[1] * p.y + r[2] * p.z + camera.translation[0];
  const double y = r[3] * p.x + r[4] * p.y + r[5] * p.z + camera.translation[1];
  const double z = r[6] * p.x + r[7] * p.y + r[8] * p.z + camera.translation[2];
  if (!(z >= kNear)) return {0, 0, 0};
  return {camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy, 1 / z};
}

float clamp(float value, float low, float high) { return std::min(std::max(value, low), high); }

FacePlanes planes_of(const TexturedMesh& mesh, const std::vector<ScreenPoint>& points,
                     int32_t face) {
  const std::array<int32_t, 3>& corner = mesh.faces[face];
  const ScreenPoint &p0 = points[corner[0]], &p1 = points[corner[1]], &p2 = points[corner[2]];
  const double dx1 = p1.x - p0.x, dy1 = p1.y - p0.y, dx2 = p2.x - p0.x, dy2 = p2.y - p0.y;
  const double inverse = 1 / (dx1 * dy2 - dx2 * dy1);
  const auto plane = [&](double v0, double v1, double v2) {
    const double d1 = v1 - v0, d2 = v2 - v0;
    return Plane{static_cast<float>((d1 * dy2 - d2 * dy1) * inverse),
                 static_cast<float>((d2 * dx1 - d1 * dx2) * inverse), static_cast<float>(v0)};
  };
  const Coordinate &c0 = mesh.uv[corner[0]], &c1 = mesh.uv[corner[1]], &c2 = mesh.uv[corner[2]];
  const float t0 = 1 - c0.v, t1 = 1 - c1.v, t2 = 1 - c2.v;
  return {static_cast<float>(p0.x),
          static_cast<float>(p0.y),
          plane(p0.iz, p1.iz, p2.iz),
          plane(c0.u * p0.iz, c1.u * p1.iz, c2.u * p2.iz),
          plane(t0 * p0.iz, t1 * p1.iz, t2 * p2.iz),
          {std::min({c0.u, c1.u, c2.u}), std::min({t0, t1, t2})},
          {std::max({c0.u, c1.u, c2.u}), std::max({t0, t1, t2})},
          &mesh.textures[mesh.face_texture[face]]};
}

// log2 of the larger of the steps, in texels, from one sample to the next right and below.
float level_of_detail(const FacePlanes& face, float u, float t, float z, float step) {
  const float width = face.texture->width() * z, height = face.texture->height() * z;
  const float ux = (face.u_iz.slope_x - u * face.iz.slope_x) * width;
  const float tx = (face.t_iz.slope_x - t * face.iz.slope_x) * height;
  const float uy = (face.u_iz.slope_y - u * face.iz.slope_y) * width;
  const float ty = (face.t_iz.slope_y - t * face.iz.slope_y) * height;
  const float square = std::max(ux * ux + tx * tx, uy * uy + ty * ty);
  return 0.5f * std::log2(square * step * step + 1e-20f);
}

// Fills `planes` the first time a face is found to be seen.
const FacePlanes& seen_face(const TexturedMesh& mesh, MeshWorkspace& workspace, int32_t face) {
  if (!workspace.has_planes[face]) {
    workspace.planes[face] = planes_of(mesh, workspace.points, face);
    workspace.has_planes[face] = 1;
  }
  return workspace.planes[face];
}

struct PixelSum {
  float r = 0, g = 0, b = 0;
  int covered = 0;
};

PixelSum shade_pixel(const TexturedMesh& mesh, MeshWorkspace& workspace, int supersample,
                     int column, int row) {
  PixelSum sum;
  const float step = 1.0f / supersample;
  int32_t last = -1;
  const FacePlanes* face = nullptr;
  float lod = 0;
  for (int j = 0; j < supersample; ++j) {
    for (int i = 0; i < supersample; ++i) {
      const int x = column * supersample + i, y = row * supersample + j;
      const float iz = workspace.samples.iz(x, y);
      if (!(iz > 0)) continue;
      const int32_t id = workspace.samples.id(x, y);
      const bool changed = id != last;
      if (changed) face = &seen_face(mesh, workspace, id);
      const float dx = (x + 0.5f) * step - face->x, dy = (y + 0.5f) * step - face->y;
      const float z = 1 / iz;
      const float u = clamp(face->u_iz.at(dx, dy) * z, face->low.u, face->high.u);
      const float t = clamp(face->t_iz.at(dx, dy) * z, face->low.v, face->high.v);
      if (changed) lod = level_of_detail(*face, u, t, z, step);  // hardly changes in a pixel
      last = id;
      const Rgb color = face->texture->sample(u, t, lod);
      sum.r += color.r;
      sum.g += color.g;
      sum.b += color.b;
      ++sum.covered;
    }
  }
  return sum;
}

}  // namespace

void render_mesh(const TexturedMesh& mesh, const MeshCamera& camera, int supersample,
                 const MeshImage& image, MeshWorkspace& workspace) {
  workspace.points.resize(mesh.vertices.size());
  std::transform(mesh.vertices.begin(), mesh.vertices.end(), workspace.points.begin(),
                 [&](const Vertex& vertex) { return project(vertex, camera); });
  workspace.planes.resize(mesh.faces.size());
  workspace.has_planes.assign(mesh.faces.size(), 0);
  const bool even = supersample % 2 == 0;  // then no sample is at a pixel's centre
  workspace.samples.reset(image.width, image.height, supersample);
  if (even) workspace.centres.reset(image.width, image.height, 1);
  for (size_t f = 0; f < mesh.faces.size(); ++f) {
    const std::array<int32_t, 3>& corner = mesh.faces[f];
    const ScreenPoint &p0 = workspace.points[corner[0]], &p1 = workspace.points[corner[1]],
                      &p2 = workspace.points[corner[2]];
    workspace.samples.draw(p0, p1, p2, static_cast<int32_t>(f));
    if (even) workspace.centres.draw(p0, p1, p2, static_cast<int32_t>(f));
  }
  const float share = 1.0f / (supersample * supersample);
  const Visibility& centres = even ? workspace.centres : workspace.samples;
  const int rate = even ? 1 : supersample;
  for (int row = 0; row < image.height; ++row) {
    for (int column = 0; column < image.width; ++column) {
      const int64_t pixel = int64_t{1} * row * image.width + column;
      const PixelSum sum = shade_pixel(mesh, workspace, supersample, column, row);
      const float scale = sum.covered ? 1.0f / sum.covered : 0.0f;
      image.rgb[3 * pixel] = sum.r * scale;
      image.rgb[3 * pixel + 1] = sum.g * scale;
      image.rgb[3 * pixel + 2] = sum.b * scale;
      image.alpha[pixel] = sum.covered * share;
      const float iz = centres.iz(column * rate + rate / 2, row * rate + rate / 2);
      image.depth[pixel] = iz > 0 ? 1 / iz : 0.0f;
    }
  }
}

}  // namespace geolrm::mesh
